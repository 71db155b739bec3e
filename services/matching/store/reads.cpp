// SPDX-License-Identifier: Apache-2.0
#include "services/matching/store/reads.h"

#include "common/postgres/asking.h"

namespace millrace::matching {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

constexpr Statement kDemand = {"matching_read_demand", "SELECT * FROM read_demand($1, $2, $3)"};
constexpr Statement kDemands = {"matching_list_demands", "SELECT * FROM list_demands($1, $2, $3, $4, $5, $6)"};
constexpr Statement kTiers = {"matching_read_tiers", "SELECT organization, tier FROM provider_tier"};

FoundDemand Read(Row row) {
  FoundDemand found;
  found.id = row.Id(0);
  found.message.ParseFromString(row.Bytes(1));
  found.version = row.Int(2);
  found.now = row.At(3);
  return found;
}

}  // namespace

Task<Result<std::optional<FoundDemand>>> ReadDemand(postgres::Database& reader, CallContext context, Uuid id) {
  Params params = postgres::Asking(context).Id(id);
  Result<Rows> rows = co_await reader.Query(kDemand, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::optional<FoundDemand> found;
  if (!rows->empty()) found = Read((*rows)[0]);
  co_return std::move(found);
}

Task<Result<std::vector<FoundDemand>>> ListDemands(postgres::Database& reader, CallContext context, Uuid after,
                                                   int limit, int state, std::string external_id) {
  Params params = postgres::Asking(context).Id(after).Int(limit).Int(state).Text(external_id);
  Result<Rows> rows = co_await reader.Query(kDemands, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<FoundDemand> found;
  for (Row row : *rows) found.push_back(Read(row));
  co_return std::move(found);
}

Task<Result<std::map<Uuid, int>>> ReadTiers(postgres::Database& worker) {
  Params params;
  Result<Rows> rows = co_await worker.Query(kTiers, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::map<Uuid, int> tiers;
  for (Row row : *rows) tiers[row.Id(0)] = static_cast<int>(row.Int(1));
  co_return std::move(tiers);
}

}  // namespace millrace::matching
