// SPDX-License-Identifier: Apache-2.0
// The persons of an organization.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace millrace::identity::domain {

// Numbers as in the contract.
enum class MemberState { kInvited = 1, kActive = 2, kRemoved = 3, kExpired = 4 };
enum class MemberVerb { kAccept, kUpdate, kRemove, kExpire };

// An invitation that nobody accepted ends after this.
inline constexpr std::chrono::hours kInvitedFor{14 * 24};
// Invited and active members of one organization.
inline constexpr size_t kMembersMax = 500;

// What may be done in a state, and by whom; in the order in which it is shown.
struct MemberStep {
  MemberState from;
  MemberVerb verb;
  MemberState to;
  std::string_view name, actor;
};
const std::vector<MemberStep>& MemberTable();
// Errors: STATE_CONFLICT, with the verbs that are possible.
Result<MemberState> Decide(MemberState from, MemberVerb verb);

// What the guard of the last administrator looks at.
struct MemberShape {
  bool active = false;
  bool admin = false;
};
// Whether a change may happen: an organization that has an active administrator keeps one. Errors: LAST_ADMIN.
Result<void> CheckLastAdmin(const std::vector<MemberShape>& others, MemberShape before, MemberShape after);

}  // namespace millrace::identity::domain
