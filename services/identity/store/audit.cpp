// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/audit.h"

#include "common/crypto/crypto.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

// Entries that one statement of the check reads.
constexpr int64_t kCheckedRows = 1000;

constexpr Statement kLock = {"identity_audit_lock", "SELECT seq, hash FROM audit_head FOR UPDATE"};
constexpr Statement kEnd = {"identity_audit_end", "SELECT seq, hash FROM audit_head"};
constexpr Statement kMove = {"identity_audit_move", "UPDATE audit_head SET seq = $1, hash = $2"};
constexpr Statement kAdd = {
    "identity_audit_add",
    "INSERT INTO audit_entry (seq, time, source, source_seq, event_id, organization, act, prev_hash, hash) "
    "SELECT seq, time, source, source_seq, event_id, nullif(organization, '')::uuid, act, prev_hash, hash "
    "FROM unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::bytea[], "
    "$8::bytea[], $9::bytea[]) AS a (seq, time, source, source_seq, event_id, organization, act, prev_hash, hash)"};
constexpr Statement kList = {"identity_audit_list", "SELECT * FROM list_audit($1, $2, $3, $4)"};
constexpr Statement kWalk = {
    "identity_audit_walk",
    "SELECT seq, runtime.micros(time), source, source_seq, event_id, organization, act, prev_hash, hash "
    "FROM audit_entry "
    "WHERE seq > $1 ORDER BY seq LIMIT $2"};

void Number(std::string& out, int64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(static_cast<uint64_t>(value) >> shift);
}

void Text(std::string& out, std::string_view text) {
  Number(out, static_cast<int64_t>(text.size()));
  out += text;
}

AuditRow ToRow(const Row& row) {
  return {row.Int(0), row.At(1),    row.Text(2),  row.Int(3),  row.Text(4),
          row.Id(5),  row.Bytes(6), row.Bytes(7), row.Bytes(8)};
}

}  // namespace

std::string HashOf(const AuditRow& row) {
  std::string bytes;
  Number(bytes, row.seq);
  Number(bytes, Micros(row.time));
  Text(bytes, row.source);
  Number(bytes, row.source_seq);
  Text(bytes, row.event_id);
  Text(bytes, row.organization.IsNil() ? "" : row.organization.Hex());
  Text(bytes, row.act);
  Text(bytes, row.prev_hash);
  return crypto::Sha256(bytes);
}

void Chain(AuditEnd& end, AuditRow& row) {
  row.seq = ++end.seq;
  row.prev_hash = end.hash;
  row.hash = HashOf(row);
  end.hash = row.hash;
}

AuditEnd LockAuditEnd(Transaction& tx) {
  Rows rows = tx.Execute(kLock);
  return {rows[0].Int(0), rows[0].Bytes(1)};
}

void AddAudit(Transaction& tx, const std::vector<AuditRow>& rows, const AuditEnd& end) {
  std::vector<int64_t> seqs, source_seqs;
  std::vector<Time> times;
  std::vector<std::string> sources, event_ids, organizations, acts, prev_hashes, hashes;
  for (const AuditRow& row : rows) {
    seqs.push_back(row.seq);
    times.push_back(row.time);
    sources.push_back(row.source);
    source_seqs.push_back(row.source_seq);
    event_ids.push_back(row.event_id);
    organizations.push_back(row.organization.IsNil() ? "" : row.organization.Hex());
    acts.push_back(row.act);
    prev_hashes.push_back(row.prev_hash);
    hashes.push_back(row.hash);
  }
  Params params;
  params.Ints(seqs).Times(times).Texts(sources).Ints(source_seqs).Texts(event_ids).Texts(organizations);
  params.BytesArray(acts).BytesArray(prev_hashes).BytesArray(hashes);
  tx.Execute(kAdd, params);
  tx.Execute(kMove, Params().Int(end.seq).Bytes(end.hash));
}

Task<Result<std::vector<AuditRow>>> ReadAudit(postgres::Database& reader, Uuid organization, std::string roles,
                                              int64_t before, int limit) {
  Params params = Params().Id(organization).Text(roles).Int(before).Int(limit);
  Result<Rows> rows = co_await reader.Query(kList, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<AuditRow> entries;
  for (Row row : *rows) entries.push_back(ToRow(row));
  co_return std::move(entries);
}

Task<Result<AuditEnd>> ReadAuditEnd(postgres::Database& worker) {
  Params params;
  Result<Rows> rows = co_await worker.Query(kEnd, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  if (rows->empty()) co_return Fail(Error::Internal("audit_head has no row"));
  co_return AuditEnd{(*rows)[0].Int(0), (*rows)[0].Bytes(1)};
}

Task<Result<AuditCheck>> CheckAudit(postgres::Database& worker, std::optional<AuditEnd> anchor, Time deadline) {
  Result<AuditEnd> read = co_await ReadAuditEnd(worker);
  MILLRACE_CO_TRY(AuditEnd end, std::move(read));
  AuditCheck check{0, end};
  AuditEnd walked;
  while (walked.seq < end.seq) {
    if (WallNow() >= deadline) co_return Fail(ErrorCode::kDeadlineExceeded);
    Params params = Params().Int(walked.seq).Int(kCheckedRows);
    Result<Rows> rows = co_await worker.Query(kWalk, std::move(params));
    if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
    for (Row each : *rows) {
      AuditRow row = ToRow(each);
      bool fits = row.seq == walked.seq + 1 && row.prev_hash == walked.hash && row.hash == HashOf(row);
      // An anchor is looked at where it stands, so that a chain that was computed anew is found too.
      if (fits && anchor && anchor->seq == row.seq) fits = anchor->hash == row.hash;
      if (!fits) {
        check.broken_seq = walked.seq + 1;
        co_return check;
      }
      walked = {row.seq, row.hash};
      if (walked.seq == end.seq) break;  // what came since the end was read
    }
    if (rows->empty()) {
      check.broken_seq = walked.seq + 1;
      co_return check;
    }
  }
  if (walked.hash != end.hash) check.broken_seq = end.seq;
  if (anchor && anchor->seq > end.seq) check.broken_seq = end.seq + 1;
  co_return check;
}

}  // namespace millrace::identity
