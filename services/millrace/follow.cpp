// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/follow.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <thread>

#include "common/http/http.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

constexpr int kLongestPauseMs = 30'000;
constexpr int kRetryDigits = 8;

bool AllDigits(std::string_view text) {
  return !text.empty() && text.size() <= kRetryDigits && text.find_first_not_of("0123456789") == text.npos;
}

// Half to all of the wait that doubles with each failure, lest many clients come back at one moment.
void Pause(int retry_ms, int failures) {
  int64_t longest =
      std::min<int64_t>(kLongestPauseMs, static_cast<int64_t>(std::max(retry_ms, 1)) << std::min(failures, 6));
  std::random_device source;
  std::uniform_int_distribution<int64_t> draw(longest / 2, longest);
  std::this_thread::sleep_for(std::chrono::milliseconds(draw(source)));
}

std::string StreamPath(const std::vector<std::string>& types) {
  std::string path = "/v1/stream";
  for (const std::string& type : types)
    path += (path.ends_with("stream") ? "?types=" : "&types=") + http::PercentEncode(type);
  return path;
}

}  // namespace

bool EventParser::Feed(std::string_view bytes, const std::function<bool(const StreamEvent&)>& on_event) {
  for (char c : bytes) {
    bool second_half = after_cr_ && c == '\n';  // CR LF ends one line, not two
    after_cr_ = c == '\r';
    if (second_half) continue;
    if (c != '\n' && c != '\r') {
      if (rest_.size() < kEventBytesMax) rest_ += c;
      continue;
    }
    std::string line = std::move(rest_);
    rest_.clear();
    if (!Line(line, on_event)) return false;
  }
  return true;
}

bool EventParser::Line(std::string_view line, const std::function<bool(const StreamEvent&)>& on_event) {
  if (line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  if (line.empty()) {
    if (id_) last_id_ = *id_;
    StreamEvent event{last_id_, type_.empty() ? "message" : type_, std::move(data_)};
    bool whole = has_data_;
    type_.clear();
    data_.clear();
    id_.reset();
    has_data_ = false;
    return !whole || on_event(event);
  }
  size_t colon = std::min(line.find(':'), line.size());
  std::string_view name = line.substr(0, colon), value = line.substr(std::min(colon + 1, line.size()));
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (name == "data") {
    if (has_data_) data_ += '\n';
    if (data_.size() + value.size() <= kEventBytesMax) data_ += value;
    has_data_ = true;
  } else if (name == "event") {
    type_ = value;
  } else if (name == "id" && value.find('\0') == value.npos) {
    id_ = value;
  } else if (name == "retry" && AllDigits(value)) {
    retry_ms_ = std::stoi(std::string(value));
  }
  return true;
}

void EventParser::Restart() {
  rest_.clear();
  type_.clear();
  data_.clear();
  id_.reset();
  has_data_ = after_cr_ = false;
}

int Follow(const ApiClient& client, const std::vector<std::string>& types, const std::string& start,
           const std::function<bool(const StreamEvent&)>& on_event) {
  EventParser parser;
  parser.set_last_id(start);
  std::string path = StreamPath(types);
  bool ever = false;
  for (int failures = 0;; ++failures) {
    parser.Restart();
    bool wanted = true, came = false;
    Answer answer = client.Stream(path, parser.last_id(), [&](std::string_view bytes) {
      came = true;
      wanted = parser.Feed(bytes, on_event);
      return wanted;
    });
    if (!wanted) return kDone;
    bool later = answer.status == 0 || answer.ok() || answer.status == 429 || answer.status >= 502;
    if (!later || (answer.status == 0 && !came && !ever)) {
      std::fprintf(stderr, "millrace: the stream of %s: %s\n", client.url().c_str(), Describe(answer).c_str());
      return Refusal(answer);
    }
    if (came && (answer.ok() || answer.status == 0)) {
      ever = true;
      failures = 0;
    }
    if (failures == 0) {  // said once, however long it takes
      std::fprintf(stderr, "millrace: the stream broke off%s%s; resuming\n", parser.last_id().empty() ? "" : " after ",
                   parser.last_id().c_str());
    }
    Pause(parser.retry_ms(), failures);
  }
}

}  // namespace millrace
