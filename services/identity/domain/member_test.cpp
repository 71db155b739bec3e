// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/member.h"

#include <gtest/gtest.h>

namespace millrace::identity::domain {
namespace {

TEST(Member, MovesByTheTable) {
  using enum MemberState;
  EXPECT_EQ(*Decide(kInvited, MemberVerb::kAccept), kActive);
  EXPECT_EQ(*Decide(kInvited, MemberVerb::kExpire), kExpired);
  EXPECT_EQ(*Decide(kActive, MemberVerb::kRemove), kRemoved);
  for (MemberState last : {kRemoved, kExpired}) {
    for (MemberVerb verb : {MemberVerb::kAccept, MemberVerb::kUpdate, MemberVerb::kRemove, MemberVerb::kExpire}) {
      auto refused = Decide(last, verb);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, ErrorCode::kStateConflict);
      EXPECT_EQ(refused.error().params.at("allowed"), "-");
    }
  }
  EXPECT_EQ(Decide(kActive, MemberVerb::kAccept).error().params.at("allowed"), "update, remove");
  EXPECT_FALSE(Decide(kActive, MemberVerb::kExpire));
}

TEST(Member, AnAdministratorStays) {
  MemberShape admin{true, true}, plain{true, false}, gone{false, true};
  EXPECT_EQ(CheckLastAdmin({}, admin, gone).error().code, ErrorCode::kLastAdmin);
  EXPECT_EQ(CheckLastAdmin({plain, gone}, admin, plain).error().code, ErrorCode::kLastAdmin);
  EXPECT_TRUE(CheckLastAdmin({admin}, admin, gone));
  EXPECT_TRUE(CheckLastAdmin({}, plain, gone)) << "there was none before either";
  EXPECT_TRUE(CheckLastAdmin({}, admin, admin));
  EXPECT_TRUE(CheckLastAdmin({}, gone, gone));
}

}  // namespace
}  // namespace millrace::identity::domain
