// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/authenticator.h"

#include "common/crypto/crypto.h"
#include "common/http/http.h"

namespace millrace::gateway {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kTokenMax = 256;

// The token of "Bearer x"; the scheme's name has no case. Empty if there is none.
std::string TokenOf(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (!http::SameName(authorization.substr(0, kScheme.size()), kScheme)) return "";
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  bool plain = authorization.size() <= kTokenMax && authorization.find_first_of(" ,\t") == authorization.npos;
  return plain ? std::string(authorization) : "";
}

void Fill(const identity::v1::AuthenticateResponse& caller, CallContext* context) {
  context->organization = IdOrNil(caller.organization_id());
  context->actor = caller.api_key_id();
  context->roles = {caller.roles().begin(), caller.roles().end()};
  context->roles.erase("service");  // no key makes its bearer one of our services
  context->member = IdOrNil(caller.member_id());
  context->scopes = {caller.scopes().begin(), caller.scopes().end()};
  context->organization_verified = caller.verified();
}

}  // namespace

Task<Result<void>> Authenticator::Authenticate(rpc::Channel* identity, std::string authorization, std::string peer,
                                               CallContext* context, Clock::time_point* asked) {
  std::string token = TokenOf(authorization);
  if (token.empty()) co_return Fail(ErrorCode::kUnauthenticated);
  std::string hash = crypto::Sha256(token);
  auto now = Clock::now();
  if (auto found = entries_.find(hash); found != entries_.end() && found->second.until > now) {
    Fill(found->second.caller, context);
    if (asked) *asked = found->second.until - kKept;
    co_return Result<void>();
  }
  if (asked) *asked = now;
  MILLRACE_CO_CHECK(attempts_.Check(peer, now));
  CallContext own = CallContext::ForService("gateway", context->traceparent);
  own.request_id = context->request_id;
  own.deadline = context->deadline;
  identity::v1::AuthenticateRequest request;
  request.set_token(token);
  Result<identity::v1::AuthenticateResponse> caller = co_await rpc::Call<identity::v1::AuthenticateResponse>(
      *identity, "millrace.identity.v1.Identity.Authenticate", std::move(own), std::move(request));
  if (!caller) {
    entries_.erase(hash);
    if (caller.error().code == ErrorCode::kUnauthenticated) attempts_.Failed(peer, now);
    co_return std::unexpected<Error>(std::move(caller).error());
  }
  if (IdOrNil(caller->organization_id()).IsNil()) co_return Fail(ErrorCode::kUnauthenticated);
  Fill(*caller, context);
  if (entries_.size() >= kEntriesMax)
    std::erase_if(entries_, [&](const auto& entry) { return entry.second.until <= now; });
  if (entries_.size() >= kEntriesMax) entries_.clear();
  // An organization that waits for its verification must see it at once, so only the verified are kept.
  if (!caller->verified()) {
    entries_.erase(hash);
    co_return Result<void>();
  }
  // From when it was asked, not from when it was answered.
  entries_[hash] = Entry{*std::move(caller), now + kKept};
  co_return Result<void>();
}

}  // namespace millrace::gateway
