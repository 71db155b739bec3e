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
#include "services/identity/store/approvals.h"
#include "services/identity/store/audit.h"
#include "services/identity/store/documents.h"
#include "services/identity/store/industry.h"
#include "services/identity/store/invitations.h"
#include "services/identity/store/members.h"
#include "services/identity/store/sites.h"

namespace millrace::identity {

// `message` is what is kept: everything but actions and etag.
struct OrganizationRow {
  Uuid id;
  int64_t version = 0;
  v1::Organization message;
  bool changed = false;
};

struct KeyRow {
  Uuid id, organization;
  std::string display_name;
  std::vector<std::string> roles, scopes;  // no scopes: all that the roles allow
  Uuid member;                             // nil: no person's
  std::string secret_hash, hint;
  int secret_version = 1;
  std::string public_keys;             // an ApiKey message with that field alone
  std::string previous_hash;           // of the secret before the last rotation
  std::optional<Time> previous_until;  // wall time
  Time create_time;
  std::optional<Time> revoke_time;
  std::optional<Time> expire_time, last_use_time;  // wall time
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
  // Members: by id, by the hash of their invitation's code, all present ones of an organization; and members' keys.
  std::set<Uuid> want_members, want_members_of, want_keys_of_members;
  std::set<std::string> want_codes;
  std::map<Uuid, MemberRow> members;
  std::set<Uuid> want_sites;
  std::map<Uuid, SiteRow> sites;
  std::set<Uuid> want_documents_of;  // organizations
  std::map<Uuid, DocumentRow> documents;
  // What the operator loaded.
  IndustryPart industry;
  InvitationPart invitations;
  std::set<Uuid> want_approvals;
  std::map<Uuid, ApprovalRow> approvals;
  // The audit log's end, loaded and locked if wanted; who chains a row moves it.
  bool want_audit = false;
  AuditEnd audit_end;
  // Written.
  std::vector<AuditRow> new_audit;
  std::optional<Time> move_clock_to;  // never backwards
};

// A key without its hashes, of the columns in the order of kLoadKeys and list_api_keys.
KeyRow ReadKeyRow(const postgres::Row& row);

class IdentityStore : public postgres::Store<IdentitySet> {
 public:
  void Load(postgres::Transaction& transaction, IdentitySet& set) override;
  void Save(postgres::Transaction& transaction, IdentitySet& set) override;
};

}  // namespace millrace::identity
