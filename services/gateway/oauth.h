// SPDX-License-Identifier: Apache-2.0
// OAuth 2.0 at the edge: the token endpoint (client credentials, RFC 6749 §4.4) and the metadata of RFC 8414 and RFC
// 9728.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "common/base/call_context.h"
#include "common/http/http.h"
#include "common/rpc/channel.h"
#include "services/gateway/attempts.h"

namespace millrace::gateway {

// Whether a path is one of these routes.
bool IsOAuthPath(std::string_view path);
// Where clients reach this gateway, without a slash at its end.
struct Place {
  std::string url;
  // It is configured, or this very machine. Otherwise the Host field alone says so, which is any client's word: no
  // assertion is taken that is meant for it, lest one be replayed that was meant for somebody else.
  bool sure = false;
};
Place PlaceOf(const std::string& configured, const http::Request& request);
// The WWW-Authenticate field of a 401, which leads to the metadata.
std::string Challenge(const std::string& base_url);

// Answers one of these routes. The token endpoint takes a form; a client proves itself by client_secret_basic,
// client_secret_post or private_key_jwt, by one of them alone. Refusals of the protocol are RFC 6749 §5.2 bodies;
// errors returned are METHOD_NOT_ALLOWED, TOO_MANY_ATTEMPTS, UNSUPPORTED_MEDIA_TYPE, and those of a service that does
// not answer.
Task<Result<http::Response>> AnswerOAuth(rpc::Channel* identity, http::Request request, CallContext context,
                                         Place place, const std::set<std::string>* scopes, Attempts* attempts);

}  // namespace millrace::gateway
