// SPDX-License-Identifier: Apache-2.0
// OAuth 2.0 client credentials: a key as a client, and the short-lived tokens that it gets.
#include "services/identity/store/tokens.h"

#include <algorithm>

#include "common/crypto/crypto.h"
#include "common/rpc/scope.h"
#include "services/identity/app/assertion.h"
#include "services/identity/app/identity.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

// The scopes of a token: those asked for, or all of the client's.
Result<std::vector<std::string>> TokenScopes(const std::set<std::string>& nouns, const v1::IssueTokenRequest& request,
                                             const std::vector<std::string>& client) {
  std::set<std::string> held(client.begin(), client.end());
  std::set<std::string> asked(request.scopes().begin(), request.scopes().end());
  for (const std::string& scope : asked) {
    if (!rpc::IsScope(nouns, scope)) return Fail(ErrorCode::kUnknownScope, {{"scope", scope}});
    MILLRACE_CHECK(rpc::CheckScope(held, scope));
  }
  if (asked.empty()) return client;
  return std::vector<std::string>(asked.begin(), asked.end());
}

}  // namespace

Task<Result<TokenClient>> Identity::ClientBySecret(Uuid id, std::string secret) {
  std::string hash = Secrets::Hash(secret);
  Result<std::optional<Credential>> read = co_await ReadCredential(reader_, std::move(hash), false);
  MILLRACE_CO_TRY(std::optional<Credential> credential, std::move(read));
  if (!credential || credential->key != id) co_return Fail(ErrorCode::kUnauthenticated);
  co_return TokenClient{id, std::move(credential->scopes), std::nullopt};
}

Task<Result<TokenClient>> Identity::ClientByAssertion(v1::IssueTokenRequest request) {
  std::string named = ClientOf(request.assertion());
  // A client_id beside the assertion is optional, but may not contradict it.
  if (!request.client_id().empty() && request.client_id() != named) co_return Fail(ErrorCode::kUnauthenticated);
  Result<Uuid> id = ParseId("key", named);
  if (!id) co_return Fail(ErrorCode::kUnauthenticated);
  Uuid key = *id;
  Result<std::optional<SigningClient>> read = co_await ReadSigningClient(reader_, key);
  MILLRACE_CO_TRY(std::optional<SigningClient> client, std::move(read));
  if (!client) co_return Fail(ErrorCode::kUnauthenticated);
  std::vector<std::string> audiences(request.audiences().begin(), request.audiences().end());
  MILLRACE_CO_TRY(Assertion assertion,
                  CheckAssertion(request.assertion(), client->public_keys, named, audiences, WallNow()));
  co_return TokenClient{key, std::move(client->scopes),
                        UsedAssertion{crypto::Sha256(assertion.jti), assertion.expire_time}};
}

Task<Result<v1::IssueTokenResponse>> Identity::IssueToken(CallContext, v1::IssueTokenRequest request) {
  Result<TokenClient> known = Fail(ErrorCode::kUnauthenticated);
  if (!request.assertion().empty()) {
    known = co_await ClientByAssertion(request);
  } else {
    Result<Uuid> id = ParseId("key", request.client_id());
    std::string secret = request.client_secret();
    if (id && !secret.empty()) {
      Uuid key = *id;
      known = co_await ClientBySecret(key, std::move(secret));
    }
  }
  MILLRACE_CO_TRY(TokenClient client, std::move(known));
  MILLRACE_CO_TRY(std::vector<std::string> scopes, TokenScopes(nouns_, request, client.scopes));
  std::string token = std::string(kTokenPrefix) + crypto::Base64Url(crypto::RandomBytes(32));
  NewToken fresh{crypto::Sha256(token), client.key, scopes, WallNow() + kTokenLife, std::move(client.assertion)};
  Result<bool> kept = co_await KeepToken(worker_, std::move(fresh));
  MILLRACE_CO_TRY(bool taken, std::move(kept));
  if (!taken) {
    Error replayed(ErrorCode::kUnauthenticated);
    replayed.cause = "client assertion: jti was used before";
    co_return std::unexpected<Error>(std::move(replayed));
  }
  Used(client.key);
  v1::IssueTokenResponse response;
  response.set_access_token(std::move(token));
  response.set_expires_in_seconds(static_cast<int32_t>(std::chrono::seconds(kTokenLife).count()));
  for (const std::string& scope : scopes) response.add_scopes(scope);
  if (scopes.empty()) response.add_scopes("*:*");
  co_return std::move(response);
}

}  // namespace millrace::identity
