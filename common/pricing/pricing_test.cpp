// SPDX-License-Identifier: Apache-2.0
#include "common/pricing/pricing.h"

#include <gtest/gtest.h>

#include <random>

#include "common/base/money.h"
#include "tests/support/rounds.h"

namespace millrace::pricing {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const Time kStart = *ParseTime("2026-10-05T00:00:00Z");

Interval For(int64_t count) { return {kStart, kStart + minutes(count)}; }

Plan Hourly(int64_t unit_price) {
  Plan plan;
  plan.steps = {{0, unit_price}};
  return plan;
}

int64_t Sum(const Price& price) {
  int64_t sum = 0;
  for (const Line& line : price.lines) sum += line.amount;
  return sum;
}

TEST(Pricing, ChargesTimeByRateUnitAndCapacity) {
  EXPECT_EQ(PriceWindow(Hourly(12000), For(90), 1)->total, 18000);
  EXPECT_EQ(PriceWindow(Hourly(12000), For(90), 3)->total, 54000);
  Plan plan = Hourly(48000);
  plan.unit = RateUnit::kShift;
  EXPECT_EQ(PriceWindow(plan, For(480), 1)->total, 48000);
  plan.shift_minutes = 720;
  EXPECT_EQ(PriceWindow(plan, For(480), 1)->total, 32000);
  plan.unit = RateUnit::kDay;
  EXPECT_EQ(PriceWindow(plan, For(3 * 1440), 1)->total, 144000);
  plan.unit = RateUnit::kMonth;
  EXPECT_EQ(PriceWindow(plan, For(15 * 1440), 1)->total, 24000);
}

TEST(Pricing, StepPricesApplyToThePartBeyond) {
  Plan plan = Hourly(10000);
  plan.steps = {{0, 10000}, {480, 8000}, {960, 5000}};
  auto price = PriceWindow(plan, For(1020), 2);
  ASSERT_EQ(price->lines.size(), 3u);
  EXPECT_EQ(price->lines[0].quantity_minutes, 480);
  EXPECT_EQ(price->lines[0].amount, 160000);
  EXPECT_EQ(price->lines[1].amount, 128000);
  EXPECT_EQ(price->lines[2].quantity_minutes, 60);
  EXPECT_EQ(price->lines[2].amount, 10000);
  EXPECT_EQ(price->total, 298000);
  EXPECT_EQ(PriceWindow(plan, For(480), 1)->lines.size(), 1u);
  EXPECT_EQ(PriceWindow(plan, For(481), 1)->lines.size(), 2u);
}

TEST(Pricing, RoundsEachLineHalfToEven) {
  EXPECT_EQ(PriceWindow(Hourly(30), For(1), 1)->total, 0);   // 0.5
  EXPECT_EQ(PriceWindow(Hourly(90), For(1), 1)->total, 2);   // 1.5
  EXPECT_EQ(PriceWindow(Hourly(150), For(1), 1)->total, 2);  // 2.5
  EXPECT_EQ(PriceWindow(Hourly(151), For(1), 1)->total, 3);
}

TEST(Pricing, CountsAMinuteThatHasBegun) {
  EXPECT_EQ(PriceWindow(Hourly(6000), {kStart, kStart + Duration(1)}, 1)->lines[0].quantity_minutes, 1);
  EXPECT_EQ(PriceWindow(Hourly(6000), {kStart, kStart + minutes(5) + Duration(1)}, 1)->total, 600);
}

TEST(Pricing, TopsUpToTheMinimumWithSetUp) {
  Plan plan = Hourly(6000);
  plan.setup_fee = 1000;
  plan.minimum_charge = 10000;
  plan.deposit = 777;
  auto price = PriceWindow(plan, For(60), 1);
  ASSERT_EQ(price->lines.size(), 3u);
  EXPECT_EQ(price->lines[1].code, "SETUP");
  EXPECT_EQ(price->lines[2].code, "MINIMUM_TOP_UP");
  EXPECT_EQ(price->lines[2].amount, 3000);
  EXPECT_EQ(price->total, 10000);
  EXPECT_EQ(price->deposit, 777);
  EXPECT_EQ(PriceWindow(plan, For(90), 1)->lines.size(), 2u);
}

TEST(Pricing, AddsVatOrFindsItInside) {
  Plan plan = Hourly(10000);
  plan.vat_basis_points = 1300;
  auto added = PriceWindow(plan, For(60), 1);
  EXPECT_EQ(added->net, 10000);
  EXPECT_EQ(added->vat, 1300);
  EXPECT_EQ(added->total, 11300);
  EXPECT_EQ(added->lines.back().code, "VAT");
  plan.vat_included = true;
  auto inside = PriceWindow(plan, For(60), 1);
  EXPECT_EQ(inside->total, 10000);
  EXPECT_EQ(inside->net, 8850);  // 8849.56
  EXPECT_EQ(inside->vat, 1150);
  EXPECT_EQ(inside->lines.size(), 1u);
}

TEST(Pricing, RefusesWhatDoesNotFit) {
  Plan plan = Hourly(999'999'999'999);
  auto much = PriceWindow(plan, For(5'000'000), 1'000'000);
  ASSERT_FALSE(much);
  EXPECT_EQ(much.error().code, ErrorCode::kOutOfRange);
  // Just below the limit passes, one more unit does not.
  EXPECT_TRUE(PriceWindow(Hourly(1'000'000'000), For(60), 999'999));
  EXPECT_FALSE(PriceWindow(Hourly(1'000'000'000), For(60), 1'000'000));
  plan = Hourly(1'000'000'000);
  plan.vat_basis_points = 1;
  EXPECT_EQ(PriceWindow(plan, For(60), 999'999).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(PriceWindow(plan, For(0), 1).error().code, ErrorCode::kEndBeforeStart);
  EXPECT_EQ(PriceWindow(plan, For(60), 0).error().code, ErrorCode::kOutOfRange);
  EXPECT_FALSE(PriceWindow(plan, For(60), std::numeric_limits<int64_t>::max()));
}

Plan RandomPlan(std::mt19937_64& random) {
  auto upto = [&](int64_t most) { return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1)); };
  Plan plan;
  plan.unit = static_cast<RateUnit>(1 + upto(3));
  plan.shift_minutes = 1 + upto(1439);
  int64_t from = 0;
  for (int64_t i = upto(4); i >= 0; --i, from += 1 + upto(2000)) plan.steps.push_back({from, upto(5'000'000)});
  if (upto(1)) plan.setup_fee = upto(100000);
  if (upto(1)) plan.minimum_charge = upto(1'000'000);
  plan.deposit = upto(1'000'000);
  plan.vat_basis_points = upto(1) ? 1300 : upto(10000);
  plan.vat_included = upto(1) != 0;
  return plan;
}

TEST(Pricing, LinesSumToTotalWhichIsNetAndVat) {
  std::mt19937_64 random(7);
  for (int i = 0; i < Rounds(20000); ++i) {
    Plan plan = RandomPlan(random);
    ASSERT_TRUE(CheckPlan(plan, "#").empty());
    auto price =
        PriceWindow(plan, For(1 + static_cast<int64_t>(random() % 20000)), 1 + static_cast<int64_t>(random() % 20));
    ASSERT_TRUE(price);
    ASSERT_EQ(Sum(*price), price->total);
    ASSERT_EQ(price->net + price->vat, price->total);
    ASSERT_GE(plan.vat_included ? price->total : price->net, plan.minimum_charge);
    ASSERT_GE(price->vat, 0);
  }
}

TEST(Pricing, TimeOfWholeHoursSplitsWithoutLoss) {
  std::mt19937_64 random(8);
  for (int i = 0; i < Rounds(5000); ++i) {
    Plan plan = Hourly(static_cast<int64_t>(random() % 1'000'000));
    int64_t first = static_cast<int64_t>(1 + random() % 50), second = static_cast<int64_t>(1 + random() % 50);
    ASSERT_EQ(PriceWindow(plan, For(60 * first), 1)->total + PriceWindow(plan, For(60 * second), 1)->total,
              PriceWindow(plan, For(60 * (first + second)), 1)->total);
    // Any split of minutes differs by less than a minor unit a part.
    int64_t a = static_cast<int64_t>(1 + random() % 5000), b = static_cast<int64_t>(1 + random() % 5000);
    int64_t apart = PriceWindow(plan, For(a), 1)->total + PriceWindow(plan, For(b), 1)->total;
    ASSERT_LE(std::abs(apart - PriceWindow(plan, For(a + b), 1)->total), 1);
  }
}

TEST(Pricing, NeverFallsWithTimeOrUnits) {
  std::mt19937_64 random(9);
  for (int i = 0; i < Rounds(5000); ++i) {
    Plan plan = RandomPlan(random);
    int64_t length = 1 + static_cast<int64_t>(random() % 9000);
    int64_t total = PriceWindow(plan, For(length), 2)->total;
    ASSERT_LE(total, PriceWindow(plan, For(length + 1), 2)->total);
    ASSERT_LE(total, PriceWindow(plan, For(length), 3)->total);
  }
}

TEST(Pricing, TakesTheTightestCancellationTier) {
  Plan plan = Hourly(1);
  plan.cancellation = {{168, 1000}, {48, 3000}, {24, 5000}};
  EXPECT_EQ(CancellationFee(plan, 10000, hours(200)), 0);
  EXPECT_EQ(CancellationFee(plan, 10000, hours(168)), 0);
  EXPECT_EQ(CancellationFee(plan, 10000, hours(168) - Duration(1)), 1000);
  EXPECT_EQ(CancellationFee(plan, 10000, hours(47)), 3000);
  EXPECT_EQ(CancellationFee(plan, 10000, hours(0)), 5000);
  EXPECT_EQ(CancellationFee(plan, 10000, hours(-5)), 5000);
  plan.no_show_basis_points = 8000;
  EXPECT_EQ(NoShowFee(plan, 12345), 9876);
}

TEST(Pricing, NamesEachWrongFieldOfAPlan) {
  Plan plan;
  plan.currency = "XXX";
  plan.steps = {{5, 1}, {5, -1}};
  plan.shift_minutes = 0;
  plan.vat_basis_points = 10001;
  plan.cancellation = {{24, 0}, {48, 0}};
  std::vector<std::string> pointers;
  for (const Violation& v : CheckPlan(plan, "#/price_plan")) pointers.push_back(v.pointer);
  EXPECT_EQ(pointers, (std::vector<std::string>{"#/price_plan/currency", "#/price_plan/steps/0/from_minutes",
                                                "#/price_plan/steps/1/from_minutes", "#/price_plan/steps/1/unit_price",
                                                "#/price_plan/shift_minutes", "#/price_plan/vat_basis_points",
                                                "#/price_plan/cancellation/1/hours_before"}));
  plan.steps.clear();
  EXPECT_EQ(CheckPlan(plan, "#").at(1).code, ErrorCode::kRequired);
  EXPECT_TRUE(CheckPlan(Hourly(5), "#").empty());
}

}  // namespace
}  // namespace millrace::pricing
