// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/identity_set.h"

#include "services/identity/store/text_list.h"

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
    "SELECT id, organization, display_name, array_to_string(roles, ','), secret_hash, hint, "
    "runtime.micros(create_time), "
    "runtime.micros(revoke_time), version FROM api_key WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
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
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, message = excluded.message, version = excluded.version, "
    "update_time = excluded.update_time"};
constexpr Statement kSaveSites = {"identity_save_sites",
                                  "INSERT INTO site (id, organization, external_id, message, version, create_time) "
                                  "SELECT id, organization, nullif(external_id, ''), message, 1, create_time "
                                  "FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::timestamptz[]) "
                                  "AS s (id, organization, external_id, message, create_time)"};
constexpr Statement kSaveKeys = {
    "identity_save_keys",
    "INSERT INTO api_key (id, organization, display_name, roles, secret_hash, hint, create_time, revoke_time, version) "
    "SELECT id, organization, display_name, string_to_array(roles, ','), secret_hash, hint, create_time, "
    "CASE WHEN revoked THEN revoke_time END, version "
    "FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::timestamptz[], "
    "$8::timestamptz[], $9::bool[], $10::bigint[]) "
    "AS k (id, organization, display_name, roles, secret_hash, hint, create_time, revoke_time, revoked, version) "
    "ON CONFLICT (id) DO UPDATE SET secret_hash = excluded.secret_hash, hint = excluded.hint, "
    "revoke_time = excluded.revoke_time, version = excluded.version"};
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
    roles.push_back(JoinList({row.message.roles().begin(), row.message.roles().end()}));
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

void SaveSites(Transaction& tx, const IdentitySet& set) {
  if (set.new_sites.empty()) return;
  std::vector<Uuid> ids, organizations;
  std::vector<std::string> external_ids, messages;
  std::vector<Time> times;
  for (const SiteRow& row : set.new_sites) {
    ids.push_back(row.id);
    organizations.push_back(row.organization);
    external_ids.push_back(row.message.external_id());
    messages.push_back(row.message.SerializeAsString());
    times.push_back(row.create_time);
  }
  tx.Execute(kSaveSites, Params().Ids(ids).Ids(organizations).Texts(external_ids).BytesArray(messages).Times(times));
}

void SaveKeys(Transaction& tx, const IdentitySet& set) {
  std::vector<Uuid> ids, organizations;
  std::vector<std::string> names, roles, hashes, hints, revoked;
  std::vector<Time> create_times, revoke_times;
  std::vector<int64_t> versions;
  for (const auto& [id, row] : set.keys) {
    if (!row.changed) continue;
    ids.push_back(id);
    organizations.push_back(row.organization);
    names.push_back(row.display_name);
    roles.push_back(JoinList(row.roles));
    hashes.push_back(row.secret_hash);
    hints.push_back(row.hint);
    create_times.push_back(row.create_time);
    revoke_times.push_back(row.revoke_time.value_or(row.create_time));
    revoked.push_back(row.revoke_time ? "true" : "false");
    versions.push_back(row.version);
  }
  if (ids.empty()) return;
  tx.Execute(kSaveKeys, Params()
                            .Ids(ids)
                            .Ids(organizations)
                            .Texts(names)
                            .Texts(roles)
                            .BytesArray(hashes)
                            .Texts(hints)
                            .Times(create_times)
                            .Times(revoke_times)
                            .Texts(revoked)
                            .Ints(versions));
}

}  // namespace

void IdentityStore::Load(Transaction& tx, IdentitySet& set) {
  if (!set.want_organizations.empty()) {
    for (Row row : tx.Execute(kLoadOrganizations, Params().Ids(List(set.want_organizations)))) {
      OrganizationRow& loaded = set.organizations[row.Id(0)];
      loaded.id = row.Id(0);
      loaded.version = row.Int(1);
      loaded.message.ParseFromString(row.Bytes(2));
    }
  }
  if (!set.want_keys.empty()) {
    for (Row row : tx.Execute(kLoadKeys, Params().Ids(List(set.want_keys)))) {
      KeyRow& loaded = set.keys[row.Id(0)];
      loaded.id = row.Id(0);
      loaded.organization = row.Id(1);
      loaded.display_name = row.Text(2);
      loaded.roles = SplitList(row.Text(3));
      loaded.secret_hash = row.Bytes(4);
      loaded.hint = row.Text(5);
      loaded.create_time = row.At(6);
      loaded.revoke_time = row.OptionalAt(7);
      loaded.version = row.Int(8);
    }
  }
  LoadTaken(tx, set);
}

void IdentityStore::Save(Transaction& tx, IdentitySet& set) {
  SaveOrganizations(tx, set);
  SaveSites(tx, set);
  SaveKeys(tx, set);
  if (set.move_clock_to) tx.Execute(kMoveClock, Params().At(*set.move_clock_to));
}

}  // namespace millrace::identity
