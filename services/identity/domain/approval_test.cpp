// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/approval.h"

#include <gtest/gtest.h>

namespace millrace::identity::domain {
namespace {

using S = ApprovalState;
using V = ApprovalVerb;
constexpr S kStates[] = {S::kRequested, S::kApproved, S::kDeclined, S::kWithdrawn, S::kExpired, S::kUsed};
constexpr V kVerbs[] = {V::kApprove, V::kDecline, V::kWithdraw, V::kExpire, V::kUse};

const Uuid kAnna = Uuid::New(), kBert = Uuid::New();
const Time kNow = FromMicros(1'000'000'000);

ApprovalShape In(S state) { return {state, kAnna, kNow + std::chrono::hours(1), std::nullopt}; }

ErrorCode CodeOf(const auto& result) { return result ? ErrorCode::kInternal : result.error().code; }

TEST(Approval, EveryStateIsReachedAndOpenOnesEndByThemselves) {
  for (S state : kStates) {
    bool reached = state == S::kRequested;
    for (const auto& row : ApprovalTable().transitions) reached = reached || row.to == state;
    EXPECT_TRUE(reached) << ApprovalTable().state_name(state);
    bool open = state == S::kRequested || state == S::kApproved;
    EXPECT_EQ(ApprovalTable().WaitIn(state) != nullptr, open);
    if (open) EXPECT_EQ(*MoveApproval(state, V::kExpire), S::kExpired);
  }
}

TEST(Approval, PersonsMoveOnlyWhatIsRequested) {
  for (S state : kStates) {
    for (V verb : {V::kApprove, V::kDecline, V::kWithdraw}) {
      const Uuid& who = verb == V::kWithdraw ? kAnna : kBert;
      auto decided = DecideApproval(In(state), verb, who, kNow);
      EXPECT_EQ(decided.has_value(), state == S::kRequested);
      ErrorCode why = state == S::kExpired ? ErrorCode::kApprovalExpired : ErrorCode::kStateConflict;
      if (!decided) EXPECT_EQ(decided.error().code, why);
    }
    for (V verb : kVerbs) {
      bool moves = (verb == V::kExpire && (state == S::kRequested || state == S::kApproved)) ||
                   (verb == V::kUse && (state == S::kApproved || state == S::kExpired));
      EXPECT_EQ(MoveApproval(state, verb).has_value(), moves)
          << ApprovalTable().state_name(state) << " " << ApprovalTable().event_name(verb);
    }
  }
}

TEST(Approval, NeedsTwoPersonsInTime) {
  EXPECT_EQ(*DecideApproval(In(S::kRequested), V::kApprove, kBert, kNow), S::kApproved);
  EXPECT_EQ(*DecideApproval(In(S::kRequested), V::kDecline, kBert, kNow), S::kDeclined);
  EXPECT_EQ(*DecideApproval(In(S::kRequested), V::kWithdraw, kAnna, kNow), S::kWithdrawn);
  EXPECT_EQ(CodeOf(DecideApproval(In(S::kRequested), V::kApprove, kAnna, kNow)), ErrorCode::kSamePerson);
  EXPECT_EQ(CodeOf(DecideApproval(In(S::kRequested), V::kDecline, kAnna, kNow)), ErrorCode::kSamePerson);
  EXPECT_EQ(CodeOf(DecideApproval(In(S::kRequested), V::kWithdraw, kBert, kNow)), ErrorCode::kInsufficientScope);
  for (V verb : {V::kApprove, V::kDecline})
    EXPECT_EQ(CodeOf(DecideApproval(In(S::kRequested), verb, kBert, In(S::kRequested).expire_time)),
              ErrorCode::kApprovalExpired);
}

TEST(Approval, StandsForOneCommandOfOnePerson) {
  ApprovalMatch same{true, true, true, true};
  EXPECT_TRUE(CheckUse(In(S::kApproved), same, kNow));
  for (bool ApprovalMatch::*part : {&ApprovalMatch::method, &ApprovalMatch::content, &ApprovalMatch::person}) {
    ApprovalMatch other = same;
    other.*part = false;
    for (S state : kStates) EXPECT_EQ(CodeOf(CheckUse(In(state), other, kNow)), ErrorCode::kApprovalMismatch);
  }
  for (S state : {S::kRequested, S::kDeclined, S::kWithdrawn})
    EXPECT_EQ(CodeOf(CheckUse(In(state), same, kNow)), ErrorCode::kApprovalNotGiven);
  EXPECT_EQ(CodeOf(CheckUse(In(S::kExpired), same, kNow)), ErrorCode::kApprovalExpired);
  for (S state : {S::kRequested, S::kApproved})
    EXPECT_EQ(CodeOf(CheckUse(In(state), same, kNow + std::chrono::hours(1))), ErrorCode::kApprovalExpired);
  ApprovalMatch gone = same;
  gone.decider = false;
  EXPECT_EQ(CodeOf(CheckUse(In(S::kApproved), gone, kNow)), ErrorCode::kApprovalNotGiven);
}

TEST(Approval, ItsAnswerIsThereWhileTheKeysOutcomeIs) {
  ApprovalMatch same{true, true, true, false};
  ApprovalShape used = In(S::kUsed);
  used.use_time = kNow;
  EXPECT_TRUE(CheckUse(used, same, kNow));
  EXPECT_TRUE(CheckUse(used, same, kNow + kRepeatedFor - std::chrono::seconds(1)));
  // From here on the outcome may be gone, and the command would be done again.
  EXPECT_EQ(CodeOf(CheckUse(used, same, kNow + kRepeatedFor)), ErrorCode::kApprovalNotGiven);
  EXPECT_LT(kRepeatedFor + std::chrono::hours(1), limits::kIdempotencyKept);
  EXPECT_LT(kApprovedFor + std::chrono::hours(1), limits::kIdempotencyKept);
}

}  // namespace
}  // namespace millrace::identity::domain
