// SPDX-License-Identifier: Apache-2.0
// HTTP requests into messages of the contract, and back.
#pragma once

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/call_context.h"
#include "common/base/result.h"
#include "common/http/http.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {

// A request as the RPC takes it, and what its query asks of the gateway itself.
struct ReadRequestResult {
  std::unique_ptr<google::protobuf::Message> message;
  bool validate_only = false;
  std::vector<const Expansion*> expansions;  // of `expand=a,b`, each once
};

// The request's message: body, then path, then query parameters, whose unknown ones are refused. All faults of one part
// are reported at once. `body` may be other than the request's: a merged one. Errors: those of http::ReadJson and
// ReadText, INVALID_QUERY, UNSUPPORTED_MEDIA_TYPE; their pointers are of the RPC's request.
Result<ReadRequestResult> ReadRequest(const RoutingTable::Match& match, const http::Request& request,
                                      std::string_view body);
// The same with the request's own body.
Result<ReadRequestResult> ReadRequest(const RoutingTable::Match& match, const http::Request& request);
// Query parameters into the fields of `message`, dotted where they are of nested ones; `closed` fields are not
// parameters. Errors: INVALID_QUERY.
Result<void> ReadQuery(std::string_view query, google::protobuf::Message* message,
                       const std::vector<std::string>& closed);
// Idempotency-Key ("…" or bare) and If-Match of the header. Errors: IDEMPOTENCY_KEY_INVALID, ETAG_MISMATCH (weak or
// several tags).
Result<void> ReadConditions(const http::Fields& fields, CallContext* context);
// The Content-Type in small letters, without parameters.
std::string MediaType(std::string_view content_type);
// What a route's body may be: "application/json"; several joined by ", "; empty for none.
std::string AcceptedTypes(const Route& route);
// The prefix of pointers that the client does not know: "#/listing" if the body is that field.
std::string StripOf(const Route& route);
// Pointers of an error as the client sees its request: those into the body without StripOf; of path and query
// parameters "?name", which common/http writes as the member "parameter".
void PointAtRequest(const Route& route, Error* error);
// The answer of a call that succeeded, or 304. `expanded`: the JSON to send instead of the message's, if not empty.
// Errors: NOT_ACCEPTABLE, for a file of a type that Accept leaves out.
Result<http::Response> WriteResponse(const Route& route, const http::Request& request, const CallContext& context,
                                     const google::protobuf::Message& message, std::string expanded);

}  // namespace millrace::gateway
