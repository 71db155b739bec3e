// SPDX-License-Identifier: Apache-2.0
// The rows of the park's register: enterprises that are invited.
#pragma once

#include <map>
#include <set>
#include <string>

#include "common/postgres/database.h"
#include "millrace/identity/v1/register.pb.h"

namespace millrace::identity {

// `message` is what is kept: everything but actions, etag and code.
struct InvitationRow {
  Uuid id;
  std::string code_hash;
  v1::RegisterInvitation message;
  Time create_time;
  int64_t version = 0;
  bool changed = false;
};

// What commands decide on.
struct InvitationPart {
  std::set<Uuid> want;
  std::set<std::string> want_usccs, want_external_ids;
  // The wanted ones by id, and the open ones of these enterprises and with these external ids; locked.
  std::map<Uuid, InvitationRow> rows;
};

void LoadInvitations(postgres::Transaction& tx, InvitationPart& part);
void SaveInvitations(postgres::Transaction& tx, const InvitationPart& part);

}  // namespace millrace::identity
