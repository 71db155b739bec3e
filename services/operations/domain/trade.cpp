// SPDX-License-Identifier: Apache-2.0
#include "services/operations/domain/trade.h"

#include <algorithm>

#include "common/base/money.h"
#include "common/base/words.h"

namespace millrace::operations {
namespace {

using B = BookingState;
using E = BookingEvent;
using W = WorkState;
using V = WorkEvent;

// The row, or why there is none for this actor.
template <class State, class Event>
Result<const Transition<State, Event>*> FindRow(const StateTable<State, Event>& table, State state, Event event,
                                                Actor actor) {
  if (const auto* row = table.Find(state, event, actor)) return row;
  uint8_t ever = 0;
  for (const auto& row : table.transitions) {
    if (row.event == event) ever |= row.actors;
  }
  if ((ever & actor) == 0) {
    return Fail(ErrorCode::kInsufficientScope, {{"roles", JoinWords(ActorNames(ever & ~kSystem), ", ")}});
  }
  return Fail(table.Conflict(state, event, kAnyActor & ~kSystem));
}

class Course {
 public:
  Course(Trade trade, Time now) : now_(now) { decision_.trade = std::move(trade); }

  Booking& booking() { return decision_.trade.booking; }
  bool has_work() const { return decision_.trade.work.has_value(); }
  WorkOrder& work() { return *decision_.trade.work; }
  Decision& decision() { return decision_; }

  void Record(std::string type) {
    ++booking().version;
    booking().update_time = now_;
    decision_.facts.push_back({std::move(type), false, decision_.trade});
  }
  void EnterWork(W state, const char* type) {
    work().state = state;
    work().enter_time = now_;
    work().update_time = now_;
    ++work().version;
    if (type) decision_.facts.push_back({type, true, decision_.trade});
  }
  // The booking's view names the work order's deadline after check-out.
  void TouchBooking() {
    if (booking().state != B::kCheckedOut) return;
    ++booking().version;
    booking().update_time = now_;
  }
  void Release() {
    for (Leg& leg : booking().legs) {
      if (!leg.released) leg.released = now_;
    }
  }
  void AbortWork() {
    if (!has_work() || work().state == W::kClosed || work().state == W::kAborted) return;
    EnterWork(W::kAborted, "work_order.aborted");
  }
  void Capture(int64_t amount, const char* reason) {
    if (amount <= 0) {
      decision_.money = MoneyStep::kVoid;
      return;
    }
    decision_.money = MoneyStep::kCapture;
    decision_.capture_amount = std::min(amount, booking().agreement.price.total);
    decision_.capture_reason = reason;
  }

  void Hold(std::vector<Leg> legs) {
    booking().state = B::kHeld;
    booking().held_time = now_;
    booking().legs = std::move(legs);
    for (Leg& leg : booking().legs) leg.booking = booking().id;
    booking().escrow = true;
    booking().missing = booking().Exposure();
    decision_.money = MoneyStep::kHold;
    Record("booking.held");
  }
  void Cancel(Actor actor, const std::string& reason) {
    bool funded = booking().state == B::kConfirmed;
    int64_t fee = 0;
    if (funded && actor == kBuyer) {
      const Agreement& agreement = booking().agreement;
      fee = pricing::CancellationFee(agreement.plan, agreement.price.total, booking().window.start - now_);
    }
    if (booking().escrow) Capture(fee, "cancellation");
    booking().state = B::kCanceled;
    booking().canceled_by = ActorNames(actor).front();
    booking().reason = reason;
    End("booking.canceled");
  }
  void NoShow() {
    booking().state = B::kNoShow;
    Capture(pricing::NoShowFee(booking().agreement.plan, booking().agreement.price.total), "no_show");
    End("booking.no_show");
  }
  // A booking that ends without acceptance.
  void End(const char* type) {
    Release();
    AbortWork();
    Record(type);
  }
  void CheckOut() {
    booking().state = B::kCheckedOut;
    booking().check_out_time = now_;
    Release();
    Record("booking.checked_out");
    if (has_work() && work().state == W::kAccepted) CloseAccepted();
  }
  void CloseAccepted() {
    if (has_work()) EnterWork(W::kClosed, "work_order.closed");
    booking().state = B::kClosed;
    Capture(booking().agreement.price.total, booking().deemed_accepted ? "deemed_acceptance" : "acceptance");
    Record("booking.closed");
  }
  void Accept(bool deemed) {
    booking().accept_time = now_;
    booking().deemed_accepted = deemed;
  }
  void AcceptWork(bool deemed) {
    Accept(deemed);
    EnterWork(W::kAccepted, "work_order.accepted");
    if (booking().state == B::kCheckedOut) CloseAccepted();
  }
  void Interrupt() {
    booking().state = B::kInterrupted;
    decision_.money = MoneyStep::kVoid;
    End("booking.interrupted");
  }

 private:
  Time now_;
  Decision decision_;
};

}  // namespace

bool WorkHasBegun(const Trade& trade) {
  return trade.work && trade.work->state != W::kPlanned && trade.work->state != W::kReleased;
}

Duration Agreement::FundingWindow() const {
  return funding_minutes > 0 ? Duration(std::chrono::minutes(funding_minutes)) : Duration(kFundingWindow);
}

Duration Agreement::AcceptanceWindow() const {
  return acceptance_minutes > 0 ? Duration(std::chrono::minutes(acceptance_minutes)) : Duration(kAcceptanceWindow);
}

std::optional<Default<E>> DefaultOf(const Trade& trade) {
  const Booking& booking = trade.booking;
  const auto* wait = Bookings().WaitIn(booking.state);
  if (!wait) return std::nullopt;
  Default<E> result{wait->outcome, booking.window.end};
  switch (booking.state) {
    case B::kProposed:
      result.deadline = std::min(booking.create_time + Duration(kApprovalWindow), booking.window.start);
      break;
    case B::kHeld:
      result.deadline = std::min(booking.held_time.value_or(booking.create_time) + booking.agreement.FundingWindow(),
                                 booking.window.end);
      break;
    case B::kConfirmed:
      result.outcome = WorkHasBegun(trade) ? E::kCheckOut : E::kNoShow;
      break;
    case B::kCheckedIn:
    case B::kInUse:
      result.deadline = booking.window.end + Duration(kCheckOutGrace);
      break;
    default:
      result.deadline = booking.check_out_time.value_or(booking.window.end) + booking.agreement.AcceptanceWindow();
      if (auto work = WorkDefaultOf(trade)) {
        result.deadline = work->deadline;
        result.outcome = work->outcome == V::kAbort ? E::kInterrupt : E::kClose;
      }
  }
  return result;
}

std::optional<Default<V>> WorkDefaultOf(const Trade& trade) {
  if (!trade.work) return std::nullopt;
  const WorkOrder& work = *trade.work;
  const auto* wait = WorkOrders().WaitIn(work.state);
  if (!wait) return std::nullopt;
  Default<V> result{wait->outcome, trade.booking.window.end};
  switch (work.state) {
    case W::kPlanned:
    case W::kAccepted:
      // Ends with its booking, whose own timer brings that about. After check-out neither state is left.
      if (trade.booking.state != B::kCheckedOut) {
        if (auto booking = DefaultOf(trade)) result.deadline = booking->deadline;
      }
      break;
    case W::kDelivered:
      result.deadline = work.deliver_time.value_or(work.enter_time) + trade.booking.agreement.AcceptanceWindow();
      break;
    default:
      result.deadline = std::max(trade.booking.window.end, work.enter_time) + Duration(kWorkGrace);
  }
  return result;
}

Decision MakeBooking(Booking booking, bool approval_required, std::vector<Leg> legs, Uuid work_order, Time now) {
  Trade trade;
  booking.create_time = booking.update_time = now;
  booking.work_order = work_order;
  if (!work_order.IsNil()) {
    WorkOrder work;
    work.id = work_order;
    work.work = booking.work;
    work.create_time = work.update_time = work.enter_time = now;
    trade.work = std::move(work);
  }
  trade.booking = std::move(booking);
  trade.booking.state = B::kProposed;
  Course course(std::move(trade), now);
  if (approval_required) {
    course.Record("booking.proposed");
  } else {
    course.Hold(std::move(legs));
  }
  if (course.has_work()) course.EnterWork(W::kPlanned, "work_order.planned");
  return std::move(course.decision());
}

Result<Decision> ActOnBooking(Trade trade, E event, Actor actor, const std::string& reason, Time now) {
  const Booking& booking = trade.booking;
  const bool needs_money = event == E::kCheckIn || event == E::kStart || event == E::kCheckOut;
  if (needs_money && booking.state == B::kHeld && (actor & kBothParties)) {
    return Fail(ErrorCode::kBookingNotFunded,
                {{"action", std::string(Bookings().event_name(event))},
                 {"missing", FormatMoney({booking.missing, booking.agreement.price.currency})}});
  }
  MILLRACE_TRY(const auto* row, FindRow(Bookings(), booking.state, event, actor));
  if (event == E::kCheckIn && now < booking.window.start - Duration(kCheckInAhead)) {
    return Fail(ErrorCode::kTooEarly, {{"action", std::string(Bookings().event_name(event))},
                                       {"time", FormatTime(booking.window.start - Duration(kCheckInAhead))}});
  }
  if (event == E::kClose && trade.work) return Fail(ErrorCode::kNotAcceptedYet);
  if (event == E::kCancel && actor == kBuyer && booking.state == B::kConfirmed && WorkHasBegun(trade)) {
    // Work that was done is settled by acceptance, not by leaving.
    return Fail(ErrorCode::kStateConflict, {{"state", std::string(WorkOrders().state_name(trade.work->state))},
                                            {"action", std::string(Bookings().event_name(event))},
                                            {"allowed", "-"}});
  }

  Course course(std::move(trade), now);
  switch (event) {
    case E::kDecline:
      course.booking().state = row->to;
      course.booking().reason = reason;
      course.End("booking.declined");
      break;
    case E::kCancel:
      course.Cancel(actor, reason);
      break;
    case E::kExpire:
      course.booking().state = row->to;
      course.End("booking.expired");
      break;
    case E::kFund:
      course.booking().state = row->to;
      course.booking().missing = 0;
      course.Record("booking.confirmed");
      if (course.has_work()) course.EnterWork(W::kReleased, "work_order.released");
      break;
    case E::kCheckIn:
      course.booking().state = row->to;
      course.booking().check_in_time = now;
      course.Record("booking.checked_in");
      break;
    case E::kStart:
      course.booking().state = row->to;
      course.Record("booking.in_use");
      break;
    case E::kCheckOut:
      course.CheckOut();
      break;
    case E::kNoShow:
      course.NoShow();
      break;
    case E::kClose:
      course.Accept(actor == kSystem);
      course.CloseAccepted();
      break;
    case E::kInterrupt:
      course.Interrupt();
      break;
    case E::kApprove:
      return Fail(Error::Internal("approval without legs"));
  }
  return std::move(course.decision());
}

Result<Decision> Approve(Trade trade, Actor actor, std::vector<Leg> legs, Time now) {
  MILLRACE_CHECK(FindRow(Bookings(), trade.booking.state, E::kApprove, actor));
  Course course(std::move(trade), now);
  course.Hold(std::move(legs));
  return std::move(course.decision());
}

Result<Decision> ActOnWork(Trade trade, V event, Actor actor, const std::string& note, Time now) {
  if (!trade.work) return Fail(ErrorCode::kNotFound);
  MILLRACE_TRY(const auto* row, FindRow(WorkOrders(), trade.work->state, event, actor));
  if (event == V::kAbort) MILLRACE_CHECK(FindRow(Bookings(), trade.booking.state, E::kInterrupt, kSystem));
  if (event == V::kReject && note.empty()) return Fail(Error::At("#/note", ErrorCode::kRequired));
  Course course(std::move(trade), now);
  switch (event) {
    case V::kStart:
      course.EnterWork(row->to, "work_order.started");
      course.TouchBooking();
      break;
    case V::kDeliver:
      course.work().deliverable = note;
      course.work().deliver_time = now;
      course.EnterWork(row->to, "work_order.delivered");
      course.TouchBooking();
      break;
    case V::kAccept:
      course.AcceptWork(actor == kSystem);
      break;
    case V::kReject:
      course.work().reason = note;
      ++course.work().rejections;
      course.EnterWork(row->to, "work_order.rejected");
      course.EnterWork(W::kRework, nullptr);
      course.TouchBooking();
      break;
    case V::kAbort:
      course.Interrupt();
      break;
    default:
      return Fail(Error::Internal("work order event that follows its booking"));
  }
  return std::move(course.decision());
}

DueDecision BookingDue(const Trade& trade, Time now) {
  auto waiting = DefaultOf(trade);
  // After check-out a work order's own timer decides.
  if (!waiting || (trade.booking.state == B::kCheckedOut && trade.work)) return {};
  if (now < waiting->deadline) return {Due::kLater, waiting->deadline, std::nullopt};
  if (trade.booking.state == B::kHeld) return {Due::kVoidFirst, waiting->deadline, std::nullopt};
  auto decided = ActOnBooking(trade, waiting->outcome, kSystem, "", now);
  if (!decided) return {};
  return {Due::kDone, waiting->deadline, *std::move(decided)};
}

DueDecision WorkDue(const Trade& trade, Time now) {
  auto waiting = WorkDefaultOf(trade);
  if (!waiting || trade.work->state == W::kPlanned || trade.work->state == W::kAccepted) return {};
  if (now < waiting->deadline) return {Due::kLater, waiting->deadline, std::nullopt};
  if (waiting->outcome == V::kAbort && !Bookings().Find(trade.booking.state, E::kInterrupt, kSystem)) {
    return {Due::kLater, now + std::chrono::hours(1), std::nullopt};  // the booking's own timer comes first
  }
  auto decided = ActOnWork(trade, waiting->outcome, kSystem, "", now);
  if (!decided) return {};
  return {Due::kDone, waiting->deadline, *std::move(decided)};
}

}  // namespace millrace::operations
