// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/store/feed_set.h"

#include "common/base/limits.h"

namespace millrace::notifications {
namespace {

using postgres::Params;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

// A statement of its own: the next one must see what the holder before committed.
constexpr Statement kLock = {"feed_lock", "SELECT head FROM feed_state FOR UPDATE"};
constexpr Statement kAdd = {
    "feed_add",
    "WITH fresh AS (SELECT e.*, row_number() OVER (ORDER BY e.n) AS k "
    "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[], "
    "$8::text[], $9::bytea[]) "
    "WITH ORDINALITY AS e(event_id, source, type, subject, subject_version, time, parties, payload_type, payload, n) "
    "WHERE NOT EXISTS (SELECT 1 FROM feed_event f WHERE f.event_id = e.event_id)), "
    "state AS (UPDATE feed_state SET head = head + (SELECT count(*) FROM fresh) RETURNING head - (SELECT count(*) FROM "
    "fresh) AS base), "
    "added AS (INSERT INTO feed_event (seq, event_id, source, type, subject, subject_version, time, parties, "
    "payload_type, payload) "
    "SELECT state.base + k, event_id, source, type, subject, subject_version, time, parties::uuid[], payload_type, "
    "payload "
    "FROM fresh, state RETURNING seq, event_id, type, kind, parties), "
    // Who is told of it: what is in the feed and what is sent cannot differ.
    "told AS (INSERT INTO webhook_delivery (id, organization, endpoint, event_id, event_type, trigger, state) "
    "SELECT gen_random_uuid(), e.organization, e.id, a.event_id, a.type, 'EVENT', 'PENDING' "
    "FROM added a CROSS JOIN LATERAL ("
    "SELECT w.* FROM unnest(a.parties) p JOIN webhook_endpoint w ON w.organization = p "
    "WHERE w.state <> 'DELETED' AND NOT w.sees_all "
    "UNION ALL SELECT w.* FROM webhook_endpoint w WHERE w.state <> 'DELETED' AND w.sees_all) e "
    "WHERE e.state = 'ENABLED' "
    "AND (cardinality(e.types) = 0 OR a.type = ANY (e.types) OR a.kind = ANY (e.types)) "
    "ORDER BY a.seq ON CONFLICT DO NOTHING) "
    "INSERT INTO feed_party (organization, seq) "
    "SELECT DISTINCT p, seq FROM added, unnest(parties || '00000000-0000-0000-0000-000000000000'::uuid) p"};
// Wall time: a test clock that is moved by months must not empty the feed under its watcher.
constexpr Statement kOld = {
    "feed_old",
    "SELECT count(*), max(seq) FROM (SELECT seq FROM feed_event "
    "WHERE add_time < clock_timestamp() - make_interval(hours => $1::int) ORDER BY add_time LIMIT $2) old"};
constexpr Statement kPrune = {"feed_prune",
                              "WITH gone AS (DELETE FROM feed_event WHERE seq <= $1) "
                              "UPDATE feed_state SET pruned = greatest(pruned, $1)"};

}  // namespace

void FeedStore::Load(Transaction& transaction, FeedSet& set) {
  if (set.wanted == 0 && !set.prune) return;
  transaction.Execute(kLock);
  if (!set.prune) return;
  Rows old = transaction.Execute(kOld, Params().Int(limits::kEventsKept.count()).Int(kPruneRows));
  set.prune_count = old[0].Int(0);
  set.prune_to = old[0].Int(1);
}

void FeedStore::Save(Transaction& transaction, FeedSet& set) {
  if (set.prune_count > 0) transaction.Execute(kPrune, Params().Int(set.prune_to));
  if (set.rows.empty()) return;
  std::vector<Uuid> ids;
  std::vector<std::string> sources, types, subjects, parties, payload_types, payloads;
  std::vector<int64_t> versions;
  std::vector<Time> times;
  for (const FeedRow& row : set.rows) {
    ids.push_back(row.event_id);
    sources.push_back(row.source);
    types.push_back(row.type);
    subjects.push_back(row.subject);
    versions.push_back(row.subject_version);
    times.push_back(row.time);
    std::vector<std::string> hex;
    for (const Uuid& party : row.parties) hex.push_back(party.Hex());
    parties.push_back(postgres::ArrayLiteral(hex));
    payload_types.push_back(row.payload_type);
    payloads.push_back(row.payload);
  }
  transaction.Execute(kAdd, Params()
                                .Ids(ids)
                                .Texts(sources)
                                .Texts(types)
                                .Texts(subjects)
                                .Ints(versions)
                                .Times(times)
                                .Texts(parties)
                                .Texts(payload_types)
                                .BytesArray(payloads));
}

}  // namespace millrace::notifications
