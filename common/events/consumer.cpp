// SPDX-License-Identifier: Apache-2.0
#include "common/events/consumer.h"

#include "common/base/limits.h"

namespace millrace::events {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

namespace {

constexpr Statement kPositions = {"consumer_positions", "SELECT source, seq FROM position"};
constexpr Statement kPosition = {"consumer_position", "SELECT seq FROM position WHERE source = $1"};
constexpr Statement kParked = {"consumer_parked", "SELECT DISTINCT aggregate FROM parked_event WHERE source = $1"};

}  // namespace

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
  while (true) {
    Result<int64_t> position = co_await sink_.Position(source_);
    if (!position) {
      done = std::unexpected<Error>(std::move(position).error());
      break;
    }
    Result<v1::ListEventsResponse> page = co_await pull_(*position, limits::kEventsPerPull);
    if (!page) {
      done = std::unexpected<Error>(std::move(page).error());
      break;
    }
    if (page->events().empty()) break;
    std::vector<v1::Event> events(page->events().begin(), page->events().end());
    done = co_await sink_.Apply(source_, std::move(events));
    if (!done) break;
  }
  busy_ = false;
  co_return std::move(done);
}

Task<void> Consumer::Run() {
  while (!stopped_) {
    Result<void> done = co_await CatchUp();
    (void)done;  // what failed is tried again at the next wake-up or poll
    co_await wakeup_.Wait(std::chrono::seconds(1));
  }
}

}  // namespace millrace::events
