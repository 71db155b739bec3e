// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/store/webhook_set.h"

#include "common/base/limits.h"
#include "common/base/words.h"

namespace millrace::notifications {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kWall = {"webhook_wall", "SELECT runtime.micros(clock_timestamp())"};
// One transaction at a time counts and adds an organization's endpoints.
constexpr Statement kLockCounts = {
    "webhook_lock_counts",
    "SELECT pg_advisory_xact_lock(hashtextextended('webhook_endpoint ' || o, 0)) FROM unnest($1::uuid[]) o ORDER BY o"};
constexpr Statement kCounts = {"webhook_counts",
                               "SELECT organization, count(*) FROM webhook_endpoint "
                               "WHERE organization = ANY ($1::uuid[]) AND state <> 'DELETED' GROUP BY organization"};
constexpr Statement kLoadDeliveries = {
    "webhook_load_deliveries",
    "SELECT d.id, n, organization, endpoint, d.event_id, event_type, trigger, state, failure, attempts, "
    "runtime.micros(due_at), fence, runtime.micros(create_time), runtime.micros(end_time), f.event_id IS NOT NULL "
    "FROM webhook_delivery d LEFT JOIN feed_event f ON f.event_id = d.event_id "
    "WHERE d.id = ANY ($1::uuid[]) ORDER BY d.id FOR UPDATE OF d"};
constexpr Statement kLoadEndpoints = {
    "webhook_load_endpoints",
    "SELECT id, organization, sees_all, url, array_to_string(types, ','), description, state, disabled_reason, "
    "runtime.micros(disable_time), secret, old_secret, runtime.micros(old_secret_until), version, "
    "runtime.micros(create_time), runtime.micros(update_time) "
    "FROM webhook_endpoint WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
// What fits an endpoint `e` of events `f`.
#define FITS                                              \
  "(e.sees_all OR e.organization = ANY (f.parties)) AND " \
  "(cardinality(e.types) = 0 OR f.type = ANY (e.types) OR f.kind = ANY (e.types))"
constexpr Statement kRange = {"webhook_range",
                              "SELECT f.seq, runtime.micros(f.time) FROM webhook_endpoint e JOIN feed_event f ON " FITS
                              " WHERE e.id = $1 AND f.time >= $2 AND f.time < $3 ORDER BY f.time, f.seq LIMIT $4"};
#undef FITS
constexpr Statement kReplay = {
    "webhook_replay",
    "INSERT INTO webhook_delivery (id, organization, endpoint, event_id, event_type, trigger, state) "
    "SELECT gen_random_uuid(), e.organization, e.id, f.event_id, f.type, 'REPLAY', 'PENDING' "
    "FROM webhook_endpoint e, feed_event f WHERE e.id = $1 AND f.seq = ANY ($2::bigint[]) ORDER BY f.seq"};
constexpr Statement kSaveEndpoints = {
    "webhook_save_endpoints",
    "INSERT INTO webhook_endpoint (id, organization, sees_all, url, types, description, state, disabled_reason, "
    "disable_time, secret, old_secret, old_secret_until, version, create_time, update_time) "
    "VALUES ($1, $2, $3, $4, $5::text[], $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) "
    "ON CONFLICT (id) DO UPDATE SET url = excluded.url, types = excluded.types, description = excluded.description, "
    "state = excluded.state, disabled_reason = excluded.disabled_reason, disable_time = excluded.disable_time, "
    "secret = excluded.secret, old_secret = excluded.old_secret, old_secret_until = excluded.old_secret_until, "
    "version = excluded.version, update_time = excluded.update_time"};
constexpr Statement kAddDelivery = {"webhook_add_delivery",
                                    "INSERT INTO webhook_delivery (id, organization, endpoint, event_id, event_type, "
                                    "trigger, state, due_at, create_time) "
                                    "VALUES ($1, $2, $3, $4, $5, $6, 'PENDING', $7, $8)"};
constexpr Statement kSaveDelivery = {
    "webhook_save_delivery",
    "UPDATE webhook_delivery SET state = $2, failure = $3, due_at = $4, fence = $5, end_time = $6 WHERE id = $1"};
constexpr Statement kAddAttempts = {
    "webhook_add_attempts",
    "INSERT INTO webhook_attempt (delivery, number, organization, time, status, error, latency_ms, request, response) "
    "SELECT * FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::timestamptz[], $5::int[], $6::text[], $7::bigint[], "
    "$8::text[], $9::text[]) ON CONFLICT (delivery, number) DO NOTHING"};
constexpr Statement kClaim = {
    "webhook_claim",
    "WITH picked AS (SELECT d.id FROM webhook_endpoint e "
    "LEFT JOIN unnest($1::uuid[], $2::bigint[]) AS h (endpoint, running) ON h.endpoint = e.id "
    "CROSS JOIN LATERAL (SELECT w.id, w.due_at, w.n FROM webhook_delivery w WHERE w.endpoint = e.id AND w.state = "
    "'PENDING' "
    "AND w.due_at <= clock_timestamp() AND (e.state = 'ENABLED' OR w.trigger = 'PING') ORDER BY w.due_at, w.n "
    "LIMIT greatest(0, $3 - coalesce(h.running, 0)) FOR UPDATE SKIP LOCKED) d "
    "WHERE e.state <> 'DELETED' ORDER BY d.due_at, d.n LIMIT $4), "
    "moved AS (UPDATE webhook_delivery d SET fence = fence + 1, attempts = attempts + 1, "
    "due_at = clock_timestamp() + make_interval(secs => $5) FROM picked p WHERE d.id = p.id "
    "RETURNING d.id, d.n, d.fence, d.attempts, d.endpoint, d.event_id, d.event_type, d.trigger, d.create_time) "
    "SELECT m.id, m.fence, m.attempts, m.endpoint, e.organization, e.url, e.secret, "
    "CASE WHEN e.old_secret_until > clock_timestamp() THEN e.old_secret END, m.trigger, m.event_id, m.event_type, "
    "runtime.micros(m.create_time), f.seq, f.subject, f.subject_version, runtime.micros(f.time), f.payload_type, "
    "f.payload "
    "FROM moved m JOIN webhook_endpoint e ON e.id = m.endpoint LEFT JOIN feed_event f ON f.event_id = m.event_id "
    "ORDER BY m.n"};
constexpr Statement kGiveUp = {
    "webhook_give_up",
    "UPDATE webhook_delivery SET state = 'FAILED', failure = 'endpoint_disabled', end_time = clock_timestamp() "
    "WHERE id IN (SELECT d.id FROM webhook_endpoint e CROSS JOIN LATERAL (SELECT w.id FROM webhook_delivery w "
    "WHERE w.endpoint = e.id AND w.state = 'PENDING' AND (e.state = 'DELETED' OR w.trigger <> 'PING') "
    "LIMIT 1000 FOR UPDATE SKIP LOCKED) d WHERE e.state <> 'ENABLED' LIMIT 1000)"};
constexpr Statement kPrune = {
    "webhook_prune",
    "DELETE FROM webhook_delivery WHERE id IN (SELECT id FROM webhook_delivery "
    "WHERE create_time < clock_timestamp() - interval '30 days' ORDER BY create_time LIMIT $1)"};
constexpr Statement kPruneEndpoints = {"webhook_prune_endpoints",
                                       "DELETE FROM webhook_endpoint e WHERE state = 'DELETED' "
                                       "AND NOT EXISTS (SELECT 1 FROM webhook_delivery d WHERE d.endpoint = e.id)"};

template <class T>
std::vector<T> List(const std::set<T>& values) {
  return {values.begin(), values.end()};
}

DeliveryRow ReadDelivery(const Row& row) {
  DeliveryRow delivery;
  delivery.id = row.Id(0);
  delivery.n = row.Int(1);
  delivery.organization = row.Id(2);
  delivery.endpoint = row.Id(3);
  delivery.event_id = row.Id(4);
  delivery.event_type = row.Text(5);
  delivery.trigger = row.Text(6);
  delivery.state = row.Text(7);
  delivery.failure = row.Text(8);
  delivery.attempts = static_cast<int>(row.Int(9));
  delivery.due_at = row.At(10);
  delivery.fence = row.Int(11);
  delivery.create_time = row.At(12);
  delivery.end_time = row.OptionalAt(13);
  delivery.event_kept = row.Bool(14);
  return delivery;
}

EndpointRow ReadEndpoint(const Row& row) {
  EndpointRow endpoint;
  endpoint.id = row.Id(0);
  endpoint.organization = row.Id(1);
  endpoint.sees_all = row.Bool(2);
  endpoint.url = row.Text(3);
  endpoint.types = SplitWords(row.Text(4));
  endpoint.description = row.Text(5);
  endpoint.state = row.Text(6);
  endpoint.disabled_reason = row.Text(7);
  endpoint.disable_time = row.OptionalAt(8);
  endpoint.secret = row.Bytes(9);
  endpoint.old_secret = row.Bytes(10);
  endpoint.old_secret_until = row.OptionalAt(11);
  endpoint.version = row.Int(12);
  endpoint.create_time = row.At(13);
  endpoint.update_time = row.At(14);
  return endpoint;
}

void LoadRanges(Transaction& tx, WebhookSet& set) {
  for (ReplayRange& range : set.ranges) {
    Params params;
    params.Id(range.endpoint).At(range.from).At(range.to).Int(kReplayedPerCall + 1);
    for (Row row : tx.Execute(kRange, params)) {
      if (range.seqs.size() < kReplayedPerCall) {
        range.seqs.push_back(row.Int(0));
      } else {
        range.next = row.At(1);
      }
    }
  }
}

void SaveEndpoint(Transaction& tx, const EndpointRow& row) {
  Params params;
  params.Id(row.id).Id(row.organization).Bool(row.sees_all).Text(row.url).Texts(row.types).Text(row.description);
  params.Text(row.state).Text(row.disabled_reason).OptionalAt(row.disable_time).Bytes(row.secret);
  if (row.old_secret.empty()) {
    params.Null().Null();
  } else {
    params.Bytes(row.old_secret).OptionalAt(row.old_secret_until);
  }
  params.Int(row.version).At(row.create_time).At(row.update_time);
  tx.Execute(kSaveEndpoints, params);
}

void SaveAttempts(Transaction& tx, const std::vector<AttemptRow>& attempts) {
  if (attempts.empty()) return;
  std::vector<Uuid> deliveries, organizations;
  std::vector<int64_t> numbers, statuses, latencies;
  std::vector<Time> times;
  std::vector<std::string> errors, requests, responses;
  for (const AttemptRow& row : attempts) {
    deliveries.push_back(row.delivery);
    numbers.push_back(row.number);
    organizations.push_back(row.organization);
    times.push_back(row.time);
    statuses.push_back(row.status);
    errors.push_back(row.error);
    latencies.push_back(row.latency_ms);
    requests.push_back(row.request);
    responses.push_back(row.response);
  }
  tx.Execute(kAddAttempts, Params()
                               .Ids(deliveries)
                               .Ints(numbers)
                               .Ids(organizations)
                               .Times(times)
                               .Ints(statuses)
                               .Texts(errors)
                               .Ints(latencies)
                               .Texts(requests)
                               .Texts(responses));
}

DueDelivery ReadDue(const Row& row) {
  DueDelivery due;
  due.id = row.Id(0);
  due.fence = row.Int(1);
  due.attempts = static_cast<int>(row.Int(2));
  due.endpoint = row.Id(3);
  due.organization = row.Id(4);
  due.url = row.Text(5);
  due.secret = row.Bytes(6);
  due.old_secret = row.Bytes(7);
  due.trigger = row.Text(8);
  KeptEvent event;
  event.id = row.Id(9);
  event.type = row.Text(10);
  if (due.trigger == "PING") {
    event.subject = FormatId("whk", due.endpoint);
    event.time = row.At(11);
    due.event = std::move(event);
  } else if (!row.IsNull(12)) {
    event.seq = row.Int(12);
    event.subject = row.Text(13);
    event.subject_version = row.Int(14);
    event.time = row.At(15);
    event.payload_type = row.Text(16);
    event.payload = row.Bytes(17);
    due.event = std::move(event);
  }
  return due;
}

}  // namespace

void WebhookStore::Load(Transaction& tx, WebhookSet& set) {
  set.wall = tx.Execute(kWall)[0].At(0);
  if (!set.want_counts.empty()) {
    tx.Execute(kLockCounts, Params().Ids(List(set.want_counts)));
    for (Row row : tx.Execute(kCounts, Params().Ids(List(set.want_counts)))) set.counts[row.Id(0)] = row.Int(1);
  }
  if (!set.want_deliveries.empty()) {
    for (Row row : tx.Execute(kLoadDeliveries, Params().Ids(List(set.want_deliveries)))) {
      set.deliveries[row.Id(0)] = ReadDelivery(row);
      set.want_endpoints.insert(row.Id(3));
    }
  }
  if (!set.want_endpoints.empty()) {
    for (Row row : tx.Execute(kLoadEndpoints, Params().Ids(List(set.want_endpoints))))
      set.endpoints[row.Id(0)] = ReadEndpoint(row);
  }
  LoadRanges(tx, set);
}

void WebhookStore::Save(Transaction& tx, WebhookSet& set) {
  for (const auto& [id, row] : set.endpoints) {
    if (row.changed) SaveEndpoint(tx, row);
  }
  for (const auto& [id, row] : set.deliveries) {
    Params params;
    if (row.fresh) {
      params.Id(row.id).Id(row.organization).Id(row.endpoint).Id(row.event_id).Text(row.event_type).Text(row.trigger);
      params.At(row.due_at).At(row.create_time);
      tx.Execute(kAddDelivery, params);
    } else if (row.changed) {
      params.Id(row.id).Text(row.state).Text(row.failure).At(row.due_at).Int(row.fence).OptionalAt(row.end_time);
      tx.Execute(kSaveDelivery, params);
    }
  }
  SaveAttempts(tx, set.attempts);
  for (size_t index : set.replayed) {
    const ReplayRange& range = set.ranges[index];
    tx.Execute(kReplay, Params().Id(range.endpoint).Ints(range.seqs));
  }
}

Task<Result<std::vector<DueDelivery>>> ClaimDeliveries(postgres::Database& worker, InHand in_hand, int per_endpoint,
                                                       int rows, std::chrono::seconds lease) {
  auto claim = [in_hand = std::move(in_hand), per_endpoint, rows, lease](Transaction& tx) {
    Params params;
    params.Ids(in_hand.endpoints).Ints(in_hand.counts).Int(per_endpoint).Int(rows).Int(lease.count());
    std::vector<DueDelivery> due;
    for (Row row : tx.Execute(kClaim, params)) due.push_back(ReadDue(row));
    return due;
  };
  Result<std::vector<DueDelivery>> claimed = co_await worker.Run(std::move(claim));
  co_return std::move(claimed);
}

Task<Result<int64_t>> GiveUpDeliveries(postgres::Database& worker) {
  auto work = [](Transaction& tx) { return static_cast<int64_t>(tx.Execute(kGiveUp).affected()); };
  Result<int64_t> given_up = co_await worker.Run(std::move(work));
  co_return std::move(given_up);
}

Task<Result<int64_t>> PruneDeliveries(postgres::Database& worker) {
  auto work = [](Transaction& tx) {
    auto gone = static_cast<int64_t>(tx.Execute(kPrune, Params().Int(limits::kRowsPerPrune)).affected());
    tx.Execute(kPruneEndpoints);
    return gone;
  };
  Result<int64_t> pruned = co_await worker.Run(std::move(work));
  co_return std::move(pruned);
}

}  // namespace millrace::notifications
