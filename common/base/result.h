// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <utility>

#include "common/base/error.h"

namespace millrace {

// A value, or why there is none.
template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> Fail(Error error) { return std::unexpected<Error>(std::move(error)); }
inline std::unexpected<Error> Fail(ErrorCode code, ErrorParams params = {}) {
  return std::unexpected<Error>(Error(code, std::move(params)));
}

}  // namespace millrace

#define MILLRACE_CONCAT_INNER(a, b) a##b
#define MILLRACE_CONCAT(a, b) MILLRACE_CONCAT_INNER(a, b)
// MILLRACE_TRY(auto x, expression): x is the value, or the error is returned. MILLRACE_CO_TRY the same in a coroutine.
#define MILLRACE_TRY(declaration, expression)                                                      \
  auto MILLRACE_CONCAT(try_result_, __LINE__) = (expression);                                      \
  if (!MILLRACE_CONCAT(try_result_, __LINE__))                                                     \
    return std::unexpected<::millrace::Error>(std::move(MILLRACE_CONCAT(try_result_, __LINE__)).error()); \
  declaration = *std::move(MILLRACE_CONCAT(try_result_, __LINE__))
#define MILLRACE_CO_TRY(declaration, expression)                                                   \
  auto MILLRACE_CONCAT(try_result_, __LINE__) = (expression);                                      \
  if (!MILLRACE_CONCAT(try_result_, __LINE__))                                                     \
    co_return std::unexpected<::millrace::Error>(std::move(MILLRACE_CONCAT(try_result_, __LINE__)).error()); \
  declaration = *std::move(MILLRACE_CONCAT(try_result_, __LINE__))
// The same for Result<void>, or when the value is not needed.
#define MILLRACE_CHECK(expression)                                                                 \
  if (auto try_result = (expression); !try_result) return std::unexpected<::millrace::Error>(std::move(try_result).error())
#define MILLRACE_CO_CHECK(expression)                                                              \
  if (auto try_result = (expression); !try_result) co_return std::unexpected<::millrace::Error>(std::move(try_result).error())
