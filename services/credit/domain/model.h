// SPDX-License-Identifier: Apache-2.0
// The credit model: from facts to a score that explains itself, and from scores to grades. Pure, and in integers, so
// that the fact log gives the same bits whenever and wherever it is computed again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/id.h"
#include "common/base/time.h"
#include "services/credit/domain/fixed.h"

namespace millrace::credit::domain {

// Numbers of millrace.credit.v1.Role and Dimension.
enum class Role { kProvider = 1, kBuyer = 2 };
enum class Dimension { kOnTime = 1, kQuality, kCancellation, kNoShow, kAcceptance, kReview };

// Raise it when a number below changes: scores of different models do not compare.
inline constexpr int kModelVersion = 1;
inline constexpr Duration kHalfLife = std::chrono::hours(180 * 24);
inline constexpr Duration kStaleAfter = std::chrono::hours(180 * 24);
inline constexpr Duration kPairWindow = std::chrono::hours(90 * 24);
inline constexpr Duration kUpgradeEvery = std::chrono::hours(90 * 24);
inline constexpr Duration kReviewWindow = std::chrono::hours(14 * 24);
inline constexpr int kGradedBookings = 3;
inline constexpr int kGradedCounterparties = 2;
inline constexpr int kEvidenceForA = 10;                  // in bookings of the reference value that are fresh
inline constexpr int64_t kReferenceValueMinor = 100'000;  // a booking of 1,000.00 CNY counts once
inline constexpr int kScoreBase = 6000, kScoreLow = 3000, kScoreHigh = 9000,
                     kPointsPerDoubling = 500;  // tenths of a point
inline constexpr int kMillion = 1'000'000;

// One observation.
struct Fact {
  Uuid id;
  Uuid organization;
  Role role = Role::kProvider;
  Dimension dimension = Dimension::kOnTime;
  int good = 0;    // 0 to 1000
  int weight = 0;  // thousandths, before it ages
  Uuid counterparty;
  Uuid booking;
  Uuid cause;            // the event or review that left it; facts of one cause are judged together
  bool settled = false;  // of a booking that was closed
  Time time;
};

// Tenths of a point that a fact adds.
struct FactPoints {
  size_t fact = 0;  // index in the facts
  int points = 0;
};

struct DimensionPoints {
  Dimension dimension = Dimension::kOnTime;
  int points = 0;
  int expected_good = 0;          // parts per million
  std::vector<FactPoints> facts;  // in log order; their points sum to `points`
};

// What facts say at the time of the newest of them.
struct Assessment {
  int score = kScoreBase, low = 0, high = 0;  // tenths of a point; low and high enclose 90 %
  int limit_points = 0;                       // kScoreBase + points of all dimensions + this = score
  int bad_rate = 0, deviation = 0;  // parts per million: predicted share of bad outcomes, and its standard deviation
  int evidence = 0;                 // thousandths of a fresh booking of the reference value
  int settled = 0, counterparties = 0;
  std::optional<Time> as_of;
  std::vector<DimensionPoints> dimensions;
  bool operator==(const Assessment& other) const;
};

// `facts` of one organization in one role, in log order. `by_fact`: with each fact's points, which an explanation needs.
Assessment Assess(Role role, const std::vector<Fact>& facts, bool by_fact = true);

// A grade with its memory.
struct Standing {
  std::string grade = "N";
  std::optional<Time> since;  // when the grade last changed
  bool operator==(const Standing&) const = default;
};
// The grade after `before`, given what the facts say: down at once, by as many grades as it takes, when the predicted
// bad rate less a quarter of its deviation is above the grade's bound; up by one when the rate with a quarter of its
// deviation is below the next grade's, at most every 90 days; A and above need evidence of 10.
Standing NextStanding(const Standing& before, const Assessment& assessment);
// Runs the whole log: standing and assessment after the last fact.
struct Replayed {
  Standing standing;
  Assessment assessment;
};
Replayed Replay(Role role, const std::vector<Fact>& facts);

int TierOf(const std::string& grade, bool suspended);

// How many further good, fresh bookings of the reference value with ever new counterparties lead to a better grade, at
// most 500; nothing at AAA. `not_before`: when the wait between upgrades ends, if it has not.
struct NextGrade {
  std::string grade;
  int bookings = 0;
  int counterparties = 0;  // at least this many of them new; N only
  std::optional<Time> not_before;
};
std::optional<NextGrade> WhatLeadsUp(Role role, const std::vector<Fact>& facts, const Standing& standing);

// Thousandths: sqrt(value / reference), 0.25 to 4, shared with the pair's other bookings of 90 days; `half`: reviews
// count half.
int Weight(int64_t value_minor, bool reference_currency, int other_bookings_of_pair, bool half);
// Bookings of `facts` with this counterparty within 90 days before `time`, `booking` itself left out.
int PairBookings(const std::vector<Fact>& facts, const Uuid& counterparty, const Uuid& booking, Time time);

}  // namespace millrace::credit::domain
