// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/invitation.h"

#include <gtest/gtest.h>

namespace millrace::identity::domain {
namespace {

TEST(Invitation, MovesByTheTable) {
  using enum InvitationState;
  EXPECT_EQ(*Decide(kOpen, InvitationVerb::kAccept), kAccepted);
  EXPECT_EQ(*Decide(kOpen, InvitationVerb::kWithdraw), kWithdrawn);
  EXPECT_EQ(*Decide(kOpen, InvitationVerb::kSupersede), kWithdrawn);
  EXPECT_EQ(*Decide(kOpen, InvitationVerb::kExpire), kExpired);
  ASSERT_NE(InvitationTable().WaitIn(kOpen), nullptr) << "what waits has a default outcome";
  EXPECT_EQ(InvitationTable().WaitIn(kOpen)->outcome, InvitationVerb::kExpire);
  for (InvitationState last : {kAccepted, kExpired, kWithdrawn}) {
    for (InvitationVerb verb :
         {InvitationVerb::kAccept, InvitationVerb::kWithdraw, InvitationVerb::kSupersede, InvitationVerb::kExpire}) {
      auto refused = Decide(last, verb);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, ErrorCode::kStateConflict);
      EXPECT_EQ(refused.error().params.at("allowed"), "-");
    }
  }
}

}  // namespace
}  // namespace millrace::identity::domain
