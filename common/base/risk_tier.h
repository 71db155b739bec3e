// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace millrace {

// What a RiskTier means to the services that obey it (product: C5). Tier 1 is the most trusted; credit decides the tier, everybody
// takes its effects from here.
struct RiskTierEffects {
  int64_t deposit_basis_points;   // of the listing's deposit; the buyer's tier
  int64_t release_delay_minutes;  // between capture and pay-out; the provider's tier
  int64_t exposure_limit_minor;   // price and deposit of a buyer's open bookings together; the buyer's tier
  bool review_before_publish;     // a listing goes to IN_REVIEW first; the provider's tier
};

// The tier of an organization that was never heard of.
inline constexpr int kNewcomerTier = 3;

constexpr RiskTierEffects EffectsOf(int tier) {
  switch (tier) {
    case 1: return {10000, 0, 1'000'000'000, false};
    case 2: return {10000, 0, 300'000'000, false};
    case 4: return {20000, 3 * 24 * 60, 10'000'000, true};
    default: return {10000, 0, 100'000'000, false};
  }
}

}  // namespace millrace
