// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/client.h"

#include "common/base/limits.h"
#include "common/crypto/crypto.h"
#include "common/http/http.h"

namespace millrace {

Answer ApiClient::Send(std::string_view method, std::string_view path, std::string body, std::string content_type,
                       std::string idempotency_key, std::string if_match) const {
  http::Request request;
  request.method = method;
  request.target = path;
  if (!key_.empty()) request.fields.Set("Authorization", "Bearer " + key_);
  request.fields.Set("Accept-Language", chinese_ ? "zh-CN" : "en");
  if (!if_match.empty()) request.fields.Set("If-Match", if_match);
  if (method == "POST" || method == "PUT") {
    if (idempotency_key.empty()) idempotency_key = crypto::Hex(crypto::RandomBytes(16));
    request.fields.Set("Idempotency-Key", idempotency_key);
    request.fields.Set("Content-Type", std::move(content_type));
    request.body = std::move(body);
  }
  Answer answer;
  // Longer than the server lets the call run.
  std::chrono::seconds timeout =
      path.starts_with("/v1/imports") ? limits::kImportDeadline * 2 : std::chrono::seconds(60);
  Result<http::Response> response = http::FetchBlocking(url_, request, timeout);
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

std::string Describe(const Answer& answer) {
  if (!answer.body.is_object()) return answer.status ? "status " + std::to_string(answer.status) : answer.text;
  std::string out = answer.body.value("code", "") + ": " + answer.body.value("detail", answer.body.value("title", ""));
  if (answer.body.contains("errors")) {
    for (const Json& fault : answer.body["errors"]) {
      out += "\n  " + fault.value("pointer", "") + "  " + fault.value("code", "") + "  " + fault.value("detail", "");
    }
  }
  if (answer.status >= 500) out += "\n  request " + answer.body.value("request_id", "");
  return out;
}

}  // namespace millrace
