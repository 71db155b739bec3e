// SPDX-License-Identifier: Apache-2.0
// An error as gRPC carries it: canonical code, English sentence, and google.rpc.Status with the whole error in its
// details.
#pragma once

#include <string>
#include <string_view>

#include "common/base/error.h"
#include "millrace/type/error.pb.h"

namespace millrace::rpc {

struct WireStatus {
  int code = 0;  // canonical gRPC code
  std::string message;
  std::string details;  // serialized google.rpc.Status
};

// The whole error, as processes of the platform pass it on. A code that this process does not know is INTERNAL.
type::ErrorDetail ToDetail(const Error& error);
Error FromDetail(const type::ErrorDetail& detail);

WireStatus ToStatus(const Error& error);
// The same for a caller outside: also BadRequest, LocalizedMessage, RequestInfo, and RetryInfo where a retry may help.
WireStatus ToPublicStatus(const Error& error, Language language, const std::string& request_id);
// The error that a status carries. Without Millrace's details the transport itself failed: DEADLINE_EXCEEDED,
// UNAVAILABLE where the outcome is unknown, else INTERNAL; the cause says what gRPC said.
Error FromStatus(const WireStatus& status);

}  // namespace millrace::rpc
