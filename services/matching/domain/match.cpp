// SPDX-License-Identifier: Apache-2.0
#include "services/matching/domain/match.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "services/matching/domain/relax.h"
#include "services/matching/domain/score.h"

namespace millrace::matching::domain {
namespace {

constexpr size_t kMissesKept = 128;  // gathered before the nearest are picked out

const Node* ParentOf(const Node& node) {
  return node.parent.empty() ? nullptr : taxonomy::Taxonomy::BuiltIn().Process(node.parent);
}

// Rows to look at, each once, in row order.
std::vector<uint32_t> Candidates(const IndexData& data, const Need& need) {
  std::vector<uint8_t> wanted(data.rows.size(), need.processes.empty());
  for (const Node* process : need.processes) {
    const Node* around = ParentOf(*process);
    if (around == nullptr) around = process;
    for (int node = around->begin; node < around->end; ++node) {
      for (uint32_t row : data.by_process[static_cast<size_t>(node)]) wanted[row] = 1;
    }
  }
  std::vector<uint32_t> rows;
  for (uint32_t row = 0; row < wanted.size(); ++row) {
    if (wanted[row] && data.rows[row].offer && data.rows[row].offer->provider != need.organization) rows.push_back(row);
  }
  return rows;
}

// How far a failing offer is off, ppm a constraint; for the order of misses only.
int64_t Shortfall(const Offer& offer, const Need& need, uint32_t failed, const Miss& miss) {
  auto excess = [](int64_t need_value, int64_t have) {
    if (have <= 0) return kPpm;
    return std::min<int64_t>(kPpm, MultiplyDivide(std::abs(need_value - have), kPpm, std::max(need_value, have)));
  };
  int64_t sum = 0;
  for (int c = 1; c <= kConstraints; ++c) {
    auto constraint = static_cast<Constraint>(c);
    if (!(failed & Bit(constraint))) continue;
    switch (constraint) {
      case Constraint::kTolerance:
        sum += excess(need.tolerance_um, offer.tolerance_um);
        break;
      case Constraint::kEnvelope:
        sum += excess(need.envelope_mm[0], std::min(need.envelope_mm[0], offer.envelope_mm[0]));
        break;
      case Constraint::kMass:
        sum += excess(need.mass_g, offer.mass_g);
        break;
      case Constraint::kUnits:
        sum += excess(need.units, offer.capacity);
        break;
      case Constraint::kDistance:
        sum += miss.distance_km ? excess(need.max_distance_km, *miss.distance_km) : kPpm;
        break;
      case Constraint::kBudget:
        sum += miss.total && need.budget ? excess(need.budget->amount, *miss.total) : kPpm;
        break;
      case Constraint::kCalendar:
        sum += kPpm / 2;
        break;
      default:
        sum += kPpm;
    }
  }
  return sum;
}

bool BetterMatch(const Match& a, const Match& b) {
  if (a.score != b.score) return a.score > b.score;
  return a.offer->listing < b.offer->listing;
}

bool NearerMiss(const Miss& a, const Miss& b) {
  int failed_a = std::popcount(a.failed), failed_b = std::popcount(b.failed);
  if (failed_a != failed_b) return failed_a < failed_b;
  if (a.distance != b.distance) return a.distance < b.distance;
  return a.offer->listing < b.offer->listing;
}

template <class T, class Before>
void KeepFirst(std::vector<T>& values, size_t count, Before before) {
  count = std::min(count, values.size());
  std::ranges::partial_sort(values, values.begin() + static_cast<ptrdiff_t>(count), before);
  values.resize(count);
}

}  // namespace

MatchResult FindMatches(const IndexData& data, const Need& need, Time now, size_t limit) {
  MatchResult result;
  Openings openings(need, now);
  Relaxer relaxer(need);
  int worst_shown = kConstraints;  // failures of the last miss that can still be shown
  for (uint32_t at : Candidates(data, need)) {
    const Row& row = data.rows[at];
    const Offer& offer = *row.offer;
    ++result.considered;
    std::optional<int64_t> distance = DistanceBetween(offer, need);
    uint32_t failed = FailedByCapability(offer, need, distance);
    Result<pricing::Price> price;
    std::optional<Interval> window;
    if (std::popcount(failed) <= 1) {
      price = pricing::PriceWindow(offer.plan, {Time(), Time() + need.length()}, need.units);
      if (!WithinBudget(need, price)) failed |= Bit(Constraint::kBudget);
    }
    if (std::popcount(failed) <= 1) {
      // Units that the resource does not have are not looked for in its calendar.
      window = openings.First(offer, row.busy.get(), std::min(need.units, offer.capacity));
      if (!window) failed |= Bit(Constraint::kCalendar);
    }
    for (int c = 1; c <= kConstraints; ++c) result.failed[static_cast<size_t>(c)] += (failed >> c) & 1;
    if (failed == 0) {
      Match match{row.offer, row.tier, *window, *std::move(price), distance, kPpm, 0, {}};
      match.idle = openings.Idle(offer, row.busy.get());
      result.matches.push_back(std::move(match));
      continue;
    }
    int failures = std::popcount(failed);
    if (failures > worst_shown) continue;
    Miss miss{row.offer, failed, 0, distance, std::nullopt};
    if (price && !price->currency.empty()) miss.total = price->total;
    miss.distance = Shortfall(offer, need, failed, miss);
    if (failures == 1) {
      std::optional<Interval> later;
      if (failed == Bit(Constraint::kCalendar)) later = openings.Later(offer, row.busy.get(), need.units);
      relaxer.Add(miss, price ? price->currency : std::string(), later);
    }
    result.misses.push_back(std::move(miss));
    if (result.misses.size() < kMissesKept) continue;
    KeepFirst(result.misses, kMissesShown, NearerMiss);
    worst_shown = std::popcount(result.misses.back().failed);
  }
  result.match_count = static_cast<int>(result.matches.size());
  Score(result.matches, need, now);
  KeepFirst(result.matches, limit, BetterMatch);
  KeepFirst(result.misses, kMissesShown, NearerMiss);
  result.relaxations = relaxer.Relaxations();
  return result;
}

}  // namespace millrace::matching::domain
