// SPDX-License-Identifier: Apache-2.0
#include "services/matching/store/demand_set.h"

namespace millrace::matching {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Statement;

constexpr Statement kLock = {"matching_lock_demands",
                             "SELECT id, organization, version, message FROM demand WHERE id = ANY ($1::uuid[]) "
                             "ORDER BY id FOR UPDATE"};
constexpr Statement kTaken = {
    "matching_taken_external_ids",
    "SELECT d.organization, d.external_id FROM demand d "
    "JOIN unnest($1::uuid[], $2::text[]) AS w(organization, external_id) USING (organization, external_id)"};
constexpr Statement kWrite = {
    "matching_write_demands",
    "INSERT INTO demand (id, organization, external_id, state, message, version, create_time, update_time) "
    "SELECT id, organization, nullif(external_id, ''), state, message, version, $7::timestamptz, $7::timestamptz "
    "FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bytea[], $6::bigint[]) "
    "AS w(id, organization, external_id, state, message, version) ORDER BY id "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, message = excluded.message, version = excluded.version, "
    "update_time = excluded.update_time"};
constexpr Statement kTiers = {
    "matching_write_tiers",
    "INSERT INTO provider_tier (organization, tier, version) "
    "SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS w(organization, tier, version) "
    "ORDER BY organization "
    "ON CONFLICT (organization) DO UPDATE SET tier = excluded.tier, version = excluded.version "
    "WHERE provider_tier.version < excluded.version"};

}  // namespace

void DemandStore::Load(postgres::Transaction& transaction, DemandSet& set) {
  if (!set.want_demands.empty()) {
    Params params = Params().Ids({set.want_demands.begin(), set.want_demands.end()});
    for (Row row : transaction.Execute(kLock, params)) {
      DemandRow& demand = set.demands[row.Id(0)];
      demand.id = row.Id(0);
      demand.organization = row.Id(1);
      demand.version = row.Int(2);
      demand.message.ParseFromString(row.Bytes(3));
    }
  }
  if (!set.want_external_ids.empty()) {
    std::vector<Uuid> organizations;
    std::vector<std::string> external_ids;
    for (const auto& [organization, external_id] : set.want_external_ids) {
      organizations.push_back(organization);
      external_ids.push_back(external_id);
    }
    Params params = Params().Ids(organizations).Texts(external_ids);
    for (Row row : transaction.Execute(kTaken, params)) set.taken_external_ids.emplace(row.Id(0), row.Text(1));
  }
}

void DemandStore::Save(postgres::Transaction& transaction, DemandSet& set) {
  std::vector<Uuid> ids, organizations;
  std::vector<std::string> external_ids, messages;
  std::vector<int64_t> states, versions;
  for (const auto& [id, demand] : set.demands) {
    if (!demand.changed) continue;
    ids.push_back(id);
    organizations.push_back(demand.organization);
    external_ids.push_back(demand.message.external_id());
    states.push_back(demand.message.state());
    messages.push_back(demand.message.SerializeAsString());
    versions.push_back(demand.version);
  }
  if (!ids.empty()) {
    transaction.Execute(kWrite, Params()
                                    .Ids(ids)
                                    .Ids(organizations)
                                    .Texts(external_ids)
                                    .Ints(states)
                                    .BytesArray(messages)
                                    .Ints(versions)
                                    .At(set.now));
  }
  if (!set.tiers.empty()) {
    std::vector<Uuid> providers;
    std::vector<int64_t> tiers, tier_versions;
    for (const auto& [provider, tier] : set.tiers) {
      providers.push_back(provider);
      tiers.push_back(tier.first);
      tier_versions.push_back(tier.second);
    }
    transaction.Execute(kTiers, Params().Ids(providers).Ints(tiers).Ints(tier_versions));
  }
}

}  // namespace millrace::matching
