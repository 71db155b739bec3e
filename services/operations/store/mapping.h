// SPDX-License-Identifier: Apache-2.0
// Between domain values and messages.
#pragma once

#include "millrace/listing/v1/listing.pb.h"
#include "millrace/operations/v1/operations.pb.h"
#include "services/operations/domain/capacity.h"
#include "services/operations/domain/trade.h"

namespace millrace::operations {

// A trade's parts as callers and events see them, with actions, deadline and default outcome.
v1::Booking Render(const Trade& trade);
v1::WorkOrder RenderWork(const Trade& trade);
// Back; what the message does not say (agreement.plan and windows, held_time, missing; enter_time) stays as it is by
// default.
Booking BookingOf(const v1::Booking& message);
WorkOrder WorkOf(const v1::WorkOrder& message);

Bookable BookableOf(const listing::v1::Bookable& message);
listing::v1::PricePlan PlanMessage(const pricing::Plan& plan);

// The same bytes for the same message.
std::string Bytes(const google::protobuf::Message& message);

}  // namespace millrace::operations
