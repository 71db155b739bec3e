// SPDX-License-Identifier: Apache-2.0
// The saga's steps and the timers: due work, each safe to repeat. An answer that did not come is unknown: the same step
// is asked again, nothing is undone on a guess.
#include "common/base/crash_point.h"
#include "common/telemetry/log.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "services/operations/app/operations.h"
#include "services/operations/store/mapping.h"

namespace millrace::operations {
namespace {

namespace wire = ::millrace::escrow::v1;

constexpr std::chrono::seconds kStepDeadline{5};

CallContext StepContext() {
  CallContext context = CallContext::ForService("operations");
  context.deadline = WallNow() + kStepDeadline;
  return context;
}

void LogRefusal(const char* step, const tasks::DueTask& task, const Error& error) {
  telemetry::Log(telemetry::Level::kWarning, "operations.step_refused",
                 {{"step", step},
                  {"booking_id", FormatId("bkg", task.subject)},
                  {"code", Name(error.code)},
                  {"attempts", task.attempts},
                  {"cause", error.cause}});
}

}  // namespace

void Operations::HandleTasks() {
  ports_.tasks.Handle("hold", [this](tasks::DueTask task) { return RunHold(std::move(task)); });
  ports_.tasks.Handle("void", [this](tasks::DueTask task) { return RunVoid(std::move(task)); });
  ports_.tasks.Handle("capture", [this](tasks::DueTask task) { return RunCapture(std::move(task)); });
  ports_.tasks.Handle("booking_deadline", [this](tasks::DueTask task) { return RunBookingDeadline(std::move(task)); });
  ports_.tasks.Handle("work_order_deadline", [this](tasks::DueTask task) { return RunWorkDeadline(std::move(task)); });
}

Task<Result<void>> Operations::End(tasks::DueTask task) {
  postgres::EndedTask ended = task.Ended();
  postgres::Command<Set> command;
  command.header.method = task.kind;
  command.decide = [ended](Set& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<void>> Operations::Settle(tasks::DueTask task, std::optional<BookingEvent> event, int64_t missing) {
  Uuid id = task.subject;
  postgres::EndedTask ended = task.Ended();
  postgres::Command<Set> command;
  command.header.method = task.kind;
  command.need = [id](Set& set) { set.want_bookings.insert(id); };
  command.decide = [id, ended, event, missing](Set& set) -> Result<std::string> {
    TradeRow* row = set.Find(id);
    if (row && row->trade.booking.state == BookingState::kHeld) {
      if (event) {
        MILLRACE_TRY(Decision decision, operations::ActOnBooking(row->trade, *event, kSystem, "", set.now));
        set.Commit(*row, std::move(decision));
      } else {
        row->trade.booking.missing = missing;  // seen by check-in alone: no new version
        row->dirty = true;
      }
    }
    set.ended_tasks.push_back(ended);
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<void>> Operations::RunHold(tasks::DueTask task) {
  CrashPoint("operations.after_reservation");
  wire::HoldRequest request;
  if (!request.ParseFromString(task.payload)) co_return Fail(Error::Internal("unreadable hold task"));
  CallContext context = StepContext();
  rpc::Channel& channel = ports_.channel("escrow");
  Result<wire::Escrow> escrow = co_await rpc::Call<wire::Escrow>(channel, "millrace.escrow.v1.EscrowService.Hold",
                                                                 std::move(context), std::move(request));
  CrashPoint("operations.after_hold");
  std::optional<BookingEvent> event;
  int64_t missing = 0;
  if (escrow) {
    if (escrow->state() == wire::Escrow::HELD) event = BookingEvent::kFund;
    if (escrow->state() == wire::Escrow::VOIDED || escrow->state() == wire::Escrow::EXPIRED)
      event = BookingEvent::kExpire;
    missing = escrow->missing().amount();
  } else {
    ErrorCode code = escrow.error().code;
    const bool never =
        code == ErrorCode::kHoldVoided || code == ErrorCode::kHoldExpired || code == ErrorCode::kCurrencyMismatch;
    if (!never) {
      LogRefusal("hold", task, escrow.error());
      co_return std::unexpected<Error>(std::move(escrow).error());
    }
    event = BookingEvent::kExpire;
  }
  Result<void> settled = co_await Settle(std::move(task), event, missing);
  co_return std::move(settled);
}

Task<Result<void>> Operations::RunVoid(tasks::DueTask task) {
  wire::VoidRequest request;
  if (!request.ParseFromString(task.payload)) co_return Fail(Error::Internal("unreadable void task"));
  CallContext context = StepContext();
  rpc::Channel& channel = ports_.channel("escrow");
  Result<wire::Escrow> escrow = co_await rpc::Call<wire::Escrow>(channel, "millrace.escrow.v1.EscrowService.Void",
                                                                 std::move(context), std::move(request));
  if (!escrow) {
    LogRefusal("void", task, escrow.error());
    co_return std::unexpected<Error>(std::move(escrow).error());
  }
  Result<void> ended = co_await End(std::move(task));
  co_return std::move(ended);
}

Task<Result<void>> Operations::RunCapture(tasks::DueTask task) {
  wire::CaptureRequest request;
  if (!request.ParseFromString(task.payload)) co_return Fail(Error::Internal("unreadable capture task"));
  CallContext context = StepContext();
  rpc::Channel& channel = ports_.channel("escrow");
  Result<wire::Escrow> escrow = co_await rpc::Call<wire::Escrow>(channel, "millrace.escrow.v1.EscrowService.Capture",
                                                                 std::move(context), std::move(request));
  if (!escrow) {
    LogRefusal("capture", task, escrow.error());
    co_return std::unexpected<Error>(std::move(escrow).error());
  }
  Result<void> ended = co_await End(std::move(task));
  co_return std::move(ended);
}

// The deadline of a booking's present state has come. For a HELD one escrow decides: funded at the last moment
// confirms.
Task<Result<void>> Operations::RunBookingDeadline(tasks::DueTask task) {
  Uuid id = task.subject;
  postgres::EndedTask ended = task.Ended();
  auto due = std::make_shared<Due>(Due::kNothing);
  postgres::Command<Set> command;
  command.header.method = task.kind;
  command.need = [id](Set& set) { set.want_bookings.insert(id); };
  command.decide = [id, ended, due](Set& set) -> Result<std::string> {
    TradeRow* row = set.Find(id);
    DueDecision decided = row ? BookingDue(row->trade, set.now) : DueDecision();
    *due = decided.due;
    if (decided.due == Due::kVoidFirst) return std::string();
    set.ended_tasks.push_back(ended);
    if (decided.due == Due::kLater) set.PutTask({ended.id, "booking_deadline", id, decided.deadline, ""});
    if (decided.due == Due::kDone) set.Commit(*row, *std::move(decided.decision));
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  if (*due != Due::kVoidFirst) co_return Result<void>();

  wire::VoidRequest request;
  request.set_booking_id(FormatId("bkg", id));
  request.set_only_unfunded(true);
  CallContext context = StepContext();
  rpc::Channel& channel = ports_.channel("escrow");
  Result<wire::Escrow> escrow = co_await rpc::Call<wire::Escrow>(channel, "millrace.escrow.v1.EscrowService.Void",
                                                                 std::move(context), std::move(request));
  if (!escrow) {
    LogRefusal("expire", task, escrow.error());
    co_return std::unexpected<Error>(std::move(escrow).error());
  }
  std::optional<BookingEvent> event;
  if (escrow->state() == wire::Escrow::HELD) event = BookingEvent::kFund;
  if (escrow->state() == wire::Escrow::VOIDED || escrow->state() == wire::Escrow::EXPIRED)
    event = BookingEvent::kExpire;
  if (!event)
    co_return Fail(Error::Internal("a void that left the escrow " + wire::Escrow::State_Name(escrow->state())));
  Result<void> settled = co_await Settle(std::move(task), event, 0);
  co_return std::move(settled);
}

Task<Result<void>> Operations::RunWorkDeadline(tasks::DueTask task) {
  Uuid id = task.subject;
  postgres::EndedTask ended = task.Ended();
  postgres::Command<Set> command;
  command.header.method = task.kind;
  command.need = [id](Set& set) { set.want_bookings.insert(id); };
  command.decide = [id, ended](Set& set) -> Result<std::string> {
    TradeRow* row = set.Find(id);
    DueDecision decided = row ? WorkDue(row->trade, set.now) : DueDecision();
    set.ended_tasks.push_back(ended);
    if (decided.due == Due::kLater) set.PutTask({ended.id, "work_order_deadline", id, decided.deadline, ""});
    if (decided.due == Due::kDone) set.Commit(*row, *std::move(decided.decision));
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

}  // namespace millrace::operations
