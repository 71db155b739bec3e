// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/organization.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace millrace::identity::domain {
namespace {

TEST(OrganizationTest, EveryStateIsReachedAndOnlyByTheTable) {
  std::set<State> reached = {State::kPending};
  for (size_t round = 0; round < 4; ++round) {
    for (const auto& row : OrganizationTable().transitions) {
      if (reached.contains(row.from)) reached.insert(row.to);
    }
  }
  EXPECT_EQ(reached.size(), 4u);
  EXPECT_EQ(Decide(State::kPending, Verb::kVerify, kOperator), State::kVerified);
  EXPECT_EQ(Decide(State::kVerified, Verb::kSuspend, kOperator), State::kSuspended);
  EXPECT_EQ(Decide(State::kSuspended, Verb::kReinstate, kOperator), State::kVerified);
  EXPECT_EQ(Decide(State::kPending, Verb::kExpire, kSystem), State::kRejected);
}

TEST(OrganizationTest, RefusesWithWhatIsPossible) {
  auto refused = Decide(State::kPending, Verb::kSuspend, kOperator);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kStateConflict);
  EXPECT_EQ(refused.error().params.at("allowed"), "verify, reject, update");
  EXPECT_EQ(refused.error().params.at("state"), "PENDING");
  for (Verb verb : {Verb::kVerify, Verb::kReject, Verb::kSuspend, Verb::kReinstate, Verb::kUpdate}) {
    EXPECT_FALSE(Decide(State::kRejected, verb, kOperator)) << "rejection is final";
    EXPECT_FALSE(Decide(State::kPending, verb, kProvider)) << "only the operator decides";
  }
  EXPECT_FALSE(Decide(State::kRejected, Verb::kUpdate, kAdmin));
  EXPECT_FALSE(Decide(State::kVerified, Verb::kExpire, kSystem));
}

TEST(OrganizationTest, LegalFactsChangeWhileItIsPending) {
  Facts before{"甲厂", "91350100M000100Y43"}, renamed{"乙厂", "91350100M000100Y43"},
      other{"甲厂", "91320500MANEWC0MRU"};
  Facts made_up{"甲厂", "91350100M000100Y43", true};
  for (bool by_operator : {false, true}) {
    EXPECT_TRUE(CheckFacts(State::kPending, by_operator, before, renamed));
    EXPECT_TRUE(CheckFacts(State::kPending, by_operator, before, other));
    for (State state : {State::kPending, State::kVerified, State::kSuspended}) {
      EXPECT_TRUE(CheckFacts(state, by_operator, before, before));
      auto refused = CheckFacts(state, by_operator, before, made_up);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().violations.at(0).pointer, "#/organization/synthetic");
    }
    for (State state : {State::kVerified, State::kSuspended}) {
      EXPECT_EQ(CheckFacts(state, by_operator, before, renamed).has_value(), by_operator);
      auto refused = CheckFacts(state, by_operator, before, other);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error().code, ErrorCode::kImmutableField);
      EXPECT_EQ(refused.error().params.at("field"), "uscc");
    }
  }
  before.invited = other.invited = true;
  EXPECT_FALSE(CheckFacts(State::kPending, true, before, other)) << "the register invited this uscc and no other";
}

TEST(OrganizationTest, ChecksRegionsByProvince) {
  for (const char* code : {"320583", "110000", "440305", "820000", ""})
    EXPECT_TRUE(CheckRegionCode(code, "#/x")) << code;
  for (const char* code : {"000000", "160000", "990000", "32058", "3205833", "32058a"}) {
    EXPECT_FALSE(CheckRegionCode(code, "#/x")) << code;
  }
}

TEST(OrganizationTest, ChecksPositions) {
  auto kept = ToWgs84({120.98, 31.38}, CoordinateSystem::kWgs84, "#/site/place");
  ASSERT_TRUE(kept);
  EXPECT_EQ(*kept, (Point{120.98, 31.38}));
  auto moved = ToWgs84({120.98, 31.38}, CoordinateSystem::kGcj02, "#/site/place");
  ASSERT_TRUE(moved);
  double km = DistanceKm(*kept, *moved);
  EXPECT_GT(km, 0.1);
  EXPECT_LT(km, 1.0);
  for (Point bad : {Point{180.5, 0}, Point{-181, 0}, Point{0, 90.1}, Point{0, -91}, Point{NAN, 0}, Point{0, NAN},
                    Point{INFINITY, 0}}) {
    auto refused = ToWgs84(bad, CoordinateSystem::kBd09, "#/site/place");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kOutOfRange);
  }
}

TEST(OrganizationTest, AKeyHasNoMoreThanItsOrganizationAndItsMaker) {
  using Roles = std::vector<std::string>;
  EXPECT_EQ(KeyRoles({}, {"provider", "buyer"}, {"buyer", "provider"}), (Roles{"buyer", "provider"}));
  EXPECT_EQ(KeyRoles({"buyer", "buyer"}, {"provider", "buyer"}, {"buyer"}), (Roles{"buyer"}));
  auto refused = KeyRoles({"operator"}, {"provider", "buyer"}, {"provider", "buyer"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(refused.error().params.at("roles"), "operator");
  EXPECT_FALSE(KeyRoles({"provider"}, {"provider", "buyer"}, {"buyer"})) << "a narrow key makes no wider one";
  EXPECT_FALSE(KeyRoles({}, {"provider", "buyer"}, {"buyer"}));
}

}  // namespace
}  // namespace millrace::identity::domain
