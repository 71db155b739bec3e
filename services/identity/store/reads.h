// SPDX-License-Identifier: Apache-2.0
// Reads on behalf of a caller: by functions that name the asking organization, so that row-level security decides what
// is there.
#pragma once

#include <optional>
#include <vector>

#include "services/identity/store/identity_set.h"

namespace millrace::identity {

// Who asks.
struct Asker {
  Uuid organization;
  std::string roles;  // with commas
  static Asker Of(const CallContext& context);
};

// A stored message with its version.
template <class Message>
struct Found {
  Uuid id;
  Message message;
  int64_t version = 0;
};

// Whose key a secret is.
struct Credential {
  Uuid organization, key, member;  // no member: no person's
  std::vector<std::string> roles, scopes;
  int state = 0;
};

// The instance's clock row with the time that it shows.
struct ClockRow {
  Time now;
  bool test = false;
};

// Errors of all: UNAVAILABLE, INTERNAL. `rows` is a page's size plus one.
Task<Result<std::optional<Found<v1::Organization>>>> ReadOrganization(postgres::Database& reader, Asker asker, Uuid id);
Task<Result<std::vector<Found<v1::Organization>>>> ReadOrganizations(postgres::Database& reader, Asker asker,
                                                                     Uuid after, int rows, int state,
                                                                     std::string external_id);
Task<Result<std::optional<Found<v1::Site>>>> ReadSite(postgres::Database& reader, Asker asker, Uuid id);
Task<Result<std::vector<Found<v1::Site>>>> ReadSites(postgres::Database& reader, Asker asker, Uuid after, int rows,
                                                     std::string external_id);
// Of the asking organization: the key `id`, or a page if that is nil.
Task<Result<std::vector<KeyRow>>> ReadKeys(postgres::Database& reader, Asker asker, Uuid id, Uuid after, int rows);
// Of the asking organization: the member `id`, or a page if that is nil; of one state, or of all if that is 0.
Task<Result<std::vector<Found<v1::Member>>>> ReadMembers(postgres::Database& reader, Asker asker, Uuid id, Uuid after,
                                                         int rows, int state);
// The document `id`, or a page of those of `organization`, or of all that the asker sees where that is nil too.
Task<Result<std::vector<Found<v1::Document>>>> ReadDocuments(postgres::Database& reader, Asker asker, Uuid id,
                                                             Uuid organization, Uuid after, int rows);
// The invitation `id`, or a page if that is nil; of one state, or of all if that is 0.
Task<Result<std::vector<Found<v1::RegisterInvitation>>>> ReadInvitations(postgres::Database& reader, Asker asker,
                                                                         Uuid id, Uuid after, int rows, int state);
// Of the asking organization: the approval `id`, or a page if that is nil; of one state, or of all if that is 0.
Task<Result<std::vector<Found<v1::Approval>>>> ReadApprovals(postgres::Database& reader, Asker asker, Uuid id,
                                                             Uuid after, int rows, int state);
// Notes by wall time that a key is in use; a row is written at most once a minute.
Task<Result<void>> NoteUse(postgres::Database& worker, Uuid key);
// Of a key's secret, or of an access token.
Task<Result<std::optional<Credential>>> ReadCredential(postgres::Database& reader, std::string hash, bool is_token);
Task<Result<ClockRow>> ReadClock(postgres::Database& worker);
// Says on the instance's row whether its clock may be moved.
Task<Result<void>> MarkTestClock(postgres::Database& worker, bool test);

}  // namespace millrace::identity
