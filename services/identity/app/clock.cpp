// SPDX-License-Identifier: Apache-2.0
// The instance's clock, and how a test instance's is moved: timer by timer, with every service settled in between.
#include <algorithm>
#include <array>
#include <map>

#include "millrace/runtime/v1/runtime.pb.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/wire.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

namespace wire = ::millrace::runtime::v1;
using Set = IdentitySet;

// Those with due work or an event log.
constexpr std::array<const char*, 7> kServices = {"identity", "listing", "matching",     "operations",
                                                  "escrow",   "credit",  "notifications"};
// Steps of one advance: a step is one due time.
constexpr int kAdvanceSteps = 20000;
// Between two looks at the positions, and how long they may take to reach the logs' ends before the advance gives up.
constexpr std::chrono::milliseconds kSettlePause{2};
constexpr std::chrono::seconds kSettleWithin{5};
// The clock stops well before the last year that the wire has: what is due a horizon after it is still a time.
constexpr Time kClockEnd{std::chrono::sys_days(std::chrono::year(9000) / 1 / 1)};
// Left of the caller's deadline for the answer itself.
constexpr std::chrono::milliseconds kAnswerWithin{200};

CallContext OwnContext(Time deadline) {
  CallContext context = CallContext::ForService("identity");
  context.deadline = deadline;
  return context;
}

// One advance at a time; the flag falls when the advance ends, however it ends.
class Turn {
 public:
  explicit Turn(bool& taken) : taken_(taken) { taken_ = true; }
  ~Turn() { taken_ = false; }
  Turn(const Turn&) = delete;

 private:
  bool& taken_;
};

}  // namespace

Task<Result<v1::Clock>> Identity::GetClock(CallContext, v1::GetClockRequest) {
  Result<ClockRow> read = co_await ReadClock(worker_);
  MILLRACE_CO_TRY(ClockRow row, std::move(read));
  v1::Clock clock;
  SetTime(clock.mutable_now(), row.now);
  clock.set_test(row.test);
  co_return std::move(clock);
}

Task<Result<v1::AdvanceClockResponse>> Identity::AdvanceClock(CallContext context, v1::AdvanceClockRequest request) {
  if (!config_.test_clock) co_return Fail(ErrorCode::kClockNotAdjustable);
  if (ReadTime(request.to_time()) > kClockEnd) {
    co_return Fail(Error::At("#/to_time", ErrorCode::kOutOfRange, {{"min", "now"}, {"max", FormatTime(kClockEnd)}}));
  }
  if (advancing_) co_return Fail(ErrorCode::kIdempotencyInProgress);
  Turn turn(advancing_);
  Time to = ReadTime(request.to_time());
  Time deadline = context.deadline == Time::max() ? context.deadline : context.deadline - kAnswerWithin;

  // First: an outcome that is kept under this key, or a time that is not ahead. The probe's own refusal is never kept,
  // so that an advance that broke off goes on when it is tried again.
  auto fresh = std::make_shared<bool>(false);
  postgres::Command<Set> probe;
  probe.header = postgres::CommandHeader::Of(context, "AdvanceClock");
  probe.decide = [to, fresh](Set& set) -> Result<std::string> {
    if (to <= set.now) return Fail(ErrorCode::kClockNotAdjustable);
    *fresh = true;
    return Fail(ErrorCode::kUnavailable);
  };
  postgres::CommandHeader header = probe.header;
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> kept = co_await Run(context, std::move(probe));
  v1::AdvanceClockResponse response;
  if (kept) {
    response.ParseFromString(*kept);
    co_return std::move(response);
  }
  if (!*fresh) co_return std::unexpected<Error>(std::move(kept).error());
  if (context.validate_only) {  // how many timers lie on the way only the way shows
    SetTime(response.mutable_clock()->mutable_now(), to);
    response.mutable_clock()->set_test(true);
    co_return std::move(response);
  }

  Result<int> count = co_await FireUntil(to, deadline);
  MILLRACE_CO_TRY(int fired, std::move(count));
  // The last step and the answer commit together.
  postgres::Command<Set> last;
  last.header = header;
  last.decide = [to, fired](Set& set) -> Result<std::string> {
    set.move_clock_to = to;
    v1::AdvanceClockResponse answer;
    SetTime(answer.mutable_clock()->mutable_now(), std::max(to, set.now));
    answer.mutable_clock()->set_test(true);
    answer.set_fired(fired);
    return answer.SerializeAsString();
  };
  Result<std::string> outcome = co_await Run(std::move(context), std::move(last));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  response.ParseFromString(*outcome);
  // What came due while the last step committed. It runs by itself too, so a fault here takes nothing back.
  Result<int> late = co_await FireEverywhere();
  if (late) {
    Result<void> settled = co_await Settle(deadline);
    (void)settled;
  }
  co_return std::move(response);
}

Task<Result<int>> Identity::FireUntil(Time to, Time deadline) {
  // What is due already does not count as fired on the way.
  Result<int> overdue = co_await FireEverywhere();
  MILLRACE_CO_CHECK(std::move(overdue));
  int fired = 0;
  for (int step = 0; step < kAdvanceSteps; ++step) {
    Result<void> settled = co_await Settle(deadline);
    MILLRACE_CO_CHECK(std::move(settled));
    std::optional<Time> earliest;
    for (const char* service : kServices) {
      CallContext context = OwnContext(deadline);
      wire::NextDueRequest request;
      rpc::Channel& channel = channel_(service);
      Result<wire::NextDueResponse> answer = co_await rpc::Call<wire::NextDueResponse>(
          channel, "millrace.runtime.v1.Runtime.NextDue", std::move(context), std::move(request));
      MILLRACE_CO_TRY(wire::NextDueResponse next, std::move(answer));
      if (!next.has_due_time()) continue;
      Time due = ReadTime(next.due_time());
      earliest = earliest ? std::min(*earliest, due) : due;
    }
    if (!earliest || *earliest > to) co_return fired;
    Time due = *earliest;
    Result<void> moved = co_await MoveClock(due);
    MILLRACE_CO_CHECK(std::move(moved));
    Result<int> ran = co_await FireEverywhere();
    MILLRACE_CO_TRY(int more, std::move(ran));
    fired += more;
  }
  co_return Fail(Error::Internal("the clock's advance took more than " + std::to_string(kAdvanceSteps) + " steps"));
}

Task<Result<void>> Identity::MoveClock(Time to) {
  postgres::Command<Set> command;
  command.header.method = "MoveClock";
  command.decide = [to](Set& set) -> Result<std::string> {
    set.move_clock_to = to;
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<int>> Identity::FireEverywhere() {
  int fired = 0;
  for (const char* service : kServices) {
    CallContext context = CallContext::ForService("identity");
    wire::FireRequest request;
    rpc::Channel& channel = channel_(service);
    Result<wire::FireResponse> answer = co_await rpc::Call<wire::FireResponse>(
        channel, "millrace.runtime.v1.Runtime.Fire", std::move(context), std::move(request));
    MILLRACE_CO_TRY(wire::FireResponse ran, std::move(answer));
    fired += ran.fired();
  }
  co_return fired;
}

Task<Result<void>> Identity::Settle(Time deadline) {
  Time end = WallNow() + kSettleWithin;
  while (true) {
    if (WallNow() >= deadline) co_return Fail(ErrorCode::kDeadlineExceeded);
    if (WallNow() >= end) {
      Error error(ErrorCode::kUnavailable);
      error.cause = "a service does not keep up with the event logs";
      co_return Fail(std::move(error));
    }
    std::map<std::string, int64_t> heads;
    for (const char* service : kServices) {
      CallContext context = OwnContext(deadline);
      wire::HeadRequest request;
      rpc::Channel& channel = channel_(service);
      Result<wire::HeadResponse> answer = co_await rpc::Call<wire::HeadResponse>(
          channel, "millrace.runtime.v1.Runtime.Head", std::move(context), std::move(request));
      MILLRACE_CO_TRY(wire::HeadResponse head, std::move(answer));
      heads[service] = head.seq();
    }
    bool level = true;
    for (const char* service : kServices) {
      CallContext context = OwnContext(deadline);
      wire::PositionRequest request;
      rpc::Channel& channel = channel_(service);
      Result<wire::PositionResponse> answer = co_await rpc::Call<wire::PositionResponse>(
          channel, "millrace.runtime.v1.Runtime.Position", std::move(context), std::move(request));
      MILLRACE_CO_TRY(wire::PositionResponse positions, std::move(answer));
      for (const auto& [source, seq] : positions.positions()) level = level && seq >= heads[source];
    }
    if (level) co_return Result<void>();
    co_await Sleep(kSettlePause);
  }
}

}  // namespace millrace::identity
