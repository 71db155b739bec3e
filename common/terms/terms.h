// SPDX-License-Identifier: Apache-2.0
// A listing's calendar, price plan and terms between their messages (millrace/listing/v1/terms.proto) and the pure types that the
// rules work on. Shared, because listing checks them, matching searches them and operations charges them.
#pragma once

#include "common/calendar/calendar.h"
#include "common/pricing/pricing.h"
#include "millrace/listing/v1/terms.pb.h"

namespace millrace::terms {

calendar::Rules ToRules(const listing::v1::Calendar& message);
pricing::Plan ToPlan(const listing::v1::PricePlan& message);
listing::v1::Price ToMessage(const pricing::Price& price);
Interval ToInterval(const type::Interval& message);
void FromInterval(const Interval& interval, type::Interval* message);

}  // namespace millrace::terms
