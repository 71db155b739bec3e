// SPDX-License-Identifier: Apache-2.0
#include "common/base/error.h"

#include <algorithm>
#include <cstdlib>

#include "common/base/phrases.h"

namespace millrace {

Error Error::At(std::string pointer, ErrorCode code, ErrorParams params) {
  if (!params.contains("field")) params["field"] = pointer.substr(pointer.rfind('/') + 1);
  Error error(code, params);
  error.violations.push_back({std::move(pointer), code, std::move(params)});
  return error;
}

Error Error::Of(std::vector<Violation> violations) {
  if (violations.empty()) return Internal("Error::Of without violations");
  Error error;
  if (violations.size() == 1) {
    error.code = violations[0].code;
    error.params = violations[0].params;
  } else {
    error.code = ErrorCode::kInvalidRequest;
    error.params["count"] = std::to_string(violations.size());
  }
  error.violations = std::move(violations);
  return error;
}

Error Error::Internal(std::string cause) {
  Error error(ErrorCode::kInternal);
  error.cause = std::move(cause);
  return error;
}

Error Error::Unavailable(std::string cause) {
  Error error(ErrorCode::kUnavailable);
  error.cause = std::move(cause);
  return error;
}

const ErrorEntry& Entry(ErrorCode code) { return kErrorCatalog[static_cast<int>(code)]; }

std::string_view Name(ErrorCode code) { return Entry(code).name; }

std::optional<ErrorCode> ErrorCodeByName(std::string_view name) {
  for (const ErrorEntry& entry : kErrorCatalog) {
    if (entry.name == name) return entry.code;
  }
  return std::nullopt;
}

std::string_view Title(ErrorCode code, Language language) {
  return language == Language::kZh ? Entry(code).title_zh : Entry(code).title_en;
}

namespace {

// A parameter as a reader of the language takes it: some hold English phrases, and an empty list is a dash.
std::string Spoken(std::string_view name, const std::string& value, Language language) {
  bool zh = language == Language::kZh;
  if (name == "allowed" && (value.empty() || value == "-")) return zh ? "无" : "none";
  bool phrase = name == "reason" || name == "expected" || name == "got" || name == "accept" || name == "min";
  return zh && phrase ? ChinesePhrase(value) : value;
}

}  // namespace

std::optional<int> RetryAfter(const Error& error) {
  int status = Entry(error.code).http_status;
  if (status != 429 && status != 503 && error.code != ErrorCode::kIdempotencyInProgress) return std::nullopt;
  auto said = error.params.find("seconds");
  return said == error.params.end() ? 1 : std::max(1, std::atoi(said->second.c_str()));
}

std::string Detail(ErrorCode code, const ErrorParams& params, Language language) {
  std::string_view text = language == Language::kZh ? Entry(code).detail_zh : Entry(code).detail_en;
  std::string out;
  while (!text.empty()) {
    size_t open = text.find('{');
    size_t close = open == text.npos ? text.npos : text.find('}', open);
    if (close == text.npos) break;
    out += text.substr(0, open);
    std::string name(text.substr(open + 1, close - open - 1));
    auto found = params.find(name);
    if (found != params.end()) out += Spoken(name, found->second, language);
    text.remove_prefix(close + 1);
  }
  out += text;
  return out;
}

}  // namespace millrace
