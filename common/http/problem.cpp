// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "common/http/field_list.h"
#include "common/http/http.h"
#include "common/http/json.h"

namespace millrace::http {
namespace {

constexpr std::string_view kQuotaExceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded";

bool Retryable(const Error& error) {
  int status = Entry(error.code).http_status;
  return status == 408 || status == 504 || RetryAfter(error);
}

std::string Stripped(const std::string& pointer, std::string_view strip) {
  bool below =
      !strip.empty() && pointer.starts_with(strip) && (pointer.size() == strip.size() || pointer[strip.size()] == '/');
  return below ? "#" + pointer.substr(strip.size()) : pointer;
}

void Member(std::string* out, std::string_view name, std::string json) {
  *out += out->size() == 1 ? "" : ",";
  *out += JsonString(name) + ":" + json;
}

std::string Violations(const Error& error, Language language, std::string_view strip) {
  std::string out = "[";
  for (const Violation& violation : error.violations) {
    if (out.size() > 1) out += ',';
    // "?name" is a parameter of the path or the query, anything else a place in the body.
    bool parameter = violation.pointer.starts_with('?');
    out += (parameter ? "{\"parameter\":" + JsonString(violation.pointer.substr(1))
                      : "{\"pointer\":" + JsonString(Stripped(violation.pointer, strip))) +
           ",\"code\":" + JsonString(Name(violation.code)) +
           ",\"detail\":" + JsonString(Detail(violation.code, violation.params, language)) + "}";
  }
  return out + "]";
}

std::string Parameter(const Error& error, const char* name, std::string otherwise) {
  auto found = error.params.find(name);
  return found == error.params.end() ? otherwise : found->second;
}

bool StartsWithTag(std::string_view range, std::string_view tag) {
  if (range.size() < tag.size()) return false;
  for (size_t i = 0; i < tag.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(range[i])) != tag[i]) return false;
  }
  return range.size() == tag.size() || range[tag.size()] == '-';
}

}  // namespace

std::string ProblemType(std::string_view code) {
  std::string out = "/problems/";
  for (char c : code) out += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

Response Problem(const Error& error, Language language, std::string_view request_id, std::string_view strip) {
  const ErrorEntry& entry = Entry(error.code);
  Response response;
  response.status = entry.http_status;
  std::string& out = response.body;
  out = "{";
  // A quota's problem has a type that is registered for all servers.
  bool quota = error.extensions.contains("violated-policies");
  Member(&out, "type", JsonString(quota ? std::string(kQuotaExceeded) : ProblemType(entry.name)));
  Member(&out, "title", JsonString(Title(error.code, language)));
  Member(&out, "status", std::to_string(entry.http_status));
  Member(&out, "detail", JsonString(Detail(error.code, error.params, language)));
  if (!request_id.empty()) Member(&out, "instance", JsonString("urn:millrace:request:" + std::string(request_id)));
  Member(&out, "code", JsonString(entry.name));
  if (!request_id.empty()) Member(&out, "request_id", JsonString(request_id));
  Member(&out, "retryable", Retryable(error) ? "true" : "false");
  if (!error.violations.empty()) Member(&out, "errors", Violations(error, language, strip));
  for (const auto& [name, json] : error.extensions) Member(&out, name, json);
  out += "}";

  Fields& fields = response.fields;
  fields.Set("Content-Type", "application/problem+json");
  fields.Set("Content-Language", language == Language::kZh ? "zh-CN" : "en");
  fields.Set("Cache-Control", "no-store");
  if (!request_id.empty()) fields.Set("Request-Id", std::string(request_id));
  if (error.code == ErrorCode::kUnauthenticated) fields.Set("WWW-Authenticate", "Bearer");
  if (error.code == ErrorCode::kMethodNotAllowed) fields.Set("Allow", Parameter(error, "allow", ""));
  if (std::optional<int> seconds = RetryAfter(error)) fields.Set("Retry-After", std::to_string(*seconds));
  return response;
}

Language PreferredLanguage(std::string_view accept_language) {
  double zh = 0, en = 0;
  bool zh_first = true;
  while (!accept_language.empty()) {
    std::string_view part = TakePart(&accept_language, ',');
    std::string_view range = TakePart(&part, ';');
    double weight = Quality(part);
    if (StartsWithTag(range, "zh") || range == "*") zh = std::max(zh, weight);
    if (StartsWithTag(range, "en")) {
      if (zh == 0 && en == 0) zh_first = false;
      en = std::max(en, weight);
    }
  }
  return en > zh || (en == zh && en > 0 && !zh_first) ? Language::kEn : Language::kZh;
}

}  // namespace millrace::http
