// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/approvals.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kLoad = {"identity_load_approvals",
                             "SELECT id, organization, fingerprint, requester, decider, runtime.micros(create_time), "
                             "runtime.micros(expire_time), runtime.micros(use_time), message, version FROM approval "
                             "WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
constexpr Statement kSave = {
    "identity_save_approvals",
    "INSERT INTO approval (id, organization, state, method, fingerprint, requester, decider, expire_time, use_time, "
    "message, version, create_time) "
    "SELECT id, organization, state, method, fingerprint, requester, nullif(decider, '')::uuid, expire_time, "
    "to_timestamp(nullif(use_time, 0) / 1000000.0), message, version, create_time "
    "FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::bytea[], $6::uuid[], $7::text[], "
    "$8::timestamptz[], $9::bigint[], $10::bytea[], $11::bigint[], $12::timestamptz[]) "
    "AS a (id, organization, state, method, fingerprint, requester, decider, expire_time, use_time, message, version, "
    "create_time) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, decider = excluded.decider, "
    "expire_time = excluded.expire_time, use_time = excluded.use_time, message = excluded.message, "
    "version = excluded.version"};
constexpr Statement kTerms = {"identity_approval_terms", "SELECT * FROM check_approval($1)"};

}  // namespace

std::map<Uuid, ApprovalRow> LoadApprovals(Transaction& tx, const std::set<Uuid>& ids) {
  std::map<Uuid, ApprovalRow> approvals;
  for (Row row : tx.Execute(kLoad, Params().Ids({ids.begin(), ids.end()}))) {
    ApprovalRow& approval = approvals[row.Id(0)];
    approval.id = row.Id(0);
    approval.organization = row.Id(1);
    approval.fingerprint = row.Bytes(2);
    approval.requester = row.Id(3);
    approval.decider = row.Id(4);
    approval.create_time = row.At(5);
    approval.expire_time = row.At(6);
    approval.use_time = row.OptionalAt(7);
    approval.message.ParseFromString(row.Bytes(8));
    approval.version = row.Int(9);
  }
  return approvals;
}

void SaveApprovals(Transaction& tx, const std::map<Uuid, ApprovalRow>& rows) {
  std::vector<Uuid> ids, organizations, requesters;
  std::vector<int64_t> states, use_times, versions;
  std::vector<std::string> methods, fingerprints, deciders, messages;
  std::vector<Time> expire_times, create_times;
  for (const auto& [id, row] : rows) {
    if (!row.changed) continue;
    ids.push_back(id);
    organizations.push_back(row.organization);
    states.push_back(row.message.state());
    methods.push_back(row.message.method());
    fingerprints.push_back(row.fingerprint);
    requesters.push_back(row.requester);
    deciders.push_back(row.decider.IsNil() ? "" : row.decider.Hex());
    expire_times.push_back(row.expire_time);
    use_times.push_back(row.use_time ? Micros(*row.use_time) : 0);
    messages.push_back(row.message.SerializeAsString());
    versions.push_back(row.version);
    create_times.push_back(row.create_time);
  }
  if (ids.empty()) return;
  Params params;
  params.Ids(ids).Ids(organizations).Ints(states).Texts(methods).BytesArray(fingerprints).Ids(requesters);
  params.Texts(deciders).Times(expire_times).Ints(use_times).BytesArray(messages).Ints(versions).Times(create_times);
  tx.Execute(kSave, params);
}

Task<Result<std::optional<ApprovalTerms>>> ReadApprovalTerms(postgres::Database& reader, Uuid id) {
  Params params = Params().Id(id);
  Result<Rows> rows = co_await reader.Query(kTerms, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  if (rows->empty()) co_return std::optional<ApprovalTerms>();
  Row row = (*rows)[0];
  ApprovalTerms terms;
  terms.organization = row.Id(0);
  terms.shape.state = static_cast<domain::ApprovalState>(row.Int(1));
  terms.method = row.Text(2);
  terms.fingerprint = row.Bytes(3);
  terms.shape.requester = row.Id(4);
  terms.shape.expire_time = row.At(5);
  terms.shape.use_time = row.OptionalAt(6);
  terms.now = row.At(7);
  terms.decider = row.Bool(8);
  co_return std::optional<ApprovalTerms>(std::move(terms));
}

}  // namespace millrace::identity
