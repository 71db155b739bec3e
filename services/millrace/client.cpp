// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/client.h"

#include <cstdio>

#include "common/base/limits.h"
#include "common/crypto/crypto.h"
#include "common/http/http.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

constexpr size_t kProblemBytes = 64 * 1024;
// The server pings each 15 s: a stream that is silent for three of them is dead.
constexpr std::chrono::seconds kStreamSilence{45};

}  // namespace

Answer ApiClient::Send(std::string_view method, std::string_view path, std::string body, std::string content_type,
                       std::string idempotency_key, std::string if_match) const {
  http::Request request;
  request.method = method;
  request.target = path;
  if (!key_.empty()) request.fields.Set("Authorization", "Bearer " + key_);
  request.fields.Set("Accept-Language", chinese_ ? "zh-CN" : "en");
  if (!if_match.empty()) request.fields.Set("If-Match", if_match);
  if (method != "GET") {
    if (idempotency_key.empty()) idempotency_key = crypto::Hex(crypto::RandomBytes(16));
    request.fields.Set("Idempotency-Key", idempotency_key);
  }
  if (method == "POST" || method == "PUT" || method == "PATCH") {
    request.fields.Set("Content-Type", std::move(content_type));
    request.body = std::move(body);
  }
  Answer answer;
  // Longer than the server lets the call run.
  std::chrono::seconds timeout =
      path.starts_with("/v1/imports") ? limits::kImportDeadline * 2 : std::chrono::seconds(60);
  http::FetchOptions options{.timeout = timeout};
  options.ca_file = ca_file_;
  Result<http::Response> response = http::FetchBlocking(url_, request, options);
  if (!response) {
    answer.text = "no answer from " + url_ + " (" + response.error().cause + "); is `millrace dev` running?";
    return answer;
  }
  answer.status = response->status;
  answer.text = response->body;
  answer.etag = response->fields.Get("ETag");
  answer.replayed = response->fields.Get("Idempotent-Replayed") == "true";
  answer.body = Json::parse(response->body, nullptr, false);
  if (answer.body.is_discarded()) answer.body = nullptr;
  return answer;
}

Answer ApiClient::Call(std::string_view method, std::string_view path, const Json& body, std::string idempotency_key,
                       std::string if_match) const {
  std::string text = body.is_null() ? "{}" : body.dump();
  return Send(method, path, std::move(text), "application/json", std::move(idempotency_key), std::move(if_match));
}

Answer ApiClient::Stream(std::string_view path, const std::string& last_event_id,
                         std::function<bool(std::string_view)> on_bytes) const {
  http::Request request;
  request.method = "GET";
  request.target = path;
  if (!key_.empty()) request.fields.Set("Authorization", "Bearer " + key_);
  request.fields.Set("Accept", "text/event-stream, application/problem+json");
  request.fields.Set("Accept-Language", chinese_ ? "zh-CN" : "en");
  if (!last_event_id.empty()) request.fields.Set("Last-Event-ID", last_event_id);
  Answer answer;
  // A refusal comes the same way; what a stream never has is a body of this size that is one JSON object.
  std::string head;
  auto chunk = [&](std::string_view bytes) {
    if (head.size() < kProblemBytes) head.append(bytes.substr(0, kProblemBytes - head.size()));
    return on_bytes(bytes);
  };
  http::FetchOptions options{.timeout = kStreamSilence};
  options.ca_file = ca_file_;
  Result<http::Response> response = http::FetchBlocking(url_, request, options, chunk);
  if (!response) {
    answer.text = "no answer from " + url_ + " (" + response.error().cause + ")";
    return answer;
  }
  answer.status = response->status;
  if (!answer.ok()) answer.body = Json::parse(head, nullptr, false);
  if (answer.body.is_discarded()) answer.body = nullptr;
  return answer;
}

int Refusal(const Answer& answer) {
  if (answer.status == 401) std::fprintf(stderr, "%s\n", kHowToGiveAKey);
  return answer.status == 401 || answer.status == 403 ? kNotPermitted : kFailed;
}

std::string Describe(const Answer& answer) {
  if (!answer.body.is_object()) return answer.status ? "status " + std::to_string(answer.status) : answer.text;
  std::string out = answer.body.value("code", "") + ": " + answer.body.value("detail", answer.body.value("title", ""));
  if (answer.body.contains("errors")) {
    for (const Json& fault : answer.body["errors"]) {
      out += "\n  " + fault.value("pointer", fault.value("parameter", "")) + "  " + fault.value("code", "") + "  " +
             fault.value("detail", "");
    }
  }
  if (answer.status >= 500) out += "\n  request " + answer.body.value("request_id", "");
  return out;
}

}  // namespace millrace
