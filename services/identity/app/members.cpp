// SPDX-License-Identifier: Apache-2.0
// The persons of organizations: invited, accepted, changed, removed.
#include <algorithm>
#include <cctype>

#include "common/crypto/crypto.h"
#include "common/rpc/page.h"
#include "common/rpc/scope.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/wire.h"
#include "services/identity/domain/member.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

using Set = IdentitySet;
using Command = postgres::Command<IdentitySet>;

Uuid ExpireMemberId(const Uuid& member) { return crypto::DeriveId(member, kExpireMemberTask); }
std::vector<std::string> Words(const auto& values) { return {values.begin(), values.end()}; }

domain::MemberState StateOf(const MemberRow& row) { return static_cast<domain::MemberState>(row.message.state()); }

domain::MemberShape ShapeOf(const MemberRow& row) {
  bool admin = std::ranges::find(row.message.roles(), "admin") != row.message.roles().end();
  return {StateOf(row) == domain::MemberState::kActive, admin};
}

// A member's first key has no scopes, so whoever has scopes may neither invite nor give roles.
Result<void> CheckUnscoped(const CallContext& context) { return rpc::CheckScope(context.scopes, "*:*"); }

// A stored member as an answer.
v1::Member Present(const v1::Member& message, int64_t version) {
  v1::Member out = message;
  out.set_etag(std::to_string(version));
  for (const auto* row : domain::MemberTable().From(static_cast<domain::MemberState>(message.state()))) {
    auto* action = out.add_actions();
    action->set_action(std::string(domain::MemberTable().event_name(row->event)));
    for (std::string_view name : ActorNames(row->actors)) action->add_actors(std::string(name));
    if (row->event == domain::MemberVerb::kExpire)
      SetTime(action->mutable_deadline_time(), ReadTime(message.create_time()) + domain::kInvitedFor);
  }
  return out;
}

// Moves a member, logs it, and gives the answer's bytes.
std::string Moved(Set& set, MemberRow& row, domain::MemberState to, const char* event) {
  row.message.set_state(static_cast<v1::Member::State>(to));
  SetTime(row.message.mutable_update_time(), set.now);
  ++row.version;
  row.changed = true;
  v1::Member payload = Present(row.message, row.version);
  set.events.push_back({event,
                        payload.id(),
                        row.version,
                        {row.organization},
                        payload.GetDescriptor()->full_name(),
                        payload.SerializeAsString()});
  return payload.SerializeAsString();
}

// The caller's own member.
Result<MemberRow*> OwnMember(Set& set, const Uuid& id, const Uuid& asking) {
  auto found = set.members.find(id);
  if (found == set.members.end() || found->second.organization != asking) return Fail(ErrorCode::kNotFound);
  return &found->second;
}

// That the change leaves an administrator.
Result<void> CheckAdmins(const Set& set, const MemberRow& before, domain::MemberShape after) {
  std::vector<domain::MemberShape> others;
  for (const auto& [id, row] : set.members) {
    if (row.organization == before.organization && id != before.id) others.push_back(ShapeOf(row));
  }
  return domain::CheckLastAdmin(others, ShapeOf(before), after);
}

}  // namespace

Task<Result<v1::Member>> Identity::RunMember(CallContext context, Command command) {
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::Member member;
  member.ParseFromString(*outcome);
  reply->etag = member.etag();
  co_return std::move(member);
}

Task<Result<v1::Member>> Identity::InviteMember(CallContext context, v1::InviteMemberRequest request) {
  MILLRACE_CO_CHECK(CheckUnscoped(context));
  Uuid id = Uuid::New(), asking = context.organization;
  auto wanted = std::make_shared<v1::Member>(std::move(*request.mutable_member()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "InviteMember");
  command.need = [asking](Set& set) {
    set.want_organizations.insert(asking);
    set.want_members_of.insert(asking);
  };
  command.decide = [this, id, asking, wanted, caller = Words(context.roles)](Set& set) -> Result<std::string> {
    auto found = set.organizations.find(asking);
    if (found == set.organizations.end()) return Fail(ErrorCode::kNotFound);
    MILLRACE_TRY(std::vector<std::string> roles,
                 domain::KeyRoles(Words(wanted->roles()), Words(found->second.message.roles()), caller));
    size_t present = 0;
    for (const auto& [other, row] : set.members) {
      if (row.organization != asking || StateOf(row) > domain::MemberState::kActive) continue;
      ++present;
      bool same = std::ranges::equal(row.message.email(), wanted->email(), {}, ::tolower, ::tolower);
      if (same) return Fail(Error::At("#/member/email", ErrorCode::kAlreadyExists, {{"value", wanted->email()}}));
    }
    if (present >= domain::kMembersMax) {
      return Fail(
          Error::At("#/member", ErrorCode::kOutOfRange, {{"min", "0"}, {"max", std::to_string(domain::kMembersMax)}}));
    }
    MemberRow& row = set.members[id];
    row.id = id;
    row.organization = asking;
    row.code_hash = Secrets::Hash(secrets_.InvitationCode(id));
    row.create_time = set.now;
    row.message.set_id(FormatId("usr", id));
    row.message.set_organization_id(FormatId("org", asking));
    row.message.set_display_name(wanted->display_name());
    row.message.set_email(wanted->email());
    for (const std::string& role : roles) row.message.add_roles(role);
    SetTime(row.message.mutable_create_time(), set.now);
    set.tasks.push_back({ExpireMemberId(id), std::string(kExpireMemberTask), id, set.now + domain::kInvitedFor, ""});
    return Moved(set, row, domain::MemberState::kInvited, "member.invited");
  };
  bool only_check = context.validate_only;
  Result<v1::Member> made = co_await RunMember(std::move(context), std::move(command));
  // Filled in here, on fresh and replayed answers alike: what is kept with the idempotency key has no code.
  if (made && !only_check) made->set_code(secrets_.InvitationCode(IdOrNil(made->id())));
  co_return std::move(made);
}

Task<Result<v1::AcceptInvitationResponse>> Identity::AcceptInvitation(CallContext context,
                                                                      v1::AcceptInvitationRequest request) {
  Uuid key_id = Uuid::New();
  std::string hash = Secrets::Hash(request.code());
  Command command;
  command.header = postgres::CommandHeader::Of(context, "AcceptInvitation");
  command.header.organization = Uuid();  // whoever accepts is nobody yet
  command.need = [hash](Set& set) { set.want_codes.insert(hash); };
  command.decide = [this, hash, key_id](Set& set) -> Result<std::string> {
    auto found = std::ranges::find_if(set.members, [&](const auto& each) { return each.second.code_hash == hash; });
    if (found == set.members.end()) return Fail(ErrorCode::kNotFound);
    MemberRow& row = found->second;
    bool over = row.create_time + domain::kInvitedFor <= set.now;
    // A code that was used, withdrawn or is over says no more than one that never was.
    Result<domain::MemberState> to = domain::Decide(StateOf(row), domain::MemberVerb::kAccept);
    if (!to || over) return Fail(ErrorCode::kNotFound);
    set.cancelled_tasks.push_back(ExpireMemberId(row.id));
    v1::AcceptInvitationResponse response;
    response.mutable_member()->ParseFromString(Moved(set, row, *to, "member.accepted"));
    KeyRow& key = set.keys[key_id];
    key = NewKey(key_id, row.organization, row.message.display_name(), Words(row.message.roles()), set.now);
    key.member = row.id;
    *response.mutable_api_key() = identity::Present(key);
    return response.SerializeAsString();
  };
  bool only_check = context.validate_only;
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::AcceptInvitationResponse response;
  response.ParseFromString(*outcome);
  v1::ApiKey* key = response.mutable_api_key();
  if (!only_check) key->set_secret(secrets_.Again(IdOrNil(key->id()), key->hint(), key->secret_version()));
  reply->etag = response.member().etag();
  co_return std::move(response);
}

Task<Result<v1::Member>> Identity::UpdateMember(CallContext context, v1::UpdateMemberRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("usr", request.id()));
  MILLRACE_CO_CHECK(CheckUnscoped(context));
  Uuid asking = context.organization;
  auto wanted = std::make_shared<v1::Member>(std::move(*request.mutable_member()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "UpdateMember");
  command.need = [id, asking](Set& set) {
    set.want_organizations.insert(asking);
    set.want_members.insert(id);
    set.want_members_of.insert(asking);
  };
  command.decide = [id, asking, wanted, caller = Words(context.roles),
                    if_match = context.if_match](Set& set) -> Result<std::string> {
    MILLRACE_TRY(MemberRow * row, OwnMember(set, id, asking));
    if (if_match != "*" && if_match != std::to_string(row->version)) return Fail(ErrorCode::kEtagMismatch);
    MILLRACE_TRY(domain::MemberState to, domain::Decide(StateOf(*row), domain::MemberVerb::kUpdate));
    if (wanted->email() != row->message.email()) return Fail(Error::At("#/member/email", ErrorCode::kImmutableField));
    // Roles that the member has already may stay, whoever changes the rest.
    std::vector<std::string> given = caller;
    given.insert(given.end(), row->message.roles().begin(), row->message.roles().end());
    MILLRACE_TRY(std::vector<std::string> roles,
                 domain::KeyRoles(Words(wanted->roles()), Words(set.organizations.at(asking).message.roles()), given));
    bool admin = std::ranges::find(roles, "admin") != roles.end();
    MILLRACE_CHECK(CheckAdmins(set, *row, {ShapeOf(*row).active, admin}));
    row->message.set_display_name(wanted->display_name());
    row->message.clear_roles();
    for (const std::string& role : roles) row->message.add_roles(role);
    return Moved(set, *row, to, "member.changed");
  };
  Result<v1::Member> changed = co_await RunMember(std::move(context), std::move(command));
  co_return std::move(changed);
}

Task<Result<v1::Member>> Identity::RemoveMember(CallContext context, v1::RemoveMemberRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("usr", request.id()));
  Uuid asking = context.organization;
  Command command;
  command.header = postgres::CommandHeader::Of(context, "RemoveMember");
  command.need = [id, asking](Set& set) {
    set.want_organizations.insert(asking);
    set.want_members.insert(id);
    set.want_members_of.insert(asking);
    set.want_keys_of_members.insert(id);
  };
  command.decide = [id, asking](Set& set) -> Result<std::string> {
    MILLRACE_TRY(MemberRow * row, OwnMember(set, id, asking));
    MILLRACE_TRY(domain::MemberState to, domain::Decide(StateOf(*row), domain::MemberVerb::kRemove));
    MILLRACE_CHECK(CheckAdmins(set, *row, {false, false}));
    if (StateOf(*row) == domain::MemberState::kInvited) set.cancelled_tasks.push_back(ExpireMemberId(id));
    for (auto& [key_id, key] : set.keys) {
      if (key.member != id || key.revoke_time) continue;
      key.revoke_time = set.now;
      ++key.version;
      key.changed = true;
    }
    return Moved(set, *row, to, "member.removed");
  };
  Result<v1::Member> removed = co_await RunMember(std::move(context), std::move(command));
  co_return std::move(removed);
}

Task<Result<void>> Identity::ExpireMember(tasks::DueTask task) {
  Command command;
  Uuid id = task.subject;
  postgres::EndedTask ended = task.Ended();
  command.header.method = kExpireMemberTask;
  command.need = [id](Set& set) { set.want_members.insert(id); };
  command.decide = [id, ended](Set& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    auto found = set.members.find(id);
    if (found == set.members.end()) return std::string();
    Result<domain::MemberState> to = domain::Decide(StateOf(found->second), domain::MemberVerb::kExpire);
    if (!to) return std::string();  // accepted or removed between the claim and this lock
    return Moved(set, found->second, *to, "member.expired");
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<v1::Member>> Identity::GetMember(CallContext context, v1::GetMemberRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("usr", request.id()));
  Asker asker = Asker::Of(context);
  Result<std::vector<Found<v1::Member>>> read = co_await ReadMembers(reader_, std::move(asker), id, Uuid(), 1, 0);
  MILLRACE_CO_TRY(std::vector<Found<v1::Member>> found, std::move(read));
  if (found.empty()) co_return Fail(ErrorCode::kNotFound);
  v1::Member member = Present(found.front().message, found.front().version);
  context.reply->etag = member.etag();
  co_return std::move(member);
}

Task<Result<v1::ListMembersResponse>> Identity::ListMembers(CallContext context, v1::ListMembersRequest request) {
  std::string filter = context.organization.Hex() + " members " + std::to_string(request.state());
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Asker asker = Asker::Of(context);
  Uuid after = page.after;
  int rows = page.size + 1;
  int state = request.state();
  Result<std::vector<Found<v1::Member>>> read =
      co_await ReadMembers(reader_, std::move(asker), Uuid(), after, rows, state);
  MILLRACE_CO_TRY(std::vector<Found<v1::Member>> found, std::move(read));
  auto present = [](const auto& one) { return Present(one.message, one.version); };
  co_return rpc::PageOf<v1::ListMembersResponse>(page, filter, found, present);
}

}  // namespace millrace::identity
