// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/invitations.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kLoad = {
    "identity_load_invitations",
    "SELECT id, code_hash, message, version, runtime.micros(create_time) FROM register_invitation "
    "WHERE id = ANY ($1::uuid[]) "
    "OR (state = 1 AND (uscc = ANY ($2::text[]) OR external_id = ANY ($3::text[]))) ORDER BY id FOR UPDATE"};
constexpr Statement kSave = {
    "identity_save_invitations",
    "INSERT INTO register_invitation (id, state, uscc, external_id, code_hash, organization, message, version, "
    "create_time) "
    "SELECT id, state, uscc, nullif(external_id, ''), code_hash, organization, message, version, create_time "
    "FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::bytea[], $6::uuid[], $7::bytea[], "
    "$8::bigint[], $9::timestamptz[]) "
    "AS i (id, state, uscc, external_id, code_hash, organization, message, version, create_time) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, organization = excluded.organization, "
    "message = excluded.message, version = excluded.version"};

template <class T>
std::vector<T> List(const std::set<T>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

void LoadInvitations(Transaction& tx, InvitationPart& part) {
  if (part.want.empty() && part.want_usccs.empty() && part.want_external_ids.empty()) return;
  Params params = Params().Ids(List(part.want)).Texts(List(part.want_usccs)).Texts(List(part.want_external_ids));
  for (Row row : tx.Execute(kLoad, params)) {
    InvitationRow& loaded = part.rows[row.Id(0)];
    loaded.id = row.Id(0);
    loaded.code_hash = row.Bytes(1);
    loaded.message.ParseFromString(row.Bytes(2));
    loaded.version = row.Int(3);
    loaded.create_time = row.At(4);
  }
}

void SaveInvitations(Transaction& tx, const InvitationPart& part) {
  std::vector<Uuid> ids, organizations;
  std::vector<int64_t> states, versions;
  std::vector<std::string> usccs, external_ids, code_hashes, messages;
  std::vector<Time> create_times;
  for (const auto& [id, row] : part.rows) {
    if (!row.changed) continue;
    ids.push_back(id);
    states.push_back(row.message.state());
    usccs.push_back(row.message.uscc());
    external_ids.push_back(row.message.external_id());
    code_hashes.push_back(row.code_hash);
    organizations.push_back(IdOrNil(row.message.organization_id()));
    messages.push_back(row.message.SerializeAsString());
    versions.push_back(row.version);
    create_times.push_back(row.create_time);
  }
  if (ids.empty()) return;
  Params params;
  params.Ids(ids).Ints(states).Texts(usccs).Texts(external_ids).BytesArray(code_hashes).Ids(organizations);
  params.BytesArray(messages).Ints(versions).Times(create_times);
  tx.Execute(kSave, params);
}

}  // namespace millrace::identity
