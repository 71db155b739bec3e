// SPDX-License-Identifier: Apache-2.0
// The rows that identity's commands decide on.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/postgres/writer.h"
#include "millrace/identity/v1/identity.pb.h"

namespace millrace::identity {

// `message` is what is kept: everything but actions and etag.
struct OrganizationRow {
  Uuid id;
  int64_t version = 0;
  v1::Organization message;
  bool changed = false;
};

struct SiteRow {
  Uuid id, organization;
  v1::Site message;
  Time create_time;
};

struct KeyRow {
  Uuid id, organization;
  std::string display_name;
  std::vector<std::string> roles;
  std::string secret_hash, hint;
  Time create_time;
  std::optional<Time> revoke_time;
  int64_t version = 0;
  bool changed = false;
};

struct IdentitySet : postgres::WorkingSet {
  // Named by `need`. Values: the codes and external ids that a command wants to take.
  std::set<Uuid> want_organizations, want_keys;
  std::set<std::string> want_usccs, want_external_ids;
  std::set<std::pair<Uuid, std::string>> want_site_external_ids;
  // Loaded; a command that takes a value adds it, for those behind it in the batch.
  std::map<Uuid, OrganizationRow> organizations;
  std::map<Uuid, KeyRow> keys;
  std::set<std::string> taken_usccs, taken_external_ids;
  std::set<std::pair<Uuid, std::string>> taken_site_external_ids;
  // Written.
  std::vector<SiteRow> new_sites;
  std::optional<Time> move_clock_to;  // never backwards
};

class IdentityStore : public postgres::Store<IdentitySet> {
 public:
  void Load(postgres::Transaction& transaction, IdentitySet& set) override;
  void Save(postgres::Transaction& transaction, IdentitySet& set) override;
};

}  // namespace millrace::identity
