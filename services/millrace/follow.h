// SPDX-License-Identifier: Apache-2.0
// The caller's event stream (GET /v1/stream), followed across drops.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "services/millrace/client.h"

namespace millrace {

// An event as the stream brings it.
struct StreamEvent {
  std::string id, type, data;  // data: JSON text
};

// Server-sent events out of bytes that come in any pieces (WHATWG HTML, 9.2.6).
class EventParser {
 public:
  // Gives what the bytes complete to `on_event`; false from it ends the parsing and the answer is false.
  bool Feed(std::string_view bytes, const std::function<bool(const StreamEvent&)>& on_event);
  // The last id that was seen whole: where to resume.
  const std::string& last_id() const { return last_id_; }
  void set_last_id(std::string id) { last_id_ = std::move(id); }
  // How long the server wants a client to wait before it comes back, in milliseconds.
  int retry_ms() const { return retry_ms_; }
  // A new connection begins: what was half read is gone.
  void Restart();

 private:
  bool Line(std::string_view line, const std::function<bool(const StreamEvent&)>& on_event);
  std::string rest_, last_id_, type_, data_;
  std::optional<std::string> id_;
  bool has_data_ = false, after_cr_ = false;
  int retry_ms_ = 3000;
};

// A line of the stream, and an event, are at most this long: more is no event of ours.
inline constexpr size_t kEventBytesMax = 1024 * 1024;

// Follows the stream of `types` (all if empty), behind the event id or seq `start` (empty: from now), until `on_event`
// answers false; then the status is 0. Resumes after a drop, and says so on standard error. Ends with 1 or 4, and a
// word to the person, when the server refuses, or cannot be reached at first.
int Follow(const ApiClient& client, const std::vector<std::string>& types, const std::string& start,
           const std::function<bool(const StreamEvent&)>& on_event);

}  // namespace millrace
