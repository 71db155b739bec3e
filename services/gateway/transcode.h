// SPDX-License-Identifier: Apache-2.0
// HTTP requests into messages of the contract, and back.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>

#include "common/base/call_context.h"
#include "common/base/result.h"
#include "common/http/http.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {

// The request's message: body, then path, then query parameters, whose unknown ones are refused. All faults of one part
// are reported at once. Errors: those of http::ReadJson and ReadText, INVALID_QUERY, UNSUPPORTED_MEDIA_TYPE.
Result<std::unique_ptr<google::protobuf::Message>> ReadRequest(const RoutingTable::Match& match,
                                                               const http::Request& request);
// Query parameters into the fields of `message`, dotted where they are of nested ones; `closed` fields are not
// parameters.
Result<void> ReadQuery(std::string_view query, google::protobuf::Message* message,
                       const std::vector<std::string>& closed);
// Idempotency-Key ("…" or bare) and If-Match of the header. Errors: IDEMPOTENCY_KEY_INVALID, ETAG_MISMATCH (weak or
// several tags).
Result<void> ReadConditions(const http::Fields& fields, CallContext* context);
// The prefix of pointers that the client does not know: "#/listing" if the body is that field.
std::string StripOf(const Route& route);
// The answer of a call that succeeded, or 304.
http::Response WriteResponse(const Route& route, const http::Request& request, const google::protobuf::Message& message,
                             const ReplyInfo& reply);

}  // namespace millrace::gateway
