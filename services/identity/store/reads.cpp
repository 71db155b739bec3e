// SPDX-License-Identifier: Apache-2.0
#include "services/identity/store/reads.h"

#include "common/base/words.h"

namespace millrace::identity {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

constexpr Statement kOrganization = {"identity_organization", "SELECT * FROM read_organization($1, $2, $3)"};
constexpr Statement kOrganizations = {"identity_organizations",
                                      "SELECT * FROM list_organizations($1, $2, $3, $4, $5, $6)"};
constexpr Statement kSite = {"identity_site", "SELECT * FROM read_site($1, $2, $3)"};
constexpr Statement kSites = {"identity_sites", "SELECT * FROM list_sites($1, $2, $3, $4, $5)"};
constexpr Statement kKeys = {"identity_keys", "SELECT * FROM list_api_keys($1, $2, $3, $4, $5)"};
constexpr Statement kAuthenticate = {"identity_authenticate", "SELECT * FROM authenticate($1)"};
constexpr Statement kAuthenticateToken = {"identity_authenticate_token", "SELECT * FROM authenticate_token($1)"};
constexpr Statement kMembers = {"identity_members", "SELECT * FROM list_members($1, $2, $3, $4, $5, $6)"};
constexpr Statement kDocuments = {"identity_documents", "SELECT * FROM list_documents($1, $2, $3, $4, $5, $6)"};
constexpr Statement kInvitations = {"identity_invitations",
                                    "SELECT * FROM list_register_invitations($1, $2, $3, $4, $5, $6)"};
constexpr Statement kApprovals = {"identity_approvals", "SELECT * FROM list_approvals($1, $2, $3, $4, $5, $6)"};
constexpr Statement kNoteUse = {
    "identity_note_use",
    "UPDATE api_key SET last_use_time = clock_timestamp() WHERE id = $1 "
    "AND (last_use_time IS NULL OR last_use_time < clock_timestamp() - interval '1 minute')"};
constexpr Statement kClock = {"identity_clock", "SELECT runtime.micros(runtime.now()), test FROM runtime.clock"};
constexpr Statement kTestClock = {"identity_test_clock", "UPDATE runtime.clock SET test = $1 WHERE test <> $1"};

template <class Message>
std::vector<Found<Message>> Messages(const Rows& rows) {
  std::vector<Found<Message>> found;
  for (Row row : rows) {
    Found<Message>& one = found.emplace_back();
    one.id = row.Id(0);
    one.message.ParseFromString(row.Bytes(1));
    one.version = row.Int(2);
  }
  return found;
}

template <class Message>
std::optional<Found<Message>> First(const Rows& rows) {
  if (rows.empty()) return std::nullopt;
  return std::move(Messages<Message>(rows).front());
}

}  // namespace

Asker Asker::Of(const CallContext& context) { return {context.organization, JoinWords(context.roles)}; }

Task<Result<std::optional<Found<v1::Organization>>>> ReadOrganization(postgres::Database& reader, Asker asker,
                                                                      Uuid id) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(id);
  Result<Rows> rows = co_await reader.Query(kOrganization, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return First<v1::Organization>(*rows);
}

Task<Result<std::vector<Found<v1::Organization>>>> ReadOrganizations(postgres::Database& reader, Asker asker,
                                                                     Uuid after, int limit, int state,
                                                                     std::string external_id) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(after).Int(limit).Int(state).Text(external_id);
  Result<Rows> rows = co_await reader.Query(kOrganizations, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Messages<v1::Organization>(*rows);
}

Task<Result<std::optional<Found<v1::Site>>>> ReadSite(postgres::Database& reader, Asker asker, Uuid id) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(id);
  Result<Rows> rows = co_await reader.Query(kSite, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return First<v1::Site>(*rows);
}

Task<Result<std::vector<Found<v1::Site>>>> ReadSites(postgres::Database& reader, Asker asker, Uuid after, int limit,
                                                     std::string external_id) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(after).Int(limit).Text(external_id);
  Result<Rows> rows = co_await reader.Query(kSites, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Messages<v1::Site>(*rows);
}

Task<Result<std::vector<KeyRow>>> ReadKeys(postgres::Database& reader, Asker asker, Uuid id, Uuid after, int limit) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(id).Id(after).Int(limit);
  Result<Rows> rows = co_await reader.Query(kKeys, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<KeyRow> keys;
  for (Row row : *rows) keys.push_back(ReadKeyRow(row));
  co_return std::move(keys);
}

Task<Result<std::optional<Credential>>> ReadCredential(postgres::Database& reader, std::string hash, bool is_token) {
  Params params = Params().Bytes(hash);
  const Statement& statement = is_token ? kAuthenticateToken : kAuthenticate;
  Result<Rows> rows = co_await reader.Query(statement, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  if (rows->empty()) co_return std::optional<Credential>();
  Row row = (*rows)[0];
  Credential credential;
  credential.organization = row.Id(0);
  credential.key = row.Id(1);
  credential.roles = SplitWords(row.Text(2));
  credential.state = static_cast<int>(row.Int(3));
  credential.member = row.Id(4);
  credential.scopes = SplitWords(row.Text(5));
  co_return std::optional<Credential>(std::move(credential));
}

Task<Result<std::vector<Found<v1::Member>>>> ReadMembers(postgres::Database& reader, Asker asker, Uuid id, Uuid after,
                                                         int limit, int state) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(id).Id(after).Int(limit).Int(state);
  Result<Rows> rows = co_await reader.Query(kMembers, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Messages<v1::Member>(*rows);
}

Task<Result<std::vector<Found<v1::Document>>>> ReadDocuments(postgres::Database& reader, Asker asker, Uuid id,
                                                             Uuid organization, Uuid after, int limit) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(id).Id(organization).Id(after).Int(limit);
  Result<Rows> rows = co_await reader.Query(kDocuments, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Messages<v1::Document>(*rows);
}

Task<Result<std::vector<Found<v1::RegisterInvitation>>>> ReadInvitations(postgres::Database& reader, Asker asker,
                                                                         Uuid id, Uuid after, int limit, int state) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(id).Id(after).Int(limit).Int(state);
  Result<Rows> rows = co_await reader.Query(kInvitations, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Messages<v1::RegisterInvitation>(*rows);
}

Task<Result<std::vector<Found<v1::Approval>>>> ReadApprovals(postgres::Database& reader, Asker asker, Uuid id,
                                                             Uuid after, int limit, int state) {
  Params params = Params().Id(asker.organization).Text(asker.roles).Id(id).Id(after).Int(limit).Int(state);
  Result<Rows> rows = co_await reader.Query(kApprovals, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Messages<v1::Approval>(*rows);
}

Task<Result<void>> NoteUse(postgres::Database& worker, Uuid key) {
  Params params = Params().Id(key);
  Result<Rows> rows = co_await worker.Query(kNoteUse, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Result<void>();
}

Task<Result<ClockRow>> ReadClock(postgres::Database& worker) {
  Params params;
  Result<Rows> rows = co_await worker.Query(kClock, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  if (rows->empty()) co_return Fail(Error::Internal("runtime.clock has no row"));
  ClockRow clock;
  clock.now = (*rows)[0].At(0);
  clock.test = (*rows)[0].Bool(1);
  co_return clock;
}

Task<Result<void>> MarkTestClock(postgres::Database& worker, bool test) {
  Params params = Params().Bool(test);
  Result<Rows> rows = co_await worker.Query(kTestClock, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Result<void>();
}

}  // namespace millrace::identity
