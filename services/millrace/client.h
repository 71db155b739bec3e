// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace millrace {

using Json = nlohmann::ordered_json;

// An answer of the API.
struct Answer {
  int status = 0;  // 0: the server was not reached; `text` says why
  Json body;
  std::string text;
  std::string etag;
  bool replayed = false;
  bool ok() const { return status >= 200 && status < 300; }
};

// Calls the API over HTTP, as any client would.
class ApiClient {
 public:
  // `ca_file`: PEM for https; empty: the system's.
  ApiClient(std::string url, std::string key, bool chinese = false, std::string ca_file = {})
      : url_(std::move(url)), key_(std::move(key)), chinese_(chinese), ca_file_(std::move(ca_file)) {}
  // A fresh Idempotency-Key goes with every POST, PUT, PATCH and DELETE unless one is given.
  Answer Call(std::string_view method, std::string_view path, const Json& body = nullptr,
              std::string idempotency_key = {}, std::string if_match = {}) const;
  // A body that is no JSON.
  Answer Send(std::string_view method, std::string_view path, std::string body, std::string content_type,
              std::string idempotency_key = {}, std::string if_match = {}) const;
  // GET of a body without end, handed over as it comes until `on_bytes` answers false. `last_event_id` goes along
  // unless empty. Returns when the stream ends; a refusal has its body.
  Answer Stream(std::string_view path, const std::string& last_event_id,
                std::function<bool(std::string_view)> on_bytes) const;
  const std::string& url() const { return url_; }
  const std::string& key() const { return key_; }
  ApiClient WithKey(std::string key) const { return ApiClient(url_, std::move(key), chinese_, ca_file_); }

 private:
  std::string url_, key_;
  bool chinese_;
  std::string ca_file_;
};

// What to tell a person about a refusal: its code, its sentence, its fields.
std::string Describe(const Answer& answer);
// After a call that failed and was described: adds what to do about a missing key. Returns the exit status: 4 not
// permitted, else 1.
int Refusal(const Answer& answer);
// What to do about a refused or missing key.
inline constexpr char kHowToGiveAKey[] =
    "Give an organization's key with --key-file, --key or MILLRACE_KEY, or take the operator's of a running `millrace "
    "dev` with --instance FOLDER; `millrace whoami` shows which is used.";

}  // namespace millrace
