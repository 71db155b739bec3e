// SPDX-License-Identifier: Apache-2.0
// Reads: for a caller by functions that name the asking organization, so that row-level security decides what is there.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "services/matching/store/demand_set.h"

namespace millrace::matching {

struct FoundDemand {
  Uuid id;
  v1::Demand message;
  int64_t version = 0;
  Time now;  // business time of the read
};

// Errors of all: UNAVAILABLE, INTERNAL. `rows` is a page's size plus one; a nil `after` is the first page.
Task<Result<std::optional<FoundDemand>>> ReadDemand(postgres::Database& reader, CallContext context, Uuid id);
Task<Result<std::vector<FoundDemand>>> ListDemands(postgres::Database& reader, CallContext context, Uuid after,
                                                   int rows, int state, std::string external_id);
// The provider tiers last heard.
Task<Result<std::map<Uuid, int>>> ReadTiers(postgres::Database& worker);

}  // namespace millrace::matching
