// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_map>

#include "services/matching/domain/match.h"

namespace millrace::matching::domain {

// Free windows of one demand. Many listings share one calendar, so its open spans are worked out once.
class Openings {
 public:
  Openings(const Need& need, Time now);
  // The earliest bookable window within the demand's.
  std::optional<Interval> First(const Offer& offer, const BusyList* busy, int64_t units);
  // The earliest one that ends behind the demand's window, within kLaterWindows of its end.
  std::optional<Interval> Later(const Offer& offer, const BusyList* busy, int64_t units);
  // See Match::idle.
  int64_t Idle(const Offer& offer, const BusyList* busy);

 private:
  using Spans = std::unordered_map<const calendar::Rules*, std::vector<Interval>>;
  const std::vector<Interval>& Open(Spans& known, const calendar::Rules& rules, Interval range);

  const Need& need_;
  Time now_;
  Interval range_, later_;
  Spans open_, open_later_;
};

// Fills parts and scores. A part that the demand says nothing about is left out; the score is the sum of the parts.
void Score(std::vector<Match>& matches, const Need& need, Time now);

}  // namespace millrace::matching::domain
