// SPDX-License-Identifier: Apache-2.0
#include "common/pricing/pricing.h"

#include <algorithm>
#include <limits>

#include "common/base/money.h"

namespace millrace::pricing {
namespace {

constexpr int64_t kBasisPointsOfAll = 10000;

int64_t MinutesOf(const Plan& plan) {
  switch (plan.unit) {
    case RateUnit::kHour:
      return 60;
    case RateUnit::kShift:
      return plan.shift_minutes > 0 ? plan.shift_minutes : 480;
    case RateUnit::kDay:
      return 24 * 60;
    case RateUnit::kMonth:
      return 30 * 24 * 60;
  }
  return 60;
}

std::unexpected<Error> TooMuch() {
  return Fail(
      Error::At("#/total", ErrorCode::kOutOfRange, {{"min", "0"}, {"max", std::to_string(kMaxMoneyAmount - 1)}}));
}

// minutes × units × unit price / minutes of the rate unit, unless it reaches kMaxMoneyAmount.
Result<int64_t> TimeAmount(int64_t minutes, int64_t units, int64_t unit_price, int64_t rate_minutes) {
  __int128 quantity = static_cast<__int128>(minutes) * units;
  if (quantity > std::numeric_limits<int64_t>::max()) return TooMuch();
  if (quantity * unit_price / rate_minutes >= kMaxMoneyAmount) return TooMuch();
  return MultiplyDivide(static_cast<int64_t>(quantity), unit_price, rate_minutes);
}

Result<void> Add(Price& price, Line line) {
  price.total += line.amount;
  if (price.total >= kMaxMoneyAmount) return TooMuch();
  price.lines.push_back(std::move(line));
  return {};
}

class PlanCheck {
 public:
  PlanCheck(std::string_view pointer, std::vector<Violation>& out) : pointer_(pointer), out_(out) {}

  void Wrong(const std::string& field, ErrorCode code, ErrorParams params = {}) {
    params["field"] = field.substr(field.rfind('/') + 1);
    out_.push_back({std::string(pointer_) + "/" + field, code, std::move(params)});
  }
  void Range(const std::string& field, int64_t value, int64_t min, int64_t max) {
    if (value >= min && value <= max) return;
    Wrong(field, ErrorCode::kOutOfRange, {{"min", std::to_string(min)}, {"max", std::to_string(max)}});
  }

 private:
  std::string_view pointer_;
  std::vector<Violation>& out_;
};

void CheckSteps(const Plan& plan, PlanCheck& check) {
  if (plan.steps.empty()) check.Wrong("steps", ErrorCode::kRequired);
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    std::string step = "steps/" + std::to_string(i);
    int64_t least = i == 0 ? 0 : plan.steps[i - 1].from_minutes + 1;
    check.Range(step + "/from_minutes", plan.steps[i].from_minutes, least,
                i == 0 ? 0 : std::max<int64_t>(least, 5256000));
    check.Range(step + "/unit_price", plan.steps[i].unit_price, 0, kMaxMoneyAmount / 1000 - 1);
  }
}

}  // namespace

std::vector<Violation> CheckPlan(const Plan& plan, std::string_view pointer) {
  std::vector<Violation> out;
  PlanCheck check(pointer, out);
  if (!IsSupportedCurrency(plan.currency)) {
    check.Wrong("currency", ErrorCode::kUnknownCurrency, {{"allowed", std::string(SupportedCurrencies())}});
  }
  if (plan.unit < RateUnit::kHour || plan.unit > RateUnit::kMonth) check.Wrong("unit", ErrorCode::kRequired);
  CheckSteps(plan, check);
  check.Range("shift_minutes", plan.shift_minutes, 1, 24 * 60);
  constexpr int64_t kMost = kMaxMoneyAmount / 1000 - 1;
  check.Range("setup_fee", plan.setup_fee, 0, kMost);
  check.Range("minimum_charge", plan.minimum_charge, 0, kMost);
  check.Range("deposit", plan.deposit, 0, kMost);
  check.Range("vat_basis_points", plan.vat_basis_points, 0, kBasisPointsOfAll);
  check.Range("no_show_basis_points", plan.no_show_basis_points, 0, kBasisPointsOfAll);
  check.Range("late_return_unit_price", plan.late_return_unit_price, 0, kMost);
  for (size_t i = 0; i < plan.cancellation.size(); ++i) {
    std::string tier = "cancellation/" + std::to_string(i);
    int64_t most = i == 0 ? 8760 : plan.cancellation[i - 1].hours_before - 1;
    check.Range(tier + "/hours_before", plan.cancellation[i].hours_before, 0, std::max<int64_t>(0, most));
    check.Range(tier + "/fee_basis_points", plan.cancellation[i].fee_basis_points, 0, kBasisPointsOfAll);
  }
  return out;
}

Result<Price> PriceWindow(const Plan& plan, Interval window, int64_t units) {
  if (window.end <= window.start) return Fail(Error::At("#/window/end_time", ErrorCode::kEndBeforeStart));
  if (units < 1) return Fail(Error::At("#/units", ErrorCode::kOutOfRange, {{"min", "1"}, {"max", "1000000"}}));
  // A minute that has begun counts.
  int64_t minutes = std::chrono::ceil<std::chrono::minutes>(window.Length()).count();
  Price price;
  price.currency = plan.currency;
  for (size_t i = 0; i < plan.steps.size() && plan.steps[i].from_minutes < minutes; ++i) {
    const Step& step = plan.steps[i];
    int64_t end = i + 1 < plan.steps.size() ? std::min(minutes, plan.steps[i + 1].from_minutes) : minutes;
    MILLRACE_TRY(int64_t amount, TimeAmount(end - step.from_minutes, units, step.unit_price, MinutesOf(plan)));
    MILLRACE_CHECK(Add(price, {"TIME", end - step.from_minutes, step.unit_price, amount}));
  }
  if (plan.setup_fee > 0) MILLRACE_CHECK(Add(price, {"SETUP", 0, 0, plan.setup_fee}));
  if (price.total < plan.minimum_charge) {
    MILLRACE_CHECK(Add(price, {"MINIMUM_TOP_UP", 0, 0, plan.minimum_charge - price.total}));
  }
  if (plan.vat_included) {
    price.net = MultiplyDivide(price.total, kBasisPointsOfAll, kBasisPointsOfAll + plan.vat_basis_points);
    price.vat = price.total - price.net;
  } else {
    price.net = price.total;
    price.vat = BasisPoints(price.net, plan.vat_basis_points);
    if (price.vat > 0) MILLRACE_CHECK(Add(price, {"VAT", 0, 0, price.vat}));
  }
  price.deposit = plan.deposit;
  return price;
}

int64_t CancellationFee(const Plan& plan, int64_t total, Duration before_start) {
  const CancellationTier* tightest = nullptr;
  for (const CancellationTier& tier : plan.cancellation) {
    if (before_start >= std::chrono::hours(tier.hours_before)) continue;
    if (tightest == nullptr || tier.hours_before < tightest->hours_before) tightest = &tier;
  }
  return tightest == nullptr ? 0 : BasisPoints(total, tightest->fee_basis_points);
}

int64_t NoShowFee(const Plan& plan, int64_t total) { return BasisPoints(total, plan.no_show_basis_points); }

}  // namespace millrace::pricing
