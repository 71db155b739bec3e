// SPDX-License-Identifier: Apache-2.0
#include "services/credit/domain/model.h"

#include <algorithm>
#include <array>
#include <set>
#include <span>

namespace millrace::credit::domain {
namespace {

// The newcomer's prior: 5 bookings of which 95 % were good, so every newcomer has odds of 19 to 1 and the score 600.
constexpr int kPriorBookings = 5;
constexpr int kPriorGood = 950;  // thousandths
// Ages are counted from here; only their differences matter.
constexpr Time kLandmark{Duration(std::chrono::sys_days(std::chrono::year(2026) / 1 / 1).time_since_epoch())};

struct Share {
  Dimension dimension;
  int weight;  // thousandths of the score
};
constexpr std::array<Share, 4> kProviderShares{{{Dimension::kOnTime, 250},
                                                {Dimension::kQuality, 350},
                                                {Dimension::kCancellation, 250},
                                                {Dimension::kReview, 150}}};
constexpr std::array<Share, 4> kBuyerShares{{{Dimension::kNoShow, 300},
                                             {Dimension::kCancellation, 300},
                                             {Dimension::kAcceptance, 200},
                                             {Dimension::kReview, 200}}};

std::span<const Share> SharesOf(Role role) { return role == Role::kProvider ? kProviderShares : kBuyerShares; }

struct Bound {
  const char* grade;
  int bad_rate;  // parts per million, exclusive
};
// Best first; D has no bound.
constexpr Bound kBounds[] = {{"AAA", 10'000}, {"AA", 20'000}, {"A", 30'000},
                             {"B", 80'000},   {"C", 200'000}, {"D", kMillion + 1}};
constexpr int kRankOfA = 2, kRankOfD = 5;

int RankOf(const std::string& grade) {
  for (int rank = 0; rank <= kRankOfD; ++rank) {
    if (grade == kBounds[rank].grade) return rank;
  }
  return -1;
}

// 2^(age of the landmark at `time` / half-life): what a fact of that time weighs against the landmark's.
Wide Growth(Time time) {
  Wide micros = (time - kLandmark).count();
  return Power2(static_cast<int64_t>(micros * kLogOne / kHalfLife.count()));
}

// Sums over facts, weights grown from the landmark. Integers add up the same in whatever order.
struct Sums {
  Wide good = 0, all = 0;  // millionths of a booking, × Growth
  void Add(const Fact& fact) {
    Wide weight = Growth(fact.time) * fact.weight;
    good += weight * fact.good;
    all += weight * 1000;
  }
};

// Sums with the prior at `as_of`.
struct Posterior {
  Wide good, bad;
  Posterior(const Sums& sums, Wide growth) {
    Wide prior = growth * kPriorBookings * 1000;
    good = sums.good + prior * kPriorGood;
    bad = sums.all + prior * 1000 - good;
  }
  // Above the newcomer's, in binary orders of the odds.
  int64_t LogOdds() const { return Log2(good) - Log2(bad) - (Log2(kPriorGood) - Log2(1000 - kPriorGood)); }
};

// Tenths of a point that a dimension adds.
int PointsOf(const Posterior& posterior, int share) {
  Wide points = static_cast<Wide>(posterior.LogOdds()) * kPointsPerDoubling * share;
  return static_cast<int>(DivideRounded(points, static_cast<Wide>(kLogOne) * 1000));
}

// Parts per million; the odds are 19 × 2^(points / 50).
int BadRateOf(int score) {
  Wide odds = Power2(static_cast<int64_t>(score - kScoreBase) * kLogOne / kPointsPerDoubling) * 19;
  return static_cast<int>(DivideRounded((static_cast<Wide>(kMillion) << kPowerBits), odds + (Wide{1} << kPowerBits)));
}

int ScoreOf(int bad_rate) {
  int bad = std::clamp(bad_rate, 1, kMillion - 1);
  Wide points = static_cast<Wide>(Log2(kMillion - bad) - Log2(bad) - Log2(19)) * kPointsPerDoubling;
  return std::clamp(kScoreBase + static_cast<int>(DivideRounded(points, kLogOne)), kScoreLow, kScoreHigh);
}

int ExpectedGood(const Posterior& posterior) {
  return static_cast<int>(DivideRounded(posterior.good * kMillion, posterior.good + posterior.bad));
}

// Parts per million, squared, × 10^6: share² × p(1 − p)/(n + 1), with n in thousandths of a booking.
Wide VarianceOf(const Posterior& posterior, Wide growth, int share) {
  Wide p = ExpectedGood(posterior);
  Wide bookings = (posterior.good + posterior.bad) / (growth * 1000);
  return p * (kMillion - p) * share * share * 1000 / (bookings + 1000);
}

// What the numbers of an assessment follow from.
struct Totals {
  std::array<Sums, 4> sums;  // in the order of SharesOf
  int settled = 0, counterparties = 0;
  std::optional<Time> as_of;
  Wide GrowthNow() const { return Growth(as_of.value_or(kLandmark)); }
};

// Each fact's points are what it adds to those before it in the log, so that they sum to the dimension's exactly.
void PointsByFact(const std::vector<Fact>& facts, int share, Wide growth, DimensionPoints* out) {
  Sums sums;
  int before = 0;
  for (size_t i = 0; i < facts.size(); ++i) {
    if (facts[i].dimension != out->dimension) continue;
    sums.Add(facts[i]);
    int after = PointsOf(Posterior(sums, growth), share);
    out->facts.push_back({i, after - before});
    before = after;
  }
}

Totals TotalsOf(Role role, const std::vector<Fact>& facts) {
  Totals out;
  std::set<Uuid> bookings, counterparties;
  for (const Fact& fact : facts) {
    out.as_of = std::max(out.as_of.value_or(fact.time), fact.time);
    for (size_t i = 0; i < out.sums.size(); ++i) {
      if (SharesOf(role)[i].dimension == fact.dimension) out.sums[i].Add(fact);
    }
    if (!fact.settled) continue;
    bookings.insert(fact.booking);
    counterparties.insert(fact.counterparty);
  }
  out.settled = static_cast<int>(bookings.size());
  out.counterparties = static_cast<int>(counterparties.size());
  return out;
}

// Everything but the points of each fact.
Assessment Judge(Role role, const Totals& totals) {
  Assessment out;
  out.as_of = totals.as_of;
  out.settled = totals.settled;
  out.counterparties = totals.counterparties;
  Wide growth = totals.GrowthNow(), variance = 0, evidence = 0;
  int score = kScoreBase;
  for (size_t i = 0; i < totals.sums.size(); ++i) {
    const Share& share = SharesOf(role)[i];
    Posterior posterior(totals.sums[i], growth);
    DimensionPoints points{share.dimension, PointsOf(posterior, share.weight), ExpectedGood(posterior), {}};
    variance += VarianceOf(posterior, growth, share.weight);
    // Every settled booking leaves a fact of this dimension in both roles.
    if (share.dimension == Dimension::kCancellation) evidence = totals.sums[i].all / (growth * 1000);
    score += points.points;
    out.dimensions.push_back(std::move(points));
  }
  out.score = std::clamp(score, kScoreLow, kScoreHigh);
  out.limit_points = out.score - score;
  out.bad_rate = BadRateOf(out.score);
  out.deviation = static_cast<int>(SquareRoot(variance / kMillion));
  out.evidence = static_cast<int>(std::min<Wide>(evidence, kMillion));
  int reach = static_cast<int>(int64_t{out.deviation} * 1645 / 1000);  // 90 % of a normal distribution
  out.low = std::min(ScoreOf(out.bad_rate + reach), out.score);
  out.high = std::max(ScoreOf(out.bad_rate - reach), out.score);
  return out;
}

// A or better wants evidence; less of it leads to B.
int Allowed(int rank, const Assessment& assessment) {
  return assessment.evidence < kEvidenceForA * 1000 ? std::max(rank, kRankOfA + 1) : rank;
}

// The best grade whose bound lies above the rate.
int RankOfRate(int bad_rate) {
  int rank = 0;
  while (bad_rate >= kBounds[rank].bad_rate) ++rank;
  return rank;
}

}  // namespace

bool Assessment::operator==(const Assessment& o) const {
  auto points = [](const Assessment& a) {
    std::vector<std::pair<int, int>> out;
    for (const DimensionPoints& d : a.dimensions) {
      out.emplace_back(d.points, d.expected_good);
      for (const FactPoints& f : d.facts) out.emplace_back(static_cast<int>(f.fact), f.points);
    }
    return out;
  };
  auto numbers = [](const Assessment& a) {
    return std::vector<int>{a.score,     a.low,      a.high,    a.limit_points,  a.bad_rate,
                            a.deviation, a.evidence, a.settled, a.counterparties};
  };
  return numbers(*this) == numbers(o) && as_of == o.as_of && points(*this) == points(o);
}

Assessment Assess(Role role, const std::vector<Fact>& facts, bool by_fact) {
  Totals totals = TotalsOf(role, facts);
  Assessment out = Judge(role, totals);
  if (!by_fact) return out;
  for (size_t i = 0; i < out.dimensions.size(); ++i) {
    PointsByFact(facts, SharesOf(role)[i].weight, totals.GrowthNow(), &out.dimensions[i]);
  }
  return out;
}

Standing NextStanding(const Standing& before, const Assessment& assessment) {
  if (assessment.settled < kGradedBookings || assessment.counterparties < kGradedCounterparties || !assessment.as_of) {
    return before;
  }
  int quarter = assessment.deviation / 4;
  int pessimistic = Allowed(RankOfRate(assessment.bad_rate + quarter), assessment);
  int rank = RankOf(before.grade);
  if (rank < 0) return {kBounds[pessimistic].grade, assessment.as_of};
  int optimistic = RankOfRate(std::max(0, assessment.bad_rate - quarter));
  if (optimistic > rank) return {kBounds[optimistic].grade, assessment.as_of};
  bool waited = !before.since || *assessment.as_of - *before.since >= kUpgradeEvery;
  if (pessimistic < rank && waited) return {kBounds[rank - 1].grade, assessment.as_of};
  return before;
}

Replayed Replay(Role role, const std::vector<Fact>& facts) {
  Replayed out;
  std::vector<Fact> seen;
  for (size_t i = 0; i < facts.size(); ++i) {
    seen.push_back(facts[i]);
    if (i + 1 < facts.size() && facts[i + 1].cause == facts[i].cause) continue;
    out.assessment = Assess(role, seen, false);
    out.standing = NextStanding(out.standing, out.assessment);
  }
  out.assessment = Assess(role, facts);
  return out;
}

int TierOf(const std::string& grade, bool suspended) {
  if (suspended) return 4;
  int rank = RankOf(grade);
  if (rank < 0) return 3;
  return rank < kRankOfA ? 1 : rank == kRankOfA ? 2 : rank == kRankOfA + 1 ? 3 : 4;
}

std::optional<NextGrade> WhatLeadsUp(Role role, const std::vector<Fact>& facts, const Standing& standing) {
  int rank = RankOf(standing.grade);
  if (rank == 0) return std::nullopt;
  Totals totals = TotalsOf(role, facts);
  NextGrade next;
  if (rank < 0) next.counterparties = std::max(0, kGradedCounterparties - totals.counterparties);
  if (standing.since && totals.as_of && *totals.as_of - *standing.since < kUpgradeEvery) {
    next.not_before = *standing.since + kUpgradeEvery;
  }
  Standing waited{standing.grade, std::nullopt};
  Fact good;
  good.good = 1000;
  good.weight = 1000;
  good.time = totals.as_of.value_or(kLandmark);
  totals.as_of = good.time;
  constexpr int kAtMost = 500;
  for (next.bookings = 1; next.bookings < kAtMost; ++next.bookings) {
    ++totals.settled;
    ++totals.counterparties;
    for (size_t i = 0; i < totals.sums.size(); ++i) {
      if (SharesOf(role)[i].dimension != Dimension::kReview) totals.sums[i].Add(good);  // nobody has to write one
    }
    Standing after = NextStanding(waited, Judge(role, totals));
    bool better = rank < 0 ? after.grade != standing.grade : RankOf(after.grade) >= 0 && RankOf(after.grade) < rank;
    if (!better) continue;
    next.grade = after.grade;
    return next;
  }
  next.grade = rank < 0 ? kBounds[kRankOfD].grade : kBounds[rank - 1].grade;
  return next;
}

int Weight(int64_t value_minor, bool reference_currency, int other_bookings_of_pair, bool half) {
  Wide factor = 1000;
  if (reference_currency) {
    factor = std::clamp<Wide>(
        SquareRoot(static_cast<Wide>(std::max<int64_t>(0, value_minor)) * kMillion / kReferenceValueMinor), 250, 4000);
  }
  return static_cast<int>(std::max<Wide>(1, factor / (1 + other_bookings_of_pair) / (half ? 2 : 1)));
}

int PairBookings(const std::vector<Fact>& facts, const Uuid& counterparty, const Uuid& booking, Time time) {
  std::set<Uuid> bookings;
  for (const Fact& fact : facts) {
    bool near = fact.time <= time && fact.time > time - kPairWindow;
    if (near && fact.counterparty == counterparty && fact.booking != booking) bookings.insert(fact.booking);
  }
  return static_cast<int>(bookings.size());
}

}  // namespace millrace::credit::domain
