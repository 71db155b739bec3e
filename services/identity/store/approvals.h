// SPDX-License-Identifier: Apache-2.0
// The rows of approvals.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "common/postgres/database.h"
#include "millrace/identity/v1/approvals.pb.h"
#include "services/identity/domain/approval.h"

namespace millrace::identity {

// `message` is what is kept: everything but actions and etag.
struct ApprovalRow {
  Uuid id, organization;
  std::string fingerprint;
  Uuid requester, decider;  // persons; nil: nobody yet
  Time create_time, expire_time;
  std::optional<Time> use_time;
  v1::Approval message;
  int64_t version = 0;
  bool changed = false;

  domain::ApprovalState state() const { return static_cast<domain::ApprovalState>(message.state()); }
  domain::ApprovalShape shape() const { return {state(), requester, expire_time, use_time}; }
};

// Those with these ids; locked.
std::map<Uuid, ApprovalRow> LoadApprovals(postgres::Transaction& tx, const std::set<Uuid>& ids);
void SaveApprovals(postgres::Transaction& tx, const std::map<Uuid, ApprovalRow>& rows);

// What a command under an approval is compared with.
struct ApprovalTerms {
  Uuid organization;
  std::string method, fingerprint;
  domain::ApprovalShape shape;
  bool decider = false;  // who approved still is an active person with the role operator
  Time now;              // business time
};
Task<Result<std::optional<ApprovalTerms>>> ReadApprovalTerms(postgres::Database& reader, Uuid id);

}  // namespace millrace::identity
