// SPDX-License-Identifier: Apache-2.0
// The rows that matching's commands decide on.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/postgres/writer.h"
#include "millrace/matching/v1/matching.pb.h"

namespace millrace::matching {

// `message` is what is kept: everything but actions and etag.
struct DemandRow {
  Uuid id, organization;
  int64_t version = 0;
  v1::Demand message;
  bool changed = false;
};

struct DemandSet : postgres::WorkingSet {
  // Named by `need`.
  std::set<Uuid> want_demands;
  std::set<std::pair<Uuid, std::string>> want_external_ids;
  // Loaded; a command that takes an external id adds it, for those behind it in the batch.
  std::map<Uuid, DemandRow> demands;
  std::set<std::pair<Uuid, std::string>> taken_external_ids;
  // Written: a provider's tier with its version.
  std::map<Uuid, std::pair<int, int64_t>> tiers;
};

class DemandStore : public postgres::Store<DemandSet> {
 public:
  void Load(postgres::Transaction& transaction, DemandSet& set) override;
  void Save(postgres::Transaction& transaction, DemandSet& set) override;
};

}  // namespace millrace::matching
