// SPDX-License-Identifier: Apache-2.0
// The life of an invitation from the park's register.
#pragma once

#include <chrono>

#include "common/base/result.h"
#include "common/base/state_table.h"

namespace millrace::identity::domain {

// Numbers as in the contract.
enum class InvitationState { kOpen = 1, kAccepted = 2, kExpired = 3, kWithdrawn = 4 };
enum class InvitationVerb { kAccept, kWithdraw, kSupersede, kExpire };

// An invitation whose code nobody used ends after this.
inline constexpr std::chrono::hours kRegisterInvitedFor{30 * 24};

const StateTable<InvitationState, InvitationVerb>& InvitationTable();
// The state after `verb` by whoever may do it. Errors: STATE_CONFLICT, with the verbs that are possible.
Result<InvitationState> Decide(InvitationState from, InvitationVerb verb);

}  // namespace millrace::identity::domain
