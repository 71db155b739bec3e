// SPDX-License-Identifier: Apache-2.0
// The persons of an organization.
#pragma once

#include <chrono>
#include <vector>

#include "common/base/result.h"
#include "common/base/state_table.h"

namespace millrace::identity::domain {

// Numbers as in the contract.
enum class MemberState { kInvited = 1, kActive = 2, kRemoved = 3, kExpired = 4 };
enum class MemberVerb { kAccept, kUpdate, kRemove, kExpire };

// An invitation that nobody accepted ends after this.
inline constexpr std::chrono::hours kInvitedFor{14 * 24};
// Invited and active members of one organization.
inline constexpr size_t kMembersMax = 500;

const StateTable<MemberState, MemberVerb>& MemberTable();
// The state after `verb` by whoever may do it. Errors: STATE_CONFLICT, with the verbs that are possible.
Result<MemberState> Decide(MemberState from, MemberVerb verb);

// What the guard of the last administrator looks at.
struct MemberShape {
  bool active = false;
  bool admin = false;
};
// Whether a change may happen: an organization that has an active administrator keeps one. Errors: LAST_ADMIN.
Result<void> CheckLastAdmin(const std::vector<MemberShape>& others, MemberShape before, MemberShape after);

}  // namespace millrace::identity::domain
