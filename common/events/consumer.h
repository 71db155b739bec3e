// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "common/postgres/writer.h"
#include "millrace/events/v1/events.pb.h"

namespace millrace::events {

// Reads another service's log: EventLog.ListEvents, by whatever transport.
using Pull = std::function<Task<Result<v1::ListEventsResponse>>(int64_t after, int limit)>;

// Where a consumer keeps what it has applied.
class Sink {
 public:
  virtual ~Sink() = default;
  // The last seq of `source` that was applied or parked.
  virtual Task<Result<int64_t>> Position(std::string source) = 0;
  // Applies events in order and moves the position to the last one's seq, both or neither.
  virtual Task<Result<void>> Apply(std::string source, std::vector<v1::Event> events) = 0;
};

// Applies the log of one source, in order, each event's effect exactly once.
class Consumer {
 public:
  Consumer(Executor executor, std::string source, Pull pull, Sink& sink);
  void Start();
  void Stop();
  // There may be more.
  void Signal() { wakeup_.Signal(); }
  // Applies everything up to the log's head as it is now.
  Task<Result<void>> CatchUp();

 private:
  Task<void> Run();
  Task<Result<void>> Walk();
  Executor executor_;
  std::string source_;
  Pull pull_;
  Sink& sink_;
  Wakeup wakeup_;
  bool busy_ = false, stopped_ = false;
};

// Whether applying an event failed for a reason that passes by itself: then the log waits, and nothing is parked.
bool MayBeTriedAgain(const Error& error);
// The alarm of a parked aggregate.
void LogParked(const std::string& source, const v1::Event& event, const std::string& cause);

// Positions and parked aggregates, as the service's database has them.
Task<Result<int64_t>> StoredPosition(postgres::Database& database, std::string source);
Task<Result<std::map<std::string, int64_t>>> StoredPositions(postgres::Database& database);
Task<Result<std::set<std::string>>> ParkedAggregates(postgres::Database& database, std::string source);

// A sink whose effects are commands of a batch writer: effects and position commit together. An event that is refused
// alone too parks its aggregate and raises an alarm, so that one fault does not stop the log; see MayBeTriedAgain. Two
// processes of a service may follow one log: whoever commits second finds the position moved, and takes nothing.
template <class S>
class WriterSink : public Sink {
 public:
  using Need = std::function<void(S&, const v1::Event&)>;
  using ApplyOne = std::function<Result<void>(S&, const v1::Event&)>;
  WriterSink(postgres::Database& database, postgres::Writer<S>& writer, Need need, ApplyOne apply)
      : database_(database), writer_(writer), need_(std::move(need)), apply_(std::move(apply)) {}

  Task<Result<int64_t>> Position(std::string source) override {
    Result<int64_t> position = co_await StoredPosition(database_, std::move(source));
    co_return std::move(position);
  }

  Task<Result<void>> Apply(std::string source, std::vector<v1::Event> events) override {
    Result<std::set<std::string>> found = co_await ParkedAggregates(database_, source);
    MILLRACE_CO_TRY(std::set<std::string> parked, std::move(found));
    Result<postgres::Outcome> together = co_await Submit(source, events, parked, nullptr);
    if (together) co_return Result<void>();
    if (MayBeTriedAgain(together.error())) co_return std::unexpected<Error>(std::move(together).error());
    for (const v1::Event& event : events) {
      std::vector<v1::Event> alone;
      alone.push_back(event);
      Result<postgres::Outcome> outcome = co_await Submit(source, alone, parked, nullptr);
      if (outcome) continue;
      Error error = std::move(outcome).error();
      if (MayBeTriedAgain(error)) co_return std::unexpected<Error>(std::move(error));
      std::string cause = std::string(Name(error.code)) + " " + error.cause;
      Result<postgres::Outcome> kept = co_await Submit(source, alone, parked, &cause);
      if (!kept) co_return std::unexpected<Error>(std::move(kept).error());
      LogParked(source, event, cause);
      parked.insert(event.aggregate());
    }
    co_return Result<void>();
  }

 private:
  Task<Result<postgres::Outcome>> Submit(std::string source, std::vector<v1::Event> events,
                                         std::set<std::string> parked, const std::string* park_cause) {
    auto shared = std::make_shared<std::vector<v1::Event>>(std::move(events));
    std::string cause = park_cause ? *park_cause : std::string();
    postgres::Command<S> command;
    command.header.method = "event";
    if (!shared->empty()) command.header.traceparent = shared->front().traceparent();
    command.need = [this, shared, parked, cause](S& set) {
      for (const v1::Event& event : *shared) {
        if (cause.empty() && !parked.contains(event.aggregate())) need_(set, event);
      }
    };
    command.decide = [this, shared, parked, cause, source](S& set) -> Result<std::string> {
      for (const v1::Event& event : *shared) {
        if (!cause.empty() || parked.contains(event.aggregate())) {
          set.parked.push_back(
              {source, event.seq(), event.aggregate(), cause.empty() ? "behind a parked event" : cause});
        } else if (Result<void> applied = apply_(set, event); !applied) {
          // Earlier events of this page have changed the set: nothing of it may be saved.
          throw ApplyRefused(std::string(Name(applied.error().code)) + " " + applied.error().cause);
        }
      }
      set.applied.push_back({source, shared->front().seq(), shared->back().seq()});
      return std::string();
    };
    Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
    co_return std::move(outcome);
  }

  struct ApplyRefused : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

  postgres::Database& database_;
  postgres::Writer<S>& writer_;
  Need need_;
  ApplyOne apply_;
};

}  // namespace millrace::events
