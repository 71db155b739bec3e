// SPDX-License-Identifier: Apache-2.0
#include "common/terms/terms.h"

namespace millrace::terms {
namespace {

Time ToTime(const google::protobuf::Timestamp& message) {
  return Time(std::chrono::seconds(message.seconds())) + Duration(message.nanos() / 1000);
}

void FromTime(Time time, google::protobuf::Timestamp* message) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  message->set_seconds(seconds.time_since_epoch().count());
  message->set_nanos(static_cast<int32_t>((time - seconds).count() * 1000));
}

void SetMoney(int64_t amount, const std::string& currency, type::Money* message) {
  message->set_amount(amount);
  message->set_currency(currency);
}

}  // namespace

calendar::Rules ToRules(const listing::v1::Calendar& message) {
  calendar::Rules rules;
  rules.time_zone = message.time_zone();
  for (const auto& rule : message.weekly())
    rules.weekly.push_back({rule.weekday(), rule.start_minute(), rule.end_minute()});
  for (const auto& exception : message.exceptions()) {
    rules.exceptions.push_back({ToInterval(exception.window()), exception.open()});
  }
  rules.min_duration_minutes = message.min_duration_minutes();
  rules.max_duration_minutes = message.max_duration_minutes();
  rules.lead_time_minutes = message.lead_time_minutes();
  rules.buffer_before_minutes = message.buffer_before_minutes();
  rules.buffer_after_minutes = message.buffer_after_minutes();
  return rules;
}

pricing::Plan ToPlan(const listing::v1::PricePlan& message) {
  pricing::Plan plan;
  plan.currency = message.currency();
  plan.unit = static_cast<pricing::RateUnit>(message.unit());
  for (const auto& step : message.steps()) plan.steps.push_back({step.from_minutes(), step.unit_price()});
  plan.shift_minutes = message.shift_minutes() == 0 ? 480 : message.shift_minutes();
  plan.setup_fee = message.setup_fee();
  plan.minimum_charge = message.minimum_charge();
  plan.deposit = message.deposit();
  plan.vat_basis_points = message.vat_basis_points();
  plan.vat_included = message.vat_included();
  plan.no_show_basis_points = message.no_show_basis_points();
  plan.late_return_unit_price = message.late_return_unit_price();
  for (const auto& tier : message.cancellation())
    plan.cancellation.push_back({tier.hours_before(), tier.fee_basis_points()});
  return plan;
}

listing::v1::Price ToMessage(const pricing::Price& price) {
  listing::v1::Price message;
  for (const pricing::Line& line : price.lines) {
    auto* out = message.add_lines();
    out->set_code(line.code);
    out->set_quantity_minutes(line.quantity_minutes);
    out->set_unit_price(line.unit_price);
    out->set_amount(line.amount);
  }
  SetMoney(price.net, price.currency, message.mutable_net());
  SetMoney(price.vat, price.currency, message.mutable_vat());
  SetMoney(price.total, price.currency, message.mutable_total());
  SetMoney(price.deposit, price.currency, message.mutable_deposit());
  return message;
}

Interval ToInterval(const type::Interval& message) {
  return {ToTime(message.start_time()), ToTime(message.end_time())};
}

void FromInterval(const Interval& interval, type::Interval* message) {
  FromTime(interval.start, message->mutable_start_time());
  FromTime(interval.end, message->mutable_end_time());
}

}  // namespace millrace::terms
