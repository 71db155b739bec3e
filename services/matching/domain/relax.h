// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "services/matching/domain/match.h"

namespace millrace::matching::domain {

// Gathers the listings that fail one constraint only, and finds for each constraint the smallest relaxation that adds
// any of them.
class Relaxer {
 public:
  explicit Relaxer(const Need& need) : need_(need) {}
  // `later`: a bookable window behind the demand's, where CALENDAR fails.
  void Add(const Miss& miss, const std::string& currency, const std::optional<Interval>& later);
  // At most one a constraint, in the order of the constraints.
  std::vector<Relaxation> Relaxations() const;

 private:
  // One node of the demand that offers do not serve, and how many offers each widening of it would add.
  struct Widening {
    std::map<int, int> adds;  // steps up → offers that need just so many
  };

  void AddNode(const Offer& offer, bool process);
  std::optional<Relaxation> Numeric(Constraint constraint) const;
  std::optional<Relaxation> Envelope() const;
  std::optional<Relaxation> Nodes(bool process) const;
  std::optional<Relaxation> Certificates() const;

  const Need& need_;
  std::map<Constraint, std::map<int64_t, int>> numbers_;  // value that would do → offers
  std::vector<Sides> sides_;
  std::map<const Node*, Widening> processes_, materials_;
  std::map<size_t, int> schemes_;  // by place in the demand's list
  int kinds_ = 0;
};

}  // namespace millrace::matching::domain
