// SPDX-License-Identifier: Apache-2.0
#include "services/operations/store/set.h"

#include <algorithm>

#include "common/crypto/crypto.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "services/operations/store/mapping.h"

namespace millrace::operations {
namespace {

void SetMoney(int64_t amount, const std::string& currency, type::Money* money) {
  money->set_amount(amount);
  money->set_currency(currency);
}

std::string HoldBytes(const Trade& trade) {
  const Booking& booking = trade.booking;
  escrow::v1::HoldRequest request;
  request.set_booking_id(FormatId("bkg", booking.id));
  request.set_buyer_id(FormatId("org", booking.buyer));
  request.set_provider_id(FormatId("org", booking.provider));
  SetMoney(booking.agreement.price.total, booking.agreement.price.currency, request.mutable_price());
  SetMoney(booking.agreement.price.deposit, booking.agreement.price.currency, request.mutable_deposit());
  int64_t micros = Micros(DefaultOf(trade)->deadline);
  request.mutable_expire_time()->set_seconds(micros / 1000000);
  request.mutable_expire_time()->set_nanos(static_cast<int32_t>(micros % 1000000 * 1000));
  return Bytes(request);
}

}  // namespace

void Set::PutTask(postgres::NewTask task) {
  std::erase(cancelled_tasks, task.id);
  std::erase_if(tasks, [&](const postgres::NewTask& other) { return other.id == task.id; });
  tasks.push_back(std::move(task));
}

void Set::CancelTask(const Uuid& id) {
  std::erase_if(tasks, [&](const postgres::NewTask& other) { return other.id == id; });
  cancelled_tasks.push_back(id);
}

void Set::ArmTimers(const Trade& trade) {
  const Booking& booking = trade.booking;
  const Uuid booking_timer = crypto::DeriveId(booking.id, "deadline");
  auto waiting = DefaultOf(trade);
  // After check-out a work order's own timer decides.
  if (waiting && !(booking.state == BookingState::kCheckedOut && trade.work)) {
    PutTask({booking_timer, "booking_deadline", booking.id, waiting->deadline, ""});
  } else {
    CancelTask(booking_timer);
  }
  if (!trade.work) return;
  const Uuid work_timer = crypto::DeriveId(trade.work->id, "deadline");
  auto work = WorkDefaultOf(trade);
  const bool follows_booking = trade.work->state == WorkState::kPlanned || trade.work->state == WorkState::kAccepted;
  if (work && !follows_booking) {
    PutTask({work_timer, "work_order_deadline", booking.id, work->deadline, ""});
  } else {
    CancelTask(work_timer);
  }
}

void Set::MoveMoney(const Trade& trade, const Decision& decision, Duration hold_delay) {
  const Booking& booking = trade.booking;
  const Uuid hold = crypto::DeriveId(booking.id, "hold"), settle = crypto::DeriveId(booking.id, "settle");
  const std::string id = FormatId("bkg", booking.id);
  if (booking.state != BookingState::kHeld) CancelTask(hold);
  switch (decision.money) {
    case MoneyStep::kNone:
      break;
    case MoneyStep::kHold:
      PutTask({hold, "hold", booking.id, now + hold_delay, HoldBytes(trade)});
      break;
    case MoneyStep::kVoid: {
      escrow::v1::VoidRequest request;
      request.set_booking_id(id);
      PutTask({settle, "void", booking.id, now, Bytes(request)});
      break;
    }
    case MoneyStep::kCapture: {
      escrow::v1::CaptureRequest request;
      request.set_booking_id(id);
      SetMoney(decision.capture_amount, booking.agreement.price.currency, request.mutable_amount());
      request.set_reason(decision.capture_reason);
      PutTask({settle, "capture", booking.id, now, Bytes(request)});
      break;
    }
  }
}

void Set::Commit(TradeRow& row, Decision decision, Duration hold_delay) {
  const bool was_open = row.trade.booking.version > 0 && IsOpen(row.trade.booking.state);
  row.trade = std::move(decision.trade);
  row.dirty = true;
  const Booking& booking = row.trade.booking;

  for (auto& [resource, legs] : taken) {
    std::erase_if(legs, [&](const Leg& leg) { return leg.booking == booking.id; });
  }
  for (const Leg& leg : booking.legs) {
    if (auto loaded = taken.find(leg.resource); loaded != taken.end() && !leg.released) loaded->second.push_back(leg);
  }
  if (auto buyer = organizations.find(booking.buyer); buyer != organizations.end()) {
    const bool open = IsOpen(booking.state);
    if (open != was_open) buyer->second.exposure += open ? booking.Exposure() : -booking.Exposure();
  }

  const std::vector<Uuid> parties = {booking.buyer, booking.provider};
  for (const Fact& fact : decision.facts) {
    if (fact.of_work_order) {
      events.push_back({fact.type, FormatId("wo", fact.after.work->id), fact.after.work->version, parties,
                        "millrace.operations.v1.WorkOrder", Bytes(RenderWork(fact.after))});
    } else {
      events.push_back({fact.type, FormatId("bkg", booking.id), fact.after.booking.version, parties,
                        "millrace.operations.v1.Booking", Bytes(Render(fact.after))});
    }
  }
  ArmTimers(row.trade);
  MoveMoney(row.trade, decision, hold_delay);
}

}  // namespace millrace::operations
