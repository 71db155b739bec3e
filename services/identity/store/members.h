// SPDX-License-Identifier: Apache-2.0
// The rows of members.
#pragma once

#include <map>
#include <set>
#include <string>

#include "common/postgres/database.h"
#include "millrace/identity/v1/members.pb.h"

namespace millrace::identity {

// `message` is what is kept: everything but actions, etag and code.
struct MemberRow {
  Uuid id, organization;
  std::string code_hash;
  v1::Member message;
  Time create_time;
  int64_t version = 0;
  bool changed = false;
};

// Those with these ids or codes' hashes, and every invited or active one of the organizations; locked.
std::map<Uuid, MemberRow> LoadMembers(postgres::Transaction& tx, const std::set<Uuid>& ids,
                                      const std::set<std::string>& code_hashes, const std::set<Uuid>& organizations);
void SaveMembers(postgres::Transaction& tx, const std::map<Uuid, MemberRow>& rows);

}  // namespace millrace::identity
