// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/call_context.h"
#include "common/rpc/channel.h"
#include "millrace/identity/v1/identity.pb.h"
#include "services/gateway/attempts.h"

namespace millrace::gateway {

// Who a bearer token is, by identity. Answers are kept so briefly that a revoked key is refused within 5 s.
class Authenticator {
 public:
  static constexpr std::chrono::milliseconds kKept{4000};
  static constexpr size_t kEntriesMax = 10'000;

  // Fills organization, actor, member, roles, scopes and organization_verified from "Bearer <token>".
  // `asked`: when identity was asked for what the answer rests on.
  // Errors: UNAUTHENTICATED; TOO_MANY_ATTEMPTS, if the address has shown too many that are not valid; UNAVAILABLE and
  // DEADLINE_EXCEEDED of identity.
  Task<Result<void>> Authenticate(rpc::Channel* identity, std::string authorization, std::string peer,
                                  CallContext* context, std::chrono::steady_clock::time_point* asked = nullptr);
  // Shared with the token endpoint.
  Attempts* attempts() { return &attempts_; }

 private:
  struct Entry {
    identity::v1::AuthenticateResponse caller;
    std::chrono::steady_clock::time_point until;
  };
  Attempts attempts_;
  std::unordered_map<std::string, Entry> entries_;  // by the token's hash: tokens are not kept
};

}  // namespace millrace::gateway
