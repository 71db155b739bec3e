// SPDX-License-Identifier: Apache-2.0
// The rows of sites.
#pragma once

#include <map>
#include <set>

#include "common/postgres/database.h"
#include "millrace/identity/v1/identity.pb.h"

namespace millrace::identity {

// `message` is what is kept: everything but the etag.
struct SiteRow {
  Uuid id, organization;
  v1::Site message;
  Time create_time;
  int64_t version = 0;
  bool changed = false;
  bool gone = false;  // deleted with this set
};

// Locked.
std::map<Uuid, SiteRow> LoadSites(postgres::Transaction& tx, const std::set<Uuid>& ids);
void SaveSites(postgres::Transaction& tx, const std::map<Uuid, SiteRow>& rows);

}  // namespace millrace::identity
