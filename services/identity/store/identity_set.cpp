// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/identity_set.h"

#include "common/base/words.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kLoadOrganizations = {
    "identity_load_organizations",
    "SELECT id, version, message FROM organization WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
constexpr Statement kLoadKeys = {
    "identity_load_keys",
    "SELECT id, organization, display_name, array_to_string(roles, ','), array_to_string(scopes, ','), member, hint, "
    "secret_version, runtime.micros(previous_until), runtime.micros(create_time), runtime.micros(revoke_time), "
    "runtime.micros(expire_time), runtime.micros(last_use_time), version, public_keys, secret_hash, "
    "previous_hash "
    "FROM api_key WHERE id = ANY ($1::uuid[]) OR member = ANY ($2::uuid[]) ORDER BY id FOR UPDATE"};
constexpr Statement kTaken = {"identity_taken",
                              "SELECT 1, uscc FROM organization WHERE uscc = ANY ($1::text[]) "
                              "UNION ALL SELECT 2, external_id FROM organization WHERE external_id = ANY ($2::text[])"};
constexpr Statement kTakenSites = {
    "identity_taken_sites",
    "SELECT s.organization, s.external_id FROM unnest($1::uuid[], $2::text[]) AS w (organization, external_id) "
    "JOIN site s ON s.organization = w.organization AND s.external_id = w.external_id"};
constexpr Statement kSaveOrganizations = {
    "identity_save_organizations",
    "INSERT INTO organization (id, state, uscc, external_id, roles, message, version, create_time, update_time) "
    "SELECT id, state, nullif(uscc, ''), nullif(external_id, ''), string_to_array(roles, ','), message, version, $8, "
    "$8 "
    "FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bigint[]) "
    "AS o (id, state, uscc, external_id, roles, message, version) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, uscc = excluded.uscc, external_id = excluded.external_id, "
    "message = excluded.message, version = excluded.version, update_time = excluded.update_time"};
constexpr Statement kSaveKeys = {
    "identity_save_keys",
    "INSERT INTO api_key (id, organization, display_name, roles, scopes, member, secret_hash, hint, secret_version, "
    "previous_hash, previous_until, create_time, revoke_time, expire_time, version, public_keys) "
    "SELECT id, organization, display_name, string_to_array(roles, ','), string_to_array(scopes, ','), "
    "nullif(member, '')::uuid, secret_hash, hint, secret_version, nullif(previous_hash, ''), "
    "to_timestamp(nullif(previous_until, 0) / 1000000.0), create_time, to_timestamp(nullif(revoke_time, 0) / "
    "1000000.0), "
    "to_timestamp(nullif(expire_time, 0) / 1000000.0), version, public_keys "
    "FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[], "
    "$9::int[], $10::bytea[], $11::bigint[], $12::timestamptz[], $13::bigint[], $14::bigint[], $15::bigint[], "
    "$16::bytea[]) "
    "AS k (id, organization, display_name, roles, scopes, member, secret_hash, hint, secret_version, previous_hash, "
    "previous_until, create_time, revoke_time, expire_time, version, public_keys) "
    "ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash, hint = excluded.hint, roles = excluded.roles, "
    "secret_version = excluded.secret_version, previous_hash = excluded.previous_hash, "
    "previous_until = excluded.previous_until, revoke_time = excluded.revoke_time, version = excluded.version"};
constexpr Statement kMoveClock = {
    "identity_move_clock",
    "UPDATE runtime.clock SET ahead = greatest(ahead, $1::timestamptz - clock_timestamp()) WHERE test"};

template <class T>
std::vector<T> List(const std::set<T>& values) {
  return {values.begin(), values.end()};
}

void LoadTaken(Transaction& tx, IdentitySet& set) {
  if (!set.want_usccs.empty() || !set.want_external_ids.empty()) {
    for (Row row : tx.Execute(kTaken, Params().Texts(List(set.want_usccs)).Texts(List(set.want_external_ids)))) {
      (row.Int(0) == 1 ? set.taken_usccs : set.taken_external_ids).insert(row.Text(1));
    }
  }
  if (!set.want_site_external_ids.empty()) {
    std::vector<Uuid> organizations;
    std::vector<std::string> external_ids;
    for (const auto& [organization, external_id] : set.want_site_external_ids) {
      organizations.push_back(organization);
      external_ids.push_back(external_id);
    }
    for (Row row : tx.Execute(kTakenSites, Params().Ids(organizations).Texts(external_ids))) {
      set.taken_site_external_ids.emplace(row.Id(0), row.Text(1));
    }
  }
}

void SaveOrganizations(Transaction& tx, const IdentitySet& set) {
  std::vector<Uuid> ids;
  std::vector<int64_t> states, versions;
  std::vector<std::string> usccs, external_ids, roles, messages;
  for (const auto& [id, row] : set.organizations) {
    if (!row.changed) continue;
    ids.push_back(id);
    states.push_back(row.message.state());
    versions.push_back(row.version);
    usccs.push_back(row.message.uscc());
    external_ids.push_back(row.message.external_id());
    roles.push_back(JoinWords(row.message.roles()));
    messages.push_back(row.message.SerializeAsString());
  }
  if (ids.empty()) return;
  tx.Execute(kSaveOrganizations, Params()
                                     .Ids(ids)
                                     .Ints(states)
                                     .Texts(usccs)
                                     .Texts(external_ids)
                                     .Texts(roles)
                                     .BytesArray(messages)
                                     .Ints(versions)
                                     .At(set.now));
}

int64_t MicrosOrZero(const std::optional<Time>& time) { return time ? Micros(*time) : 0; }

void SaveKeys(Transaction& tx, const IdentitySet& set) {
  std::vector<Uuid> ids, organizations;
  std::vector<std::string> names, roles, scopes, members, hashes, hints, previous_hashes, public_keys;
  std::vector<Time> create_times;
  std::vector<int64_t> secret_versions, previous_until, revoked, expire, versions;
  for (const auto& [id, row] : set.keys) {
    if (!row.changed) continue;
    ids.push_back(id);
    organizations.push_back(row.organization);
    names.push_back(row.display_name);
    roles.push_back(JoinWords(row.roles));
    scopes.push_back(JoinWords(row.scopes));
    members.push_back(row.member.IsNil() ? "" : row.member.Hex());
    hashes.push_back(row.secret_hash);
    hints.push_back(row.hint);
    secret_versions.push_back(row.secret_version);
    previous_hashes.push_back(row.previous_hash);
    previous_until.push_back(MicrosOrZero(row.previous_until));
    create_times.push_back(row.create_time);
    revoked.push_back(MicrosOrZero(row.revoke_time));
    expire.push_back(MicrosOrZero(row.expire_time));
    versions.push_back(row.version);
    public_keys.push_back(row.public_keys);
  }
  if (ids.empty()) return;
  Params params;
  params.Ids(ids).Ids(organizations).Texts(names).Texts(roles).Texts(scopes).Texts(members).BytesArray(hashes);
  params.Texts(hints).Ints(secret_versions).BytesArray(previous_hashes).Ints(previous_until).Times(create_times);
  params.Ints(revoked).Ints(expire).Ints(versions).BytesArray(public_keys);
  tx.Execute(kSaveKeys, params);
}

}  // namespace

KeyRow ReadKeyRow(const Row& row) {
  KeyRow key;
  key.id = row.Id(0);
  key.organization = row.Id(1);
  key.display_name = row.Text(2);
  key.roles = SplitWords(row.Text(3));
  key.scopes = SplitWords(row.Text(4));
  key.member = row.Id(5);
  key.hint = row.Text(6);
  key.secret_version = static_cast<int>(row.Int(7));
  key.previous_until = row.OptionalAt(8);
  key.create_time = row.At(9);
  key.revoke_time = row.OptionalAt(10);
  key.expire_time = row.OptionalAt(11);
  key.last_use_time = row.OptionalAt(12);
  key.version = row.Int(13);
  key.public_keys = row.Bytes(14);
  return key;
}

void IdentityStore::Load(Transaction& tx, IdentitySet& set) {
  LoadInvitations(tx, set.invitations);
  // A registration may take these over from its invitation.
  for (const auto& [id, row] : set.invitations.rows) {
    if (!row.message.external_id().empty()) set.want_external_ids.insert(row.message.external_id());
    WantIndustry(set.industry, row.message.industry_code());
  }
  LoadIndustry(tx, set.industry);
  if (!set.want_organizations.empty()) {
    for (Row row : tx.Execute(kLoadOrganizations, Params().Ids(List(set.want_organizations)))) {
      OrganizationRow& loaded = set.organizations[row.Id(0)];
      loaded.id = row.Id(0);
      loaded.version = row.Int(1);
      loaded.message.ParseFromString(row.Bytes(2));
    }
  }
  if (!set.want_keys.empty() || !set.want_keys_of_members.empty()) {
    for (Row row : tx.Execute(kLoadKeys, Params().Ids(List(set.want_keys)).Ids(List(set.want_keys_of_members)))) {
      KeyRow loaded = ReadKeyRow(row);
      loaded.secret_hash = row.Bytes(15);
      loaded.previous_hash = row.IsNull(16) ? "" : row.Bytes(16);
      set.keys[loaded.id] = std::move(loaded);
    }
  }
  if (!set.want_sites.empty()) set.sites = LoadSites(tx, set.want_sites);
  if (!set.want_documents_of.empty()) set.documents = LoadDocuments(tx, set.want_documents_of);
  LoadTaken(tx, set);
  if (!set.want_members.empty() || !set.want_codes.empty() || !set.want_members_of.empty()) {
    set.members = LoadMembers(tx, set.want_members, set.want_codes, set.want_members_of);
  }
  if (!set.want_approvals.empty()) set.approvals = LoadApprovals(tx, set.want_approvals);
  if (set.want_audit) set.audit_end = LockAuditEnd(tx);
}

void IdentityStore::Save(Transaction& tx, IdentitySet& set) {
  SaveOrganizations(tx, set);
  SaveSites(tx, set.sites);
  SaveDocuments(tx, set.documents);
  SaveMembers(tx, set.members);
  SaveKeys(tx, set);
  SaveInvitations(tx, set.invitations);
  SaveIndustry(tx, set.industry, set.now);
  SaveApprovals(tx, set.approvals);
  if (!set.new_audit.empty()) AddAudit(tx, set.new_audit, set.audit_end);
  if (set.move_clock_to) tx.Execute(kMoveClock, Params().At(*set.move_clock_to));
}

}  // namespace millrace::identity
