// SPDX-License-Identifier: Apache-2.0
// Approvals by two persons: who may decide, and when a command may run under one.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "common/base/id.h"
#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/base/state_table.h"
#include "common/base/time.h"

namespace millrace::identity::domain {

// Numbers as in the contract.
enum class ApprovalState { kRequested = 1, kApproved, kDeclined, kWithdrawn, kExpired, kUsed };
enum class ApprovalVerb { kApprove, kDecline, kWithdraw, kExpire, kUse };

// A request that nobody decided on ends after this, and an approval that nobody used.
inline constexpr std::chrono::hours kRequestedFor{24};
inline constexpr std::chrono::hours kApprovedFor{24};
// How long after its use the same command may be sent again, for the answer that is kept under its key.
inline constexpr std::chrono::hours kRepeatedFor{48};
// While a command may be sent, what it did once is still kept under its key, which is the approval's id: or a second
// one would have an effect of its own. Outcomes are kept by wall time, which never passes faster than business time.
static_assert(kApprovedFor < limits::kIdempotencyKept);
static_assert(kRepeatedFor < limits::kIdempotencyKept);

const StateTable<ApprovalState, ApprovalVerb>& ApprovalTable();

struct ApprovalShape {
  ApprovalState state = ApprovalState::kRequested;
  Uuid requester;
  Time expire_time;
  std::optional<Time> use_time;
};

// The state after a person's verb. Errors: SAME_PERSON (who asked decides), INSUFFICIENT_SCOPE (another one withdraws),
// APPROVAL_EXPIRED, STATE_CONFLICT.
Result<ApprovalState> DecideApproval(const ApprovalShape& approval, ApprovalVerb verb, const Uuid& person, Time now);
// The same for what comes by itself: kExpire, kUse. Errors: STATE_CONFLICT.
Result<ApprovalState> MoveApproval(ApprovalState from, ApprovalVerb verb);

// What a command that wants to run is compared by.
struct ApprovalMatch {
  bool method = false, content = false, person = false;
  bool decider = false;  // who approved still is an active person with the role
};
// Whether a command may run. Errors: APPROVAL_MISMATCH, APPROVAL_EXPIRED, APPROVAL_NOT_GIVEN.
Result<void> CheckUse(const ApprovalShape& approval, const ApprovalMatch& match, Time now);

}  // namespace millrace::identity::domain
