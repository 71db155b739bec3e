// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>

#include "common/base/call_context.h"
#include "common/rpc/channel.h"
#include "millrace/identity/v1/identity.pb.h"

namespace millrace::gateway {

// Who a bearer token is, by identity. Answers are kept so briefly that a revoked key is refused within 5 s.
class Authenticator {
 public:
  static constexpr std::chrono::milliseconds kKept{4000};
  static constexpr size_t kEntriesMax = 10'000;

  // Fills organization, actor, roles and organization_verified from "Bearer <token>".
  // `asked`: when identity was asked for what the answer rests on.
  // Errors: UNAUTHENTICATED; UNAVAILABLE and DEADLINE_EXCEEDED of identity.
  Task<Result<void>> Authenticate(rpc::Channel* identity, std::string authorization, CallContext* context,
                                  std::chrono::steady_clock::time_point* asked = nullptr);

 private:
  struct Entry {
    identity::v1::AuthenticateResponse caller;
    std::chrono::steady_clock::time_point until;
  };
  std::unordered_map<std::string, Entry> entries_;  // by the token's hash: tokens are not kept
};

}  // namespace millrace::gateway
