// SPDX-License-Identifier: Apache-2.0
// Which listings meet a demand, how well, why others do not, and what would add more. Integer arithmetic throughout, so
// that the same index gives the same answer everywhere.
#pragma once

#include <array>

#include "services/matching/domain/index.h"

namespace millrace::matching::domain {

inline constexpr int64_t kPpm = 1'000'000;
inline constexpr size_t kMissesShown = 10;
// How far beyond the wanted window a later one is looked for.
inline constexpr std::chrono::hours kLaterWindows{24 * 30};

struct ScorePart {
  const char* name;
  int64_t weight = 0;
  int64_t value = 0;         // ppm
  int64_t contribution = 0;  // ppm
};

struct Match {
  std::shared_ptr<const Offer> offer;
  int tier = 3;
  Interval window;
  pricing::Price price;
  std::optional<int64_t> distance_km;
  int64_t idle = kPpm;  // share of the open time in the demand's window that is not taken
  int64_t score = 0;    // sum of the contributions
  std::vector<ScorePart> parts;
};

struct Miss {
  std::shared_ptr<const Offer> offer;
  uint32_t failed = 0;   // bits of Constraint
  int64_t distance = 0;  // how far off, for the order
  std::optional<int64_t> distance_km;
  std::optional<int64_t> total;  // minor units, of the plan's currency
};

struct Relaxation {
  Constraint constraint;
  Need need;                      // the demand with this one constraint relaxed
  int adds = 0;                   // matches that it adds; UNITS, which also helps calendar and budget: at least
  const Node* wanted = nullptr;   // PROCESS, MATERIAL: what is widened
  const Node* relaxed = nullptr;  // to this; null: left out
  Scheme scheme;                  // CERTIFICATE: what is left out
};

struct MatchResult {
  std::vector<Match> matches;  // best first, at most the limit
  int match_count = 0;
  std::vector<Miss> misses;
  std::vector<Relaxation> relaxations;
  int considered = 0;                          // BUDGET, then CALENDAR are looked at where at most one other fails
  std::array<int, kConstraints + 1> failed{};  // by Constraint
};

// Whether `offered` does for `wanted`: materials are served by a wider or a narrower one.
bool ServesProcess(const Offer& offer, const Node& wanted);
bool ServesMaterial(const Offer& offer, const Node& wanted);
bool HoldsCertificate(const Offer& offer, const Scheme& scheme, Time until);
// The great-circle distance, rounded up; none if a place is missing.
std::optional<int64_t> DistanceBetween(const Offer& offer, const Need& need);
// The hard constraints but BUDGET and CALENDAR that an offer fails, as bits.
uint32_t FailedByCapability(const Offer& offer, const Need& need, std::optional<int64_t> distance_km);
// Whether the price of the wanted time is within the budget. A price that cannot be named cannot be booked either.
bool WithinBudget(const Need& need, const Result<pricing::Price>& price);

// The answer at `now`. Looks at published listings of others that offer a wanted process, one below it, or one below
// its parent.
MatchResult FindMatches(const IndexData& data, const Need& need, Time now, size_t limit);

}  // namespace millrace::matching::domain
