// SPDX-License-Identifier: Apache-2.0
#include "services/credit/domain/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "services/credit/domain/outcomes.h"
#include "tests/support/rounds.h"

namespace millrace::credit::domain {
namespace {

using std::chrono::hours;

constexpr Time kStart{Duration(std::chrono::sys_days(std::chrono::year(2026) / 10 / 1).time_since_epoch())};

Uuid Number(uint32_t n) {
  Uuid id;
  for (int i = 0; i < 4; ++i) id.bytes[static_cast<size_t>(15 - i)] = static_cast<uint8_t>(n >> (8 * i));
  return id;
}

// What a settled booking of the reference value leaves about its provider.
void AddBooking(std::vector<Fact>* facts, uint32_t number, uint32_t counterparty, Time time, int good = 1000,
                int weight = 1000) {
  for (Dimension dimension : {Dimension::kOnTime, Dimension::kQuality, Dimension::kCancellation}) {
    Fact fact;
    fact.dimension = dimension;
    fact.good = good;
    fact.weight = weight;
    fact.booking = fact.cause = Number(number);
    fact.counterparty = Number(1'000'000 + counterparty);
    fact.settled = true;
    fact.time = time;
    facts->push_back(fact);
  }
}

std::vector<Fact> Random(std::mt19937& random, int bookings) {
  std::vector<Fact> facts;
  auto pick = [&](int below) { return static_cast<int>(random() % static_cast<uint32_t>(below)); };
  for (int i = 0; i < bookings; ++i) {
    AddBooking(&facts, static_cast<uint32_t>(i + 1), static_cast<uint32_t>(pick(6)), kStart + hours(pick(24 * 700)),
               pick(4) == 0 ? pick(1001) : 1000, 250 + pick(3750));
    if (pick(3) == 0) {
      Fact review = facts.back();
      review.dimension = Dimension::kReview;
      review.cause = Number(static_cast<uint32_t>(5'000'000 + i));
      review.good = 250 * pick(5);
      facts.push_back(review);
    }
  }
  return facts;
}

TEST(Fixed, AgreesWithFloatingPoint) {
  for (int64_t value : {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{950}, int64_t{1'000'003}, INT64_MAX}) {
    EXPECT_NEAR(static_cast<double>(Log2(value)) / static_cast<double>(kLogOne), std::log2(static_cast<double>(value)),
                1e-8);
    double root = static_cast<double>(SquareRoot(value));
    EXPECT_LE(root, std::sqrt(static_cast<double>(value)) * 1.0000001);
    EXPECT_GT(root + 1, std::sqrt(static_cast<double>(value)) * 0.9999999);
  }
  for (double exponent : {-7.25, -1.0, -0.001, 0.0, 0.5, 1.0, 3.999, 20.125}) {
    auto fixed = static_cast<int64_t>(exponent * static_cast<double>(kLogOne));
    double power = static_cast<double>(Power2(fixed)) / (1 << kPowerBits);
    EXPECT_NEAR(power / std::exp2(exponent), 1.0, 2e-4) << exponent;
  }
  EXPECT_EQ(DivideRounded(5, 2), 3);
  EXPECT_EQ(DivideRounded(-5, 2), -3);
  EXPECT_EQ(DivideRounded(4, 3), 1);
}

TEST(Model, ANewcomerStandsAtTheBase) {
  for (Role role : {Role::kProvider, Role::kBuyer}) {
    Assessment none = Assess(role, {});
    EXPECT_EQ(none.score, kScoreBase);
    EXPECT_NEAR(none.bad_rate, 50'000, 1);
    EXPECT_LT(none.low, none.score);
    EXPECT_GT(none.high, none.score);
    EXPECT_EQ(NextStanding({}, none).grade, "N");
  }
}

TEST(Model, TheFirstTradeMovesTheScoreAndNarrowsItsInterval) {
  std::vector<Fact> facts;
  AddBooking(&facts, 1, 1, kStart);
  Assessment before = Assess(Role::kProvider, {}), after = Assess(Role::kProvider, facts);
  EXPECT_GT(after.score, before.score);
  EXPECT_GT(after.low, before.low);
  EXPECT_LT(after.deviation, before.deviation);
  EXPECT_EQ(Replay(Role::kProvider, facts).standing.grade, "N");
  std::optional<NextGrade> next = WhatLeadsUp(Role::kProvider, facts, {});
  ASSERT_TRUE(next);
  EXPECT_EQ(next->bookings, 2);
  EXPECT_EQ(next->counterparties, 1);
  EXPECT_EQ(next->grade, "B");
  facts.clear();
  AddBooking(&facts, 1, 1, kStart, 0);
  EXPECT_LT(Assess(Role::kProvider, facts).score, before.score);
}

TEST(Model, PointsSumToTheScoreExactly) {
  std::mt19937 random(7);
  for (int round = 0; round < Rounds(100); ++round) {
    Assessment assessment = Assess(Role::kProvider, Random(random, 1 + round % 30));
    int sum = kScoreBase + assessment.limit_points;
    for (const DimensionPoints& dimension : assessment.dimensions) {
      int facts = 0;
      for (const FactPoints& fact : dimension.facts) facts += fact.points;
      EXPECT_EQ(facts, dimension.points);
      sum += dimension.points;
    }
    EXPECT_EQ(sum, assessment.score);
    EXPECT_LE(assessment.low, assessment.score);
    EXPECT_GE(assessment.high, assessment.score);
  }
}

TEST(Model, TheLogGivesTheSameBitsAgainAndSumsDoNotDependOnOrder) {
  std::mt19937 random(8);
  for (int round = 0; round < Rounds(30); ++round) {
    std::vector<Fact> facts = Random(random, 25);
    Replayed once = Replay(Role::kProvider, facts), twice = Replay(Role::kProvider, facts);
    EXPECT_EQ(once.assessment, twice.assessment);
    EXPECT_EQ(once.standing, twice.standing);
    int score = once.assessment.score, rate = once.assessment.bad_rate;
    std::ranges::shuffle(facts, random);
    EXPECT_EQ(Assess(Role::kProvider, facts).score, score);
    EXPECT_EQ(Assess(Role::kProvider, facts).bad_rate, rate);
  }
}

// Numbers of another program (exact rationals and long logarithms), so that a change of the arithmetic is seen.
TEST(Model, KnownScores) {
  std::vector<Fact> facts;
  AddBooking(&facts, 1, 1, kStart);
  // p = 5.75/6 in three dimensions of weight .85: 6000 + 500 × .85 × log2((5.75/.25)/19) = 6000 + 117.1.
  EXPECT_NEAR(Assess(Role::kProvider, facts).score, 6000 + 500 * .85 * std::log2((5.75 / .25) / 19), 2);
  AddBooking(&facts, 2, 2, kStart + kHalfLife);
  double n = 5 + 1.5;
  EXPECT_NEAR(Assess(Role::kProvider, facts).score, 6000 + 500 * .85 * std::log2(((n - .25) / .25) / 19), 2);
}

TEST(Model, GoodFactsNeverLowerAndBadOnesNeverRaise) {
  std::mt19937 random(9);
  for (int round = 0; round < Rounds(100); ++round) {
    std::vector<Fact> facts = Random(random, 12);
    Assessment before = Assess(Role::kProvider, facts);
    std::vector<Fact> better = facts, worse = facts;
    AddBooking(&better, 900, 9, *before.as_of, 1000);
    AddBooking(&worse, 900, 9, *before.as_of, 0);
    EXPECT_GE(Assess(Role::kProvider, better).score, before.score);
    EXPECT_LE(Assess(Role::kProvider, worse).score, before.score);
  }
}

TEST(Model, OldFactsFade) {
  std::vector<Fact> facts;
  AddBooking(&facts, 1, 1, kStart, 0);
  int fresh = Assess(Role::kProvider, facts).score;
  AddBooking(&facts, 2, 2, kStart + 6 * kHalfLife, 1000, 1);  // hardly any evidence, but the time goes on
  EXPECT_GT(Assess(Role::kProvider, facts).score, fresh + 100);
}

TEST(Standing, NeedsThreeBookingsOfTwoCounterparties) {
  std::vector<Fact> facts;
  for (uint32_t i = 1; i <= 5; ++i) AddBooking(&facts, i, 1, kStart + hours(i));
  EXPECT_EQ(Replay(Role::kProvider, facts).standing.grade, "N");
  AddBooking(&facts, 6, 2, kStart + hours(6));
  EXPECT_EQ(Replay(Role::kProvider, facts).standing.grade, "B");
}

TEST(Standing, RisesByOneEveryNinetyDaysAndFallsAtOnce) {
  std::vector<Fact> facts;
  uint32_t number = 0;
  auto add = [&](int count, Time time, int good) {
    for (int i = 0; i < count; ++i) {
      ++number;
      AddBooking(&facts, number, number, time + hours(i), good);
    }
    return Replay(Role::kProvider, facts).standing.grade;
  };
  EXPECT_EQ(add(3, kStart, 1000), "B");
  EXPECT_EQ(add(60, kStart + hours(24 * 10), 1000), "B");  // good enough for more, but it waits
  EXPECT_EQ(add(1, kStart + hours(24 * 91), 1000), "A");
  EXPECT_EQ(add(30, kStart + hours(24 * 92), 1000), "A");
  EXPECT_EQ(add(1, kStart + hours(24 * 190), 1000), "AA");
  EXPECT_EQ(add(40, kStart + hours(24 * 191), 0), "D");
}

TEST(Standing, AWantsEvidence) {
  Assessment assessment;
  assessment.settled = 9;
  assessment.counterparties = 9;
  assessment.bad_rate = 5'000;
  assessment.as_of = kStart;
  assessment.evidence = 9'999;
  EXPECT_EQ(NextStanding({}, assessment).grade, "B");
  assessment.evidence = 10'000;
  EXPECT_EQ(NextStanding({}, assessment).grade, "AAA");
  assessment.evidence = 0;  // idle: no downgrade
  EXPECT_EQ(NextStanding({"AAA", kStart}, assessment).grade, "AAA");
}

TEST(Standing, StaysWhereTheEvidenceIsNotClear) {
  Assessment assessment;
  assessment.settled = assessment.counterparties = 20;
  assessment.evidence = 20'000;
  assessment.as_of = kStart + hours(24 * 365);
  assessment.deviation = 8'000;
  for (auto [rate, grade] : std::initializer_list<std::pair<int, const char*>>{{30'001, "A"},
                                                                               {31'999, "A"},
                                                                               {32'001, "B"},
                                                                               {18'001, "A"},
                                                                               {17'999, "AA"},
                                                                               {100'000, "C"},
                                                                               {500'000, "D"}}) {
    assessment.bad_rate = rate;
    EXPECT_EQ(NextStanding({"A", kStart}, assessment).grade, grade) << rate;
  }
}

TEST(Model, Tiers) {
  const std::pair<const char*, int> kExpected[] = {{"AAA", 1}, {"AA", 1}, {"A", 2}, {"N", 3},
                                                   {"B", 3},   {"C", 4},  {"D", 4}};
  for (auto [grade, tier] : kExpected) {
    EXPECT_EQ(TierOf(grade, false), tier);
    EXPECT_EQ(TierOf(grade, true), 4);
  }
}

TEST(Model, Weights) {
  EXPECT_EQ(Weight(kReferenceValueMinor, true, 0, false), 1000);
  EXPECT_EQ(Weight(4 * kReferenceValueMinor, true, 0, false), 2000);
  EXPECT_EQ(Weight(1'000'000'000'000, true, 0, false), 4000);
  EXPECT_EQ(Weight(1, true, 0, false), 250);
  EXPECT_EQ(Weight(kReferenceValueMinor, true, 3, false), 250);
  EXPECT_EQ(Weight(kReferenceValueMinor, true, 0, true), 500);
  EXPECT_EQ(Weight(1, false, 0, false), 1000);
  std::vector<Fact> facts;
  AddBooking(&facts, 1, 1, kStart);
  AddBooking(&facts, 2, 1, kStart + hours(1));
  AddBooking(&facts, 3, 2, kStart + hours(2));
  EXPECT_EQ(PairBookings(facts, Number(1'000'001), Number(2), kStart + hours(3)), 1);
  EXPECT_EQ(PairBookings(facts, Number(1'000'001), Number(9), kStart + hours(3)), 2);
  EXPECT_EQ(PairBookings(facts, Number(1'000'001), Number(9), kStart + kPairWindow), 1);
}

TEST(Outcomes, WorseWithDelayAndShortNotice) {
  EXPECT_EQ(GoodOfHandover(-hours(1)), 1000);
  EXPECT_EQ(GoodOfHandover(std::chrono::minutes(15)), 1000);
  EXPECT_EQ(GoodOfHandover(hours(24)), 0);
  for (int minute = 16; minute < 24 * 60; ++minute) {
    int good = GoodOfHandover(std::chrono::minutes(minute));
    EXPECT_LT(good, 1000);
    EXPECT_LE(good, GoodOfHandover(std::chrono::minutes(minute - 1)));
  }
  EXPECT_EQ(GoodOfCancellation(hours(7 * 24)), 800);
  EXPECT_EQ(GoodOfCancellation(hours(7 * 24) - Duration(1)), 500);
  EXPECT_EQ(GoodOfCancellation(hours(24) - Duration(1)), 0);
  EXPECT_EQ(GoodOfCancellation(-hours(1)), 0);
}

}  // namespace
}  // namespace millrace::credit::domain
