// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/members.h"

#include "common/base/words.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kLoad = {
    "identity_load_members",
    "SELECT id, organization, code_hash, message, version, runtime.micros(create_time) FROM member "
    "WHERE id = ANY ($1::uuid[]) OR code_hash = ANY ($2::bytea[]) OR (organization = ANY ($3::uuid[]) AND state IN (1, "
    "2)) "
    "ORDER BY id FOR UPDATE"};
constexpr Statement kSave = {
    "identity_save_members",
    "INSERT INTO member (id, organization, state, email, roles, code_hash, message, version, create_time) "
    "SELECT id, organization, state, email, string_to_array(roles, ','), code_hash, message, version, create_time "
    "FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], "
    "$8::bigint[], "
    "$9::timestamptz[]) AS m (id, organization, state, email, roles, code_hash, message, version, create_time) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, roles = excluded.roles, message = excluded.message, "
    "version = excluded.version"};

template <class T>
std::vector<T> List(const std::set<T>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

std::map<Uuid, MemberRow> LoadMembers(Transaction& tx, const std::set<Uuid>& ids,
                                      const std::set<std::string>& code_hashes, const std::set<Uuid>& organizations) {
  std::map<Uuid, MemberRow> members;
  Params params = Params().Ids(List(ids)).BytesArray(List(code_hashes)).Ids(List(organizations));
  for (Row row : tx.Execute(kLoad, params)) {
    MemberRow& member = members[row.Id(0)];
    member.id = row.Id(0);
    member.organization = row.Id(1);
    member.code_hash = row.Bytes(2);
    member.message.ParseFromString(row.Bytes(3));
    member.version = row.Int(4);
    member.create_time = row.At(5);
  }
  return members;
}

void SaveMembers(Transaction& tx, const std::map<Uuid, MemberRow>& rows) {
  std::vector<Uuid> ids, organizations;
  std::vector<int64_t> states, versions;
  std::vector<std::string> emails, roles, code_hashes, messages;
  std::vector<Time> create_times;
  for (const auto& [id, row] : rows) {
    if (!row.changed) continue;
    ids.push_back(id);
    organizations.push_back(row.organization);
    states.push_back(row.message.state());
    emails.push_back(row.message.email());
    roles.push_back(JoinWords(row.message.roles()));
    code_hashes.push_back(row.code_hash);
    messages.push_back(row.message.SerializeAsString());
    versions.push_back(row.version);
    create_times.push_back(row.create_time);
  }
  if (ids.empty()) return;
  Params params;
  params.Ids(ids).Ids(organizations).Ints(states).Texts(emails).Texts(roles).BytesArray(code_hashes);
  params.BytesArray(messages).Ints(versions).Times(create_times);
  tx.Execute(kSave, params);
}

}  // namespace millrace::identity
