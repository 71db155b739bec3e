// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/oauth.h"

#include <algorithm>
#include <map>

#include "common/crypto/crypto.h"
#include "common/http/json.h"
#include "millrace/identity/v1/identity.pb.h"
#include "services/gateway/transcode.h"

namespace millrace::gateway {
namespace {

using identity::v1::IssueTokenRequest;
using identity::v1::IssueTokenResponse;

constexpr std::string_view kTokenPath = "/oauth2/token";
constexpr std::string_view kServerPath = "/.well-known/oauth-authorization-server";
constexpr std::string_view kResourcePath = "/.well-known/oauth-protected-resource";
constexpr std::string_view kAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
constexpr size_t kFormBytes = 16 * 1024;

http::Response Json(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.fields.Set("Content-Type", "application/json");
  response.fields.Set("Cache-Control", "no-store");
  response.fields.Set("Pragma", "no-cache");
  response.fields.Set("X-Content-Type-Options", "nosniff");
  response.body = std::move(body);
  return response;
}

// RFC 6749 §5.2.
http::Response Refusal(std::string_view code, std::string_view description, bool basic) {
  bool client = code == "invalid_client";
  http::Response response =
      Json(client ? 401 : 400, "{\"error\":" + http::JsonString(std::string(code)) +
                                   ",\"error_description\":" + http::JsonString(std::string(description)) + "}");
  if (client && basic) response.fields.Set("WWW-Authenticate", "Basic realm=\"millrace\", charset=\"UTF-8\"");
  return response;
}

std::string List(const auto& values) {
  std::string out;
  for (const auto& value : values) out += (out.empty() ? "" : ",") + http::JsonString(std::string(value));
  return "[" + out + "]";
}

std::string ServerMetadata(const std::string& base, const std::set<std::string>& scopes) {
  constexpr const char* kMethods[] = {"client_secret_basic", "client_secret_post", "private_key_jwt"};
  constexpr const char* kAlgorithms[] = {"ES256", "RS256", "EdDSA"};
  constexpr const char* kGrants[] = {"client_credentials"};
  return "{\"issuer\":" + http::JsonString(base) +
         ",\"token_endpoint\":" + http::JsonString(base + std::string(kTokenPath)) +
         ",\"grant_types_supported\":" + List(kGrants) + ",\"response_types_supported\":[]" +
         ",\"token_endpoint_auth_methods_supported\":" + List(kMethods) +
         ",\"token_endpoint_auth_signing_alg_values_supported\":" + List(kAlgorithms) +
         ",\"scopes_supported\":" + List(scopes) + "}";
}

std::string ResourceMetadata(const std::string& base, const std::set<std::string>& scopes) {
  return "{\"resource\":" + http::JsonString(base) + ",\"authorization_servers\":[" + http::JsonString(base) +
         "],\"bearer_methods_supported\":[\"header\"],\"scopes_supported\":" + List(scopes) + "}";
}

// The form's fields; nothing if it is malformed or has one twice.
std::optional<std::map<std::string, std::string>> ReadForm(const std::string& body) {
  if (body.size() > kFormBytes) return std::nullopt;
  auto pairs = http::ParseQuery(body);
  if (!pairs) return std::nullopt;
  std::map<std::string, std::string> form;
  for (auto& [name, value] : *pairs) {
    if (!form.emplace(std::move(name), std::move(value)).second) return std::nullopt;
  }
  return form;
}

// Client id and secret of "Basic …", each form-encoded (RFC 6749 §2.3.1).
std::optional<std::pair<std::string, std::string>> ReadBasic(std::string_view authorization) {
  constexpr std::string_view kScheme = "basic ";
  if (!http::SameName(authorization.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  std::optional<std::string> text = crypto::Base64Decode(authorization.substr(kScheme.size()));
  size_t colon = text ? text->find(':') : std::string::npos;
  if (colon == std::string::npos) return std::nullopt;
  auto id = http::PercentDecode(std::string_view(*text).substr(0, colon), true);
  auto secret = http::PercentDecode(std::string_view(*text).substr(colon + 1), true);
  if (!id || !secret) return std::nullopt;
  return std::pair(*std::move(id), *std::move(secret));
}

struct Asked {
  IssueTokenRequest request;
  bool basic = false;
};

// What the client sent, or the protocol's refusal.
std::expected<Asked, http::Response> ReadAsked(const http::Request& request, const Place& place) {
  std::string_view authorization = request.fields.Get("Authorization");
  Asked asked;
  asked.basic = !authorization.empty();
  auto refuse = [&](std::string_view code, std::string_view why) {
    return std::unexpected(Refusal(code, why, asked.basic));
  };
  auto form = ReadForm(request.body);
  if (!form || !request.query.empty()) return refuse("invalid_request", "malformed form, or parameters outside of it");
  auto take = [&](const char* name) {
    auto found = form->find(name);
    return found == form->end() ? std::string() : found->second;
  };
  if (take("grant_type").empty()) return refuse("invalid_request", "grant_type is missing");
  if (take("grant_type") != "client_credentials") return refuse("unsupported_grant_type", "only client_credentials");
  IssueTokenRequest& out = asked.request;
  out.set_client_id(take("client_id"));
  out.set_client_secret(take("client_secret"));
  out.set_assertion(take("client_assertion"));
  std::string type = take("client_assertion_type");
  int ways = asked.basic + !out.client_secret().empty() + (!out.assertion().empty() || !type.empty());
  if (ways > 1) return refuse("invalid_request", "more than one way of client authentication");
  if (ways == 0) return refuse("invalid_client", "client authentication is missing");
  if (asked.basic) {
    auto pair = ReadBasic(authorization);
    if (!pair || (!out.client_id().empty() && out.client_id() != pair->first))
      return refuse("invalid_client", "bad Authorization header");
    out.set_client_id(pair->first);
    out.set_client_secret(pair->second);
  }
  if (!type.empty() || !out.assertion().empty()) {
    if (type != kAssertionType || out.assertion().empty()) return refuse("invalid_request", "client_assertion_type");
  }
  std::string scope = take("scope");
  for (size_t at = 0; at < scope.size();) {
    size_t space = std::min(scope.find(' ', at), scope.size());
    if (space > at) out.add_scopes(scope.substr(at, space - at));
    at = space + 1;
  }
  if (place.sure) {
    out.add_audiences(place.url);
    out.add_audiences(place.url + std::string(kTokenPath));
  }
  return asked;
}

http::Response Granted(const IssueTokenResponse& token) {
  std::string scope;
  for (const std::string& one : token.scopes()) scope += (scope.empty() ? "" : " ") + one;
  return Json(200, "{\"access_token\":" + http::JsonString(token.access_token()) +
                       ",\"token_type\":\"Bearer\",\"expires_in\":" + std::to_string(token.expires_in_seconds()) +
                       ",\"scope\":" + http::JsonString(scope) + "}");
}

}  // namespace

bool IsOAuthPath(std::string_view path) { return path == kTokenPath || path == kServerPath || path == kResourcePath; }

Place PlaceOf(const std::string& configured, const http::Request& request) {
  std::string_view host = request.fields.Get("Host");
  Place place{configured.empty() ? "http://" + std::string(host) : configured, !configured.empty()};
  for (std::string_view own : {"127.0.0.1", "localhost", "[::1]"})
    place.sure = place.sure || host == own || host.starts_with(std::string(own) + ":");
  while (place.url.ends_with('/')) place.url.pop_back();
  return place;
}

std::string Challenge(const std::string& base_url) {
  // Of a Host that a quoted string could not hold, nothing is said.
  if (base_url.find_first_of("\"\\") != base_url.npos) return "Bearer";
  return "Bearer realm=\"millrace\", resource_metadata=\"" + base_url + std::string(kResourcePath) + "\"";
}

Task<Result<http::Response>> AnswerOAuth(rpc::Channel* identity, http::Request request, CallContext context,
                                         Place place, const std::set<std::string>* scopes, Attempts* attempts) {
  bool token = request.path == kTokenPath;
  bool reads = request.method == "GET" || request.method == "HEAD";
  if (token ? request.method != "POST" : !reads)
    co_return Fail(ErrorCode::kMethodNotAllowed, {{"allow", token ? "POST" : "GET, HEAD"}});
  if (request.path == kServerPath) co_return Json(200, ServerMetadata(place.url, *scopes));
  if (request.path == kResourcePath) co_return Json(200, ResourceMetadata(place.url, *scopes));
  if (MediaType(request.fields.Get("Content-Type")) != "application/x-www-form-urlencoded")
    co_return Fail(ErrorCode::kUnsupportedMediaType, {{"accept", "application/x-www-form-urlencoded"}});
  auto now = Attempts::Clock::now();
  MILLRACE_CO_CHECK(attempts->Check(request.peer, now));
  auto asked = ReadAsked(request, place);
  if (!asked) co_return std::move(asked).error();
  CallContext own = CallContext::ForService("gateway", context.traceparent);
  own.request_id = context.request_id;
  own.deadline = context.deadline;
  Result<IssueTokenResponse> issued = co_await rpc::Call<IssueTokenResponse>(
      *identity, "millrace.identity.v1.Identity.IssueToken", std::move(own), std::move(asked->request));
  if (issued) co_return Granted(*issued);
  const Error& error = issued.error();
  if (error.code == ErrorCode::kUnauthenticated) {
    attempts->Failed(request.peer, now);
    co_return Refusal("invalid_client", "unknown client, or its proof is not valid", asked->basic);
  }
  if (error.code == ErrorCode::kUnknownScope || error.code == ErrorCode::kInsufficientScope)
    co_return Refusal("invalid_scope", "unknown scope, or more than the client has", asked->basic);
  if (Entry(error.code).http_status < 500)
    co_return Refusal("invalid_request", "a parameter is not valid", asked->basic);
  co_return std::unexpected<Error>(std::move(issued).error());
}

}  // namespace millrace::gateway
