// SPDX-License-Identifier: Apache-2.0
#include "common/events/log.h"

#include <algorithm>

#include "common/base/limits.h"

namespace millrace::events {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

namespace {

// The lock comes in a statement of its own: the next one must see what the holder before committed.
constexpr Statement kLock = {"event_lock", "SELECT pg_advisory_xact_lock(hashtext(current_schema() || '.relay'))"};
constexpr Statement kStamp = {
    "event_stamp",
    "WITH fresh AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM event WHERE seq IS NULL ORDER BY id LIMIT "
    "$1), "
    "log AS (UPDATE event_log SET head = head + (SELECT count(*) FROM fresh) WHERE EXISTS (SELECT FROM fresh) "
    "RETURNING head), "
    "stamped AS (UPDATE event e SET seq = log.head - (SELECT count(*) FROM fresh) + fresh.n FROM fresh, log WHERE e.id "
    "= fresh.id) "
    "SELECT coalesce((SELECT head FROM log), (SELECT head FROM event_log)), (SELECT count(*) FROM fresh)"};
constexpr Statement kList = {
    "event_list",
    "SELECT e.event_id, e.seq, e.type, e.aggregate, e.aggregate_version, runtime.micros(e.time), "
    "array_to_string(e.parties, ','), e.payload_type, e.payload, e.traceparent, l.head, "
    "coalesce((SELECT min(seq) FROM event WHERE seq IS NOT NULL), l.head + 1) "
    "FROM event_log l LEFT JOIN LATERAL "
    "(SELECT * FROM event WHERE seq > $1 ORDER BY seq LIMIT $2) e ON true ORDER BY e.seq"};
constexpr Statement kPrune = {"event_prune",
                              "DELETE FROM event WHERE id = ANY (ARRAY(SELECT id FROM event WHERE seq IS NOT NULL AND "
                              "time < clock_timestamp() - make_interval(hours => $1::int) ORDER BY id LIMIT $2))"};

}  // namespace

Task<Result<int64_t>> Log::Stamp() {
  struct Stamped {
    int64_t head = 0, count = 0;
  };
  auto work = [](Transaction& tx) {
    tx.Execute(kLock);
    Rows rows = tx.Execute(kStamp, Params().Int(limits::kEventsPerStamp));
    return Stamped{rows[0].Int(0), rows[0].Int(1)};
  };
  while (true) {
    Result<Stamped> stamped = co_await worker_.Run(work);
    if (!stamped) co_return std::unexpected<Error>(std::move(stamped).error());
    if (stamped->count < limits::kEventsPerStamp) co_return stamped->head;
  }
}

Task<Result<v1::ListEventsResponse>> Log::List(int64_t after, int limit) {
  if (limit <= 0 || limit > limits::kEventsPerPull) limit = limits::kEventsPerPull;
  Params params;
  params.Int(after).Int(limit);
  Result<Rows> found = co_await worker_.Query(kList, std::move(params));
  MILLRACE_CO_TRY(Rows rows, std::move(found));
  v1::ListEventsResponse response;
  for (Row row : rows) {
    response.set_head_seq(row.Int(10));
    response.set_first_seq(row.Int(11));
    if (row.IsNull(0)) continue;
    v1::Event* event = response.add_events();
    event->set_id(FormatId("evt", row.Id(0)));
    event->set_source(source_);
    event->set_seq(row.Int(1));
    event->set_type(row.Text(2));
    event->set_aggregate(row.Text(3));
    event->set_aggregate_version(row.Int(4));
    int64_t micros = row.Int(5);
    event->mutable_time()->set_seconds(micros / 1000000);
    event->mutable_time()->set_nanos(static_cast<int32_t>(micros % 1000000) * 1000);
    std::string parties = row.Text(6);
    for (size_t at = 0; at < parties.size();) {
      size_t comma = std::min(parties.find(',', at), parties.size());
      event->add_parties(FormatId("org", Uuid::FromHex(std::string_view(parties).substr(at, comma - at))));
      at = comma + 1;
    }
    event->set_payload_type(row.Text(7));
    event->set_payload(row.Bytes(8));
    event->set_traceparent(row.Text(9));
  }
  co_return std::move(response);
}

Task<Result<int64_t>> Log::Prune() {
  auto work = [](Transaction& tx) {
    Params params;
    params.Int(limits::kEventsKept.count()).Int(limits::kRowsPerPrune);
    return static_cast<int64_t>(tx.Execute(kPrune, params).affected());
  };
  Result<int64_t> pruned = co_await worker_.Run(work);
  co_return std::move(pruned);
}

Relay::Relay(Executor executor, Log& log, std::function<void(int64_t head)> announce)
    : executor_(executor), log_(log), announce_(std::move(announce)), wakeup_(executor) {}

void Relay::Start() { Spawn(executor_, Run(), "relay"); }

void Relay::Stop() {
  stopped_ = true;
  wakeup_.Signal();
}

Task<void> Relay::Run() {
  int64_t announced = 0;
  while (!stopped_) {
    Result<int64_t> head = co_await log_.Stamp();
    if (head && *head > announced) {
      announced = *head;
      announce_(*head);
    }
    co_await wakeup_.Wait(std::chrono::seconds(1));
  }
}

}  // namespace millrace::events
