// SPDX-License-Identifier: Apache-2.0
#include "common/events/consumer.h"

#include "common/base/limits.h"
#include "common/telemetry/call.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/span.h"

namespace millrace::events {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

namespace {

constexpr size_t kLinksMax = 32;

// The page is applied for whoever caused its first event; the others are linked.
telemetry::Span SpanOf(const std::string& source, const std::vector<v1::Event>& events) {
  telemetry::Span span("event.apply", telemetry::SpanKind::kInternal, events.front().traceparent());
  if (!span.recorded()) return span;
  span.Set("millrace.source", source);
  span.Set("millrace.event.type", events.front().type());
  span.Set("millrace.events", std::to_string(events.size()));
  for (size_t i = 1; i < events.size() && i < kLinksMax; ++i) span.Link(events[i].traceparent());
  return span;
}

constexpr Statement kPositions = {"consumer_positions", "SELECT source, seq FROM position"};
constexpr Statement kPosition = {"consumer_position", "SELECT seq FROM position WHERE source = $1"};
constexpr Statement kParked = {"consumer_parked", "SELECT DISTINCT aggregate FROM parked_event WHERE source = $1"};

}  // namespace

bool MayBeTriedAgain(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kRateLimited:
    case ErrorCode::kIdempotencyInProgress:
      return true;
    default:
      return false;
  }
}

void LogParked(const std::string& source, const v1::Event& event, const std::string& cause) {
  static telemetry::Counters& parked = telemetry::Counters::Make(
      "millrace_events_parked_total", "Events that could not be applied, by the log they came from.", {"source"});
  parked.With({source}).Add();
  telemetry::Log(telemetry::Level::kError, "event.parked",
                 {{"source", source},
                  {"seq", event.seq()},
                  {"type", event.type()},
                  {"aggregate", event.aggregate()},
                  {"cause", cause}});
}

Task<Result<int64_t>> StoredPosition(postgres::Database& database, std::string source) {
  Params params;
  params.Text(source);
  Result<Rows> rows = co_await database.Query(kPosition, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return rows->empty() ? 0 : (*rows)[0].Int(0);
}

Task<Result<std::map<std::string, int64_t>>> StoredPositions(postgres::Database& database) {
  Params params;
  Result<Rows> rows = co_await database.Query(kPositions, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::map<std::string, int64_t> positions;
  for (Row row : *rows) positions[row.Text(0)] = row.Int(1);
  co_return std::move(positions);
}

Task<Result<std::set<std::string>>> ParkedAggregates(postgres::Database& database, std::string source) {
  Params params;
  params.Text(source);
  Result<Rows> rows = co_await database.Query(kParked, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::set<std::string> aggregates;
  for (Row row : *rows) aggregates.insert(row.Text(0));
  co_return std::move(aggregates);
}

Consumer::Consumer(Executor executor, std::string source, Pull pull, Sink& sink)
    : executor_(executor), source_(std::move(source)), pull_(std::move(pull)), sink_(sink), wakeup_(executor) {}

void Consumer::Start() { Spawn(executor_, Run(), "consumer"); }

void Consumer::Stop() {
  stopped_ = true;
  wakeup_.Signal();
}

Task<Result<void>> Consumer::CatchUp() {
  // One page at a time and one walker at a time: order within the log is order of application.
  while (busy_) co_await Sleep(std::chrono::milliseconds(1));
  busy_ = true;
  Result<void> done;
  try {
    done = co_await Walk();
  } catch (const std::exception& failure) {
    done = Fail(Error::Internal(failure.what()));
  }
  busy_ = false;
  co_return std::move(done);
}

Task<Result<void>> Consumer::Walk() {
  while (!stopped_) {
    Result<int64_t> found = co_await sink_.Position(source_);
    MILLRACE_CO_TRY(int64_t position, std::move(found));
    Result<v1::ListEventsResponse> answer = co_await pull_(position, limits::kEventsPerPull);
    MILLRACE_CO_TRY(v1::ListEventsResponse page, std::move(answer));
    if (page.first_seq() > position + 1) {
      co_return Fail(Error::Internal("the log of " + source_ + " begins at " + std::to_string(page.first_seq()) +
                                     ", applied is " + std::to_string(position)));
    }
    if (page.events().empty()) break;
    std::vector<v1::Event> events(page.events().begin(), page.events().end());
    telemetry::Span span = SpanOf(source_, events);
    telemetry::CallScope scope(telemetry::Call::Of(span.Traceparent(events.front().traceparent()), {}));
    Result<void> applied = co_await sink_.Apply(source_, std::move(events));
    if (!applied) span.Fail(Name(applied.error().code));
    MILLRACE_CO_CHECK(std::move(applied));
  }
  co_return Result<void>();
}

Task<void> Consumer::Run() {
  std::string said;
  while (!stopped_) {
    Result<void> done = co_await CatchUp();
    // Tried again at the next wake-up or poll. What does not pass by itself stops the log: an alarm, once.
    std::string failure;
    if (!done && !MayBeTriedAgain(done.error()))
      failure = std::string(Name(done.error().code)) + " " + done.error().cause;
    if (!failure.empty() && failure != said) {
      telemetry::Log(telemetry::Level::kError, "consumer.stuck", {{"source", source_}, {"cause", failure}});
    }
    said = failure;
    co_await wakeup_.Wait(std::chrono::seconds(1));
  }
}

}  // namespace millrace::events
