// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/sites.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kLoad = {"identity_load_sites",
                             "SELECT id, organization, message, version, runtime.micros(create_time) FROM site "
                             "WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
constexpr Statement kSave = {
    "identity_save_sites",
    "INSERT INTO site (id, organization, external_id, message, version, create_time) "
    "SELECT id, organization, nullif(external_id, ''), message, version, create_time "
    "FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::bigint[], $6::timestamptz[]) "
    "AS s (id, organization, external_id, message, version, create_time) "
    "ON CONFLICT (id) DO UPDATE SET external_id = excluded.external_id, message = excluded.message, "
    "version = excluded.version"};
constexpr Statement kDelete = {"identity_delete_sites", "DELETE FROM site WHERE id = ANY ($1::uuid[])"};

}  // namespace

std::map<Uuid, SiteRow> LoadSites(Transaction& tx, const std::set<Uuid>& ids) {
  std::map<Uuid, SiteRow> sites;
  for (Row row : tx.Execute(kLoad, Params().Ids({ids.begin(), ids.end()}))) {
    SiteRow& site = sites[row.Id(0)];
    site.id = row.Id(0);
    site.organization = row.Id(1);
    site.message.ParseFromString(row.Bytes(2));
    site.version = row.Int(3);
    site.create_time = row.At(4);
  }
  return sites;
}

void SaveSites(Transaction& tx, const std::map<Uuid, SiteRow>& rows) {
  std::vector<Uuid> ids, organizations, gone;
  std::vector<std::string> external_ids, messages;
  std::vector<int64_t> versions;
  std::vector<Time> times;
  for (const auto& [id, row] : rows) {
    if (row.gone) gone.push_back(id);
    if (!row.changed || row.gone) continue;
    ids.push_back(id);
    organizations.push_back(row.organization);
    external_ids.push_back(row.message.external_id());
    messages.push_back(row.message.SerializeAsString());
    versions.push_back(row.version);
    times.push_back(row.create_time);
  }
  if (!gone.empty()) tx.Execute(kDelete, Params().Ids(gone));
  if (ids.empty()) return;
  Params params;
  params.Ids(ids).Ids(organizations).Texts(external_ids).BytesArray(messages).Ints(versions).Times(times);
  tx.Execute(kSave, params);
}

}  // namespace millrace::identity
