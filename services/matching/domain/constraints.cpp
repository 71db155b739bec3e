// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "services/matching/domain/match.h"

namespace millrace::matching::domain {

bool ServesProcess(const Offer& offer, const Node& wanted) {
  return std::ranges::any_of(offer.processes, [&](const Node* offered) {
    return wanted.begin <= offered->begin && offered->end <= wanted.end;
  });
}

bool ServesMaterial(const Offer& offer, const Node& wanted) {
  return std::ranges::any_of(offer.materials, [&](const Node* offered) {
    return (wanted.begin <= offered->begin && offered->end <= wanted.end) ||
           (offered->begin <= wanted.begin && wanted.end <= offered->end);
  });
}

std::optional<int64_t> DistanceBetween(const Offer& offer, const Need& need) {
  if (!offer.place || !need.place) return std::nullopt;
  return static_cast<int64_t>(std::ceil(DistanceKm(*offer.place, *need.place)));
}

bool HoldsCertificate(const Offer& offer, const Scheme& scheme, Time until) {
  return std::ranges::any_of(offer.certificates, [&](const Certificate& held) {
    return held.scheme == scheme.folded && (!held.expire || *held.expire >= until);
  });
}

uint32_t FailedByCapability(const Offer& offer, const Need& need, std::optional<int64_t> distance_km) {
  uint32_t failed = 0;
  auto check = [&](Constraint constraint, bool holds) {
    if (!holds) failed |= Bit(constraint);
  };
  check(Constraint::kProcess,
        std::ranges::all_of(need.processes, [&](const Node* node) { return ServesProcess(offer, *node); }));
  check(Constraint::kMaterial,
        std::ranges::all_of(need.materials, [&](const Node* node) { return ServesMaterial(offer, *node); }));
  check(Constraint::kTolerance,
        need.tolerance_um == 0 || (offer.tolerance_um > 0 && offer.tolerance_um <= need.tolerance_um));
  for (size_t side = 0; side < 3; ++side)
    check(Constraint::kEnvelope, need.envelope_mm[side] <= offer.envelope_mm[side]);
  check(Constraint::kMass, need.mass_g <= offer.mass_g);
  check(Constraint::kCertificate, std::ranges::all_of(need.certificates, [&](const Scheme& scheme) {
          return HoldsCertificate(offer, scheme, need.window.end);
        }));
  check(Constraint::kKind, need.kind == 0 || offer.kind == need.kind);
  check(Constraint::kUnits, need.units <= offer.capacity);
  check(Constraint::kDistance, need.max_distance_km == 0 || (distance_km && *distance_km <= need.max_distance_km));
  return failed;
}

bool WithinBudget(const Need& need, const Result<pricing::Price>& price) {
  if (!price) return false;
  return !need.budget || (price->currency == need.budget->currency && price->total <= need.budget->amount);
}

}  // namespace millrace::matching::domain
