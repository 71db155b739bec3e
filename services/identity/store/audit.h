// SPDX-License-Identifier: Apache-2.0
// The audit log's rows.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/postgres/database.h"
#include "millrace/identity/v1/audit.pb.h"

namespace millrace::identity {

struct AuditRow {
  int64_t seq = 0;
  Time time;
  std::string source;
  int64_t source_seq = 0;
  std::string event_id;
  Uuid organization;  // of who acted; nil: nobody known
  std::string act;    // millrace.events.v1.Act, the bytes that its service logged
  std::string prev_hash, hash;
};

// The chain's end.
struct AuditEnd {
  int64_t seq = 0;
  std::string hash = std::string(32, '\0');
};

// SHA-256 over the row's fields but the hash: numbers as 8 bytes, the highest first; texts with their length, 8 bytes,
// before them.
std::string HashOf(const AuditRow& row);
// Puts the row behind `end`, and moves that.
void Chain(AuditEnd& end, AuditRow& row);

// In a transaction that adds entries: the end, locked; then the entries and the new end.
AuditEnd LockAuditEnd(postgres::Transaction& tx);
void AddAudit(postgres::Transaction& tx, const std::vector<AuditRow>& rows, const AuditEnd& end);

// Newest first, entries before `before` (0: from the end) that the asker may see.
Task<Result<std::vector<AuditRow>>> ReadAudit(postgres::Database& reader, Uuid organization, std::string roles,
                                              int64_t before, int rows);
Task<Result<AuditEnd>> ReadAuditEnd(postgres::Database& worker);
// The first entry that is changed or missing, and the end; nothing if all fits. `anchor` is an end that was kept
// elsewhere.
struct AuditCheck {
  int64_t broken_seq = 0;
  AuditEnd end;
};
Task<Result<AuditCheck>> CheckAudit(postgres::Database& worker, std::optional<AuditEnd> anchor, Time deadline);

}  // namespace millrace::identity
