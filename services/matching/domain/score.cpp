// SPDX-License-Identifier: Apache-2.0
#include "services/matching/domain/score.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace millrace::matching::domain {
namespace {

// Where no greatest distance is given, nearness fades to nothing here.
constexpr int64_t kFarKm = 2000;
constexpr BusyList kNothing;

int64_t Share(int64_t part, int64_t whole) {
  if (whole <= 0) return kPpm;
  return std::clamp<int64_t>(MultiplyDivide(part, kPpm, whole), 0, kPpm);
}

int64_t ProcessValue(const Offer& offer, const Need& need) {
  const taxonomy::Taxonomy& taxonomy = taxonomy::Taxonomy::BuiltIn();
  int64_t sum = 0;
  for (const Node* wanted : need.processes) {
    int64_t best = 0;
    for (const Node* offered : offer.processes) {
      // Rounded to ppm at once: from here on it is integers.
      best = std::max<int64_t>(best, std::llround(taxonomy.Similarity(*offered, *wanted) * static_cast<double>(kPpm)));
    }
    sum += best;
  }
  return sum / static_cast<int64_t>(need.processes.size());
}

int64_t CreditValue(int tier) {
  switch (tier) {
    case 1:
      return kPpm;
    case 2:
      return kPpm * 3 / 4;
    case 3:
      return kPpm / 2;
    default:
      return 0;
  }
}

int64_t CalendarValue(const Interval& window, const Need& need, Time now) {
  Time first = std::max(need.window.start, now);
  Time last = need.window.end - need.length();
  if (last <= first) return kPpm;
  return Share((last - window.start).count(), (last - first).count());
}

}  // namespace

Openings::Openings(const Need& need, Time now) : need_(need), now_(now) {
  range_ = {std::max(need.window.start, now), need.window.end};
  later_ = {std::max(range_.start, need.window.end - need.length()), need.window.end + kLaterWindows};
}

const std::vector<Interval>& Openings::Open(Spans& known, const calendar::Rules& rules, Interval range) {
  auto [entry, made] = known.try_emplace(&rules);
  if (made) entry->second = calendar::OpenSpans(rules, range);
  return entry->second;
}

std::optional<Interval> Openings::First(const Offer& offer, const BusyList* busy, int64_t units) {
  // A start is good up to and including the last one that ends in time.
  Interval starts{range_.start, need_.window.end - need_.length() + Duration(1)};
  if (starts.start >= starts.end) return std::nullopt;
  auto found = calendar::FreeWindowsIn(Open(open_, *offer.rules, range_), *offer.rules, offer.capacity,
                                       busy ? *busy : kNothing, starts, need_.length(), units, now_, 1);
  return found.empty() ? std::nullopt : std::optional(found[0]);
}

std::optional<Interval> Openings::Later(const Offer& offer, const BusyList* busy, int64_t units) {
  Interval starts{std::max(later_.start, need_.window.start), later_.end - need_.length() + Duration(1)};
  if (starts.start >= starts.end) return std::nullopt;
  auto found = calendar::FreeWindowsIn(Open(open_later_, *offer.rules, later_), *offer.rules, offer.capacity,
                                       busy ? *busy : kNothing, starts, need_.length(), units, now_, 1);
  return found.empty() ? std::nullopt : std::optional(found[0]);
}

int64_t Openings::Idle(const Offer& offer, const BusyList* busy) {
  int64_t open = 0, taken = 0;
  for (const Interval& span : Open(open_, *offer.rules, range_)) {
    open += span.Length() / std::chrono::minutes(1);
    if (busy == nullptr) continue;
    for (const calendar::Busy& one : *busy) {
      Interval met{std::max(span.start, one.window.start), std::min(span.end, one.window.end)};
      if (met.start < met.end) taken += met.Length() / std::chrono::minutes(1) * std::min(one.units, offer.capacity);
    }
  }
  return kPpm - Share(taken, open * offer.capacity);
}

void Score(std::vector<Match>& matches, const Need& need, Time now) {
  std::map<std::string, int64_t> dearest;
  for (const Match& match : matches) {
    int64_t& most = dearest[match.price.currency];
    most = std::max(most, match.price.total);
  }
  for (Match& match : matches) {
    auto add = [&](const char* name, int64_t weight, int64_t value) {
      match.parts.push_back({name, weight, value, 0});
    };
    const Weights& weights = need.weights;
    int64_t most = need.budget ? need.budget->amount : dearest[match.price.currency];
    add("price", weights.price, most == 0 ? kPpm : Share(most - match.price.total, most));
    if (!need.processes.empty()) add("process", weights.process, ProcessValue(*match.offer, need));
    if (need.tolerance_um > 0) {
      add("tolerance", weights.tolerance, Share(need.tolerance_um - match.offer->tolerance_um, need.tolerance_um));
    }
    if (need.place) {
      int64_t far = need.max_distance_km > 0 ? need.max_distance_km : kFarKm;
      add("distance", weights.distance, match.distance_km ? Share(far - std::min(far, *match.distance_km), far) : 0);
    }
    add("calendar", weights.calendar, CalendarValue(match.window, need, now));
    add("credit", weights.credit, CreditValue(match.tier));
    add("load", weights.load, match.idle);
    int64_t sum = 0;
    for (const ScorePart& part : match.parts) sum += part.weight;
    for (ScorePart& part : match.parts) {
      // Only parts that the demand is silent about have a weight: then all that are left count the same.
      if (sum == 0) part.weight = 1;
    }
    if (sum == 0) sum = static_cast<int64_t>(match.parts.size());
    for (ScorePart& part : match.parts) {
      part.contribution = part.weight * part.value / sum;
      match.score += part.contribution;
    }
  }
}

}  // namespace millrace::matching::domain
