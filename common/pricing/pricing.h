// SPDX-License-Identifier: Apache-2.0
// What a window costs, line by line. Integer minor units; each line is rounded half to even.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace::pricing {

enum class RateUnit { kHour = 1, kShift = 2, kDay = 3, kMonth = 4 };  // numbers of PricePlan.RateUnit

struct Step {
  int64_t from_minutes = 0;
  int64_t unit_price = 0;  // minor units per rate unit and capacity unit
};

struct CancellationTier {
  int64_t hours_before = 0;
  int64_t fee_basis_points = 0;
};

struct Plan {
  std::string currency = "CNY";
  RateUnit unit = RateUnit::kHour;
  std::vector<Step> steps;
  int64_t shift_minutes = 480;
  int64_t setup_fee = 0;
  int64_t minimum_charge = 0;
  int64_t deposit = 0;
  int64_t vat_basis_points = 0;
  bool vat_included = false;
  int64_t no_show_basis_points = 0;
  int64_t late_return_unit_price = 0;
  std::vector<CancellationTier> cancellation;
};

struct Line {
  std::string code;  // TIME, SETUP, MINIMUM_TOP_UP, VAT
  int64_t quantity_minutes = 0;
  int64_t unit_price = 0;
  int64_t amount = 0;
};

// lines sum to total = net + vat; the deposit stands beside it.
struct Price {
  std::vector<Line> lines;
  int64_t net = 0, vat = 0, total = 0, deposit = 0;
  std::string currency;
};

// Faults of a plan by field; `pointer` is the plan's. Steps: the first at 0, strictly ascending.
std::vector<Violation> CheckPlan(const Plan& plan, std::string_view pointer);
// The price of `window` for `units`. OUT_OF_RANGE if it would not fit in kMaxMoneyAmount.
Result<Price> PriceWindow(const Plan& plan, Interval window, int64_t units);
// The fee for cancelling `before_start` ahead: the tightest tier that applies, of `total`.
int64_t CancellationFee(const Plan& plan, int64_t total, Duration before_start);
int64_t NoShowFee(const Plan& plan, int64_t total);

}  // namespace millrace::pricing
