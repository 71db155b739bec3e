// SPDX-License-Identifier: Apache-2.0
#pragma once

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
  ApiClient(std::string url, std::string key, bool chinese = false)
      : url_(std::move(url)), key_(std::move(key)), chinese_(chinese) {}
  // A fresh Idempotency-Key goes with every POST and PUT unless one is given.
  Answer Call(std::string_view method, std::string_view path, const Json& body = nullptr,
              std::string idempotency_key = {}, std::string if_match = {}) const;
  // A body that is no JSON.
  Answer Send(std::string_view method, std::string_view path, std::string body, std::string content_type,
              std::string idempotency_key = {}, std::string if_match = {}) const;
  const std::string& url() const { return url_; }
  ApiClient WithKey(std::string key) const { return ApiClient(url_, std::move(key), chinese_); }

 private:
  std::string url_, key_;
  bool chinese_;
};

// What to tell a person about a refusal: its code, its sentence, its fields.
std::string Describe(const Answer& answer);
// What to do about a refused or missing key.
inline constexpr char kHowToGiveAKey[] =
    "Give an organization's key with --key or MILLRACE_KEY, or take the operator's of a running `millrace dev` with "
    "--instance FOLDER.";

}  // namespace millrace
