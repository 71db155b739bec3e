// SPDX-License-Identifier: Apache-2.0
#include "common/terms/terms.h"

#include <gtest/gtest.h>

namespace millrace::terms {
namespace {

TEST(Terms, IntervalsKeepTheirMicroseconds) {
  for (int64_t micros : {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{-1'500'000}, int64_t{1'790'000'000'123'456}}) {
    Interval interval{FromMicros(micros), FromMicros(micros + 1'000'001)};
    type::Interval message;
    FromInterval(interval, &message);
    EXPECT_GE(message.start_time().nanos(), 0);
    EXPECT_EQ(ToInterval(message), interval);
  }
}

TEST(Terms, ReadsACalendar) {
  listing::v1::Calendar message;
  message.set_time_zone("Europe/Berlin");
  auto* rule = message.add_weekly();
  rule->set_weekday(5);
  rule->set_start_minute(1320);
  rule->set_end_minute(1800);
  auto* exception = message.add_exceptions();
  FromInterval({FromMicros(1), FromMicros(2)}, exception->mutable_window());
  exception->set_open(true);
  message.set_min_duration_minutes(1);
  message.set_max_duration_minutes(2);
  message.set_lead_time_minutes(3);
  message.set_buffer_before_minutes(4);
  message.set_buffer_after_minutes(5);
  calendar::Rules rules = ToRules(message);
  EXPECT_EQ(rules.time_zone, "Europe/Berlin");
  ASSERT_EQ(rules.weekly.size(), 1u);
  EXPECT_EQ(rules.weekly[0].end_minute, 1800);
  ASSERT_EQ(rules.exceptions.size(), 1u);
  EXPECT_TRUE(rules.exceptions[0].open);
  EXPECT_EQ(rules.exceptions[0].window.end, FromMicros(2));
  EXPECT_EQ(rules.min_duration_minutes, 1);
  EXPECT_EQ(rules.max_duration_minutes, 2);
  EXPECT_EQ(rules.lead_time_minutes, 3);
  EXPECT_EQ(rules.buffer_before_minutes, 4);
  EXPECT_EQ(rules.buffer_after_minutes, 5);
}

TEST(Terms, ReadsAPlanAndWritesItsPrice) {
  listing::v1::PricePlan message;
  message.set_currency("CNY");
  message.set_unit(listing::v1::PricePlan::SHIFT);
  message.add_steps()->set_unit_price(48000);
  message.set_deposit(5);
  message.set_vat_basis_points(1300);
  auto* tier = message.add_cancellation();
  tier->set_hours_before(24);
  tier->set_fee_basis_points(5000);
  pricing::Plan plan = ToPlan(message);
  EXPECT_EQ(plan.unit, pricing::RateUnit::kShift);
  EXPECT_EQ(plan.shift_minutes, 480);
  EXPECT_EQ(plan.cancellation.at(0).fee_basis_points, 5000);
  auto price = pricing::PriceWindow(plan, {Time(), Time() + std::chrono::hours(8)}, 1);
  listing::v1::Price out = ToMessage(*price);
  int64_t sum = 0;
  for (const auto& line : out.lines()) sum += line.amount();
  EXPECT_EQ(sum, 54240);
  EXPECT_EQ(out.total().amount(), 54240);
  EXPECT_EQ(out.net().amount(), 48000);
  EXPECT_EQ(out.vat().amount(), 6240);
  EXPECT_EQ(out.deposit().amount(), 5);
  EXPECT_EQ(out.total().currency(), "CNY");
}

}  // namespace
}  // namespace millrace::terms
