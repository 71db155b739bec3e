// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error_code.h"

namespace millrace {

enum class Language { kZh, kEn };

// One row of the error catalogue (common/base/errors.yaml).
struct ErrorEntry {
  ErrorCode code;
  std::string_view name;  // "BOOKING_CONFLICT"
  int http_status;
  int grpc_code;  // the number of the canonical gRPC code
  std::string_view title_zh, title_en;
  std::string_view detail_zh, detail_en;  // with {parameter} places
};

extern const ErrorEntry kErrorCatalog[kErrorCodeCount];

using ErrorParams = std::map<std::string, std::string>;

// One fault of one field of a request. `pointer` is a JSON pointer in fragment form, e.g. "#/window/start_time".
struct Violation {
  std::string pointer;
  ErrorCode code;
  ErrorParams params;
};

// Why a command was refused. Every layer returns it by Result<T>; one place each turns it into a gRPC status (common/rpc)
// and into a problem document (common/http).
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  ErrorParams params;
  std::vector<Violation> violations;
  // Members that the problem document carries beside the standard ones: name -> JSON text, e.g. "alternatives".
  std::map<std::string, std::string> extensions;
  // For the log only, never sent to a client.
  std::string cause;

  Error() = default;
  explicit Error(ErrorCode c, ErrorParams p = {}) : code(c), params(std::move(p)) {}
  // An error of one field; its parameter "field" is the pointer's last part.
  static Error At(std::string pointer, ErrorCode code, ErrorParams params = {});
  // An error of several fields: INVALID_REQUEST, or the only violation's own code.
  static Error Of(std::vector<Violation> violations);
  static Error Internal(std::string cause);
  static Error Unavailable(std::string cause);

  Error&& With(std::string extension, std::string json) && {
    extensions[std::move(extension)] = std::move(json);
    return std::move(*this);
  }
};

const ErrorEntry& Entry(ErrorCode code);
std::string_view Name(ErrorCode code);
std::optional<ErrorCode> ErrorCodeByName(std::string_view name);
std::string_view Title(ErrorCode code, Language language);
// Seconds after which the same call may succeed, where waiting is what helps (429, 503, a twin that still runs): the
// parameter "seconds", else 1.
std::optional<int> RetryAfter(const Error& error);
// The detail sentence with its parameters put in.
std::string Detail(ErrorCode code, const ErrorParams& params, Language language);

}  // namespace millrace
