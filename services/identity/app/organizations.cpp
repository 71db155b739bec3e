// SPDX-License-Identifier: Apache-2.0
#include "common/base/uscc.h"
#include "common/crypto/crypto.h"
#include "common/rpc/page.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/register.h"
#include "services/identity/app/wire.h"
#include "services/identity/domain/industry.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

using Set = IdentitySet;
using Command = postgres::Command<IdentitySet>;

Uuid ExpireTaskId(const Uuid& organization) { return crypto::DeriveId(organization, kExpireTask); }

std::string_view EventType(domain::Verb verb) {
  switch (verb) {
    case domain::Verb::kVerify:
      return "organization.verified";
    case domain::Verb::kReject:
    case domain::Verb::kExpire:
      return "organization.rejected";
    case domain::Verb::kSuspend:
      return "organization.suspended";
    case domain::Verb::kReinstate:
      return "organization.reinstated";
    case domain::Verb::kUpdate:
      return "organization.changed";
  }
  return "";
}

std::string_view MethodName(domain::Verb verb) {
  switch (verb) {
    case domain::Verb::kVerify:
      return "VerifyOrganization";
    case domain::Verb::kReject:
      return "RejectOrganization";
    case domain::Verb::kSuspend:
      return "SuspendOrganization";
    case domain::Verb::kReinstate:
      return "ReinstateOrganization";
    case domain::Verb::kExpire:
      return "Expire";
    case domain::Verb::kUpdate:
      return "UpdateOrganization";
  }
  return "";
}

void Log(Set& set, std::string_view type, const OrganizationRow& row) {
  v1::Organization payload = Present(row.message, row.version);
  set.events.push_back({std::string(type),
                        payload.id(),
                        row.version,
                        {row.id},
                        payload.GetDescriptor()->full_name(),
                        payload.SerializeAsString()});
}

// What the field rules cannot say; all faults at once.
Result<void> CheckRegistration(const v1::Organization& organization) {
  std::vector<Violation> violations;
  for (Result<void> checked : {CheckUscc(organization.uscc(), "#/organization/uscc"),
                               domain::CheckIndustryCode(organization.industry_code(), "#/organization/industry_code"),
                               domain::CheckRegionCode(organization.region_code(), "#/organization/region_code")}) {
    if (!checked)
      violations.insert(violations.end(), checked.error().violations.begin(), checked.error().violations.end());
  }
  if (violations.empty()) return {};
  return Fail(Error::Of(std::move(violations)));
}

// Facts that a registration by invitation leaves out are the register's.
void TakeFacts(const Set& set, const InvitationRow* invitation, v1::Organization* organization) {
  if (!invitation) return;
  const v1::RegisterInvitation& facts = invitation->message;
  if (organization->industry_code().empty()) organization->set_industry_code(facts.industry_code());
  if (organization->region_code().empty()) organization->set_region_code(facts.region_code());
  // One that somebody else has by now is left out: who registers did not ask for it.
  if (organization->external_id().empty() && !set.taken_external_ids.contains(facts.external_id()))
    organization->set_external_id(facts.external_id());
  organization->set_invitation_id(facts.id());
}

Error Taken(const char* pointer, const std::string& value) {
  return Error::At(pointer, ErrorCode::kAlreadyExists, {{"value", value}});
}

// Gives a changed organization its version and event; the answer's bytes.
std::string Moved(Set& set, OrganizationRow& row, domain::Verb verb) {
  SetTime(row.message.mutable_update_time(), set.now);
  ++row.version;
  row.changed = true;
  Log(set, EventType(verb), row);
  return Present(row.message, row.version).SerializeAsString();
}

domain::Facts FactsOf(const v1::Organization& message) {
  return {message.display_name(), message.uscc(), message.synthetic(), !message.invitation_id().empty()};
}

// Takes over what the organization says of itself, as far as its state allows.
Result<std::string> ApplyUpdate(Set& set, const Uuid& id, const v1::Organization& wanted, bool by_operator,
                                const std::string& if_match) {
  auto found = set.organizations.find(id);
  if (found == set.organizations.end()) return Fail(ErrorCode::kNotFound);
  OrganizationRow& row = found->second;
  v1::Organization& kept = row.message;
  if (if_match != "*" && if_match != std::to_string(row.version)) return Fail(ErrorCode::kEtagMismatch);
  auto state = static_cast<domain::State>(kept.state());
  MILLRACE_CHECK(domain::Decide(state, domain::Verb::kUpdate, by_operator ? kOperator : kAdmin));
  MILLRACE_CHECK(domain::CheckFacts(state, by_operator, FactsOf(kept), FactsOf(wanted)));
  if (wanted.uscc() != kept.uscc() && set.taken_usccs.contains(wanted.uscc()))
    return Fail(Taken("#/organization/uscc", wanted.uscc()));
  if (wanted.external_id() != kept.external_id() && set.taken_external_ids.contains(wanted.external_id()))
    return Fail(Taken("#/organization/external_id", wanted.external_id()));
  if (wanted.industry_code() != kept.industry_code())
    MILLRACE_CHECK(CheckLoadedIndustry(set, wanted.industry_code(), "#/organization/industry_code"));
  // What it gives up stays taken for those behind it in the batch: they came at the same time.
  set.taken_usccs.insert(wanted.uscc());
  if (!wanted.external_id().empty()) set.taken_external_ids.insert(wanted.external_id());
  kept.set_display_name(wanted.display_name());
  kept.set_uscc(wanted.uscc());
  kept.set_industry_code(wanted.industry_code());
  kept.set_region_code(wanted.region_code());
  kept.set_external_id(wanted.external_id());
  *kept.mutable_metadata() = wanted.metadata();
  return Moved(set, row, domain::Verb::kUpdate);
}

// Moves an organization by the state table.
Result<std::string> ApplyVerb(Set& set, const Uuid& id, domain::Verb verb, uint8_t actor, const std::string& reason,
                              const std::string& if_match) {
  auto found = set.organizations.find(id);
  if (found == set.organizations.end()) return Fail(ErrorCode::kNotFound);
  OrganizationRow& row = found->second;
  if (!if_match.empty() && if_match != "*" && if_match != std::to_string(row.version))
    return Fail(ErrorCode::kEtagMismatch);
  auto from = static_cast<domain::State>(row.message.state());
  MILLRACE_TRY(domain::State to, domain::Decide(from, verb, actor));
  row.message.set_state(static_cast<v1::Organization::State>(to));
  row.message.set_state_reason(reason);
  if (from == domain::State::kPending && actor != kSystem) set.cancelled_tasks.push_back(ExpireTaskId(id));
  return Moved(set, row, verb);
}

}  // namespace

void NotePapers(IdentitySet& set, const Uuid& id) {
  auto found = set.organizations.find(id);
  if (found == set.organizations.end() || found->second.message.state() != v1::Organization::PENDING) return;
  Moved(set, found->second, domain::Verb::kUpdate);
}

Task<Result<v1::Organization>> Identity::RunOrganization(CallContext context, Command command) {
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::Organization organization;
  organization.ParseFromString(*outcome);
  reply->etag = organization.etag();
  co_return std::move(organization);
}

Task<Result<v1::CreateOrganizationResponse>> Identity::CreateOrganization(CallContext context,
                                                                          v1::CreateOrganizationRequest request) {
  MILLRACE_CO_CHECK(CheckRegistration(request.organization()));
  Uuid id = Uuid::New(), key_id = Uuid::New();
  Command command;
  if (request.validate_only()) context.validate_only = true;
  command.header = postgres::CommandHeader::Of(context, "CreateOrganization");
  command.header.organization = Uuid();  // whoever registers is nobody yet
  // The code is a secret: it is in no row and no event.
  std::string code = std::move(*request.mutable_organization()->mutable_invitation_code());
  request.mutable_organization()->clear_invitation_code();
  auto wanted = std::make_shared<v1::Organization>(std::move(*request.mutable_organization()));
  command.need = [wanted](Set& set) {
    set.want_usccs.insert(wanted->uscc());
    if (!wanted->external_id().empty()) set.want_external_ids.insert(wanted->external_id());
    set.invitations.want_usccs.insert(wanted->uscc());
    WantIndustry(set.industry, wanted->industry_code());
  };
  command.decide = [this, wanted, code, id, key_id](Set& set) -> Result<std::string> {
    if (set.taken_usccs.contains(wanted->uscc())) return Fail(Taken("#/organization/uscc", wanted->uscc()));
    MILLRACE_TRY(InvitationRow * used, InvitationBy(set, wanted->uscc(), code));
    v1::Organization facts = *wanted;
    TakeFacts(set, used, &facts);
    if (set.taken_external_ids.contains(facts.external_id())) {
      return Fail(Taken("#/organization/external_id", facts.external_id()));
    }
    MILLRACE_CHECK(CheckLoadedIndustry(set, facts.industry_code(), "#/organization/industry_code"));
    if (InvitationRow* open = OpenInvitation(set, facts.uscc())) CloseInvitation(set, *open, id, used != nullptr);
    set.taken_usccs.insert(facts.uscc());
    if (!facts.external_id().empty()) set.taken_external_ids.insert(facts.external_id());
    OrganizationRow& row = set.organizations[id];
    row = {id, 1, std::move(facts), true};
    row.message.set_id(FormatId("org", id));
    row.message.set_state(v1::Organization::PENDING);
    row.message.add_roles("provider");
    row.message.add_roles("buyer");
    row.message.add_roles("admin");
    SetTime(row.message.mutable_create_time(), set.now);
    SetTime(row.message.mutable_update_time(), set.now);
    KeyRow& key = set.keys[key_id];
    key = NewKey(key_id, id, "first key", {"admin", "buyer", "provider"}, set.now);
    set.tasks.push_back({ExpireTaskId(id), std::string(kExpireTask), id, set.now + domain::kPendingFor, ""});
    Log(set, "organization.registered", row);
    v1::CreateOrganizationResponse response;
    *response.mutable_organization() = Present(row.message, row.version);
    *response.mutable_api_key() = Present(key);
    return response.SerializeAsString();
  };
  bool only_check = context.validate_only;
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::CreateOrganizationResponse response;
  response.ParseFromString(*outcome);
  if (!only_check) {
    v1::ApiKey* key = response.mutable_api_key();
    key->set_secret(secrets_.Again(IdOrNil(key->id()), key->hint(), key->secret_version()));
  }
  reply->etag = response.organization().etag();
  co_return std::move(response);
}

Task<Result<v1::Organization>> Identity::UpdateOrganization(CallContext context,
                                                            v1::UpdateOrganizationRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("org", request.id()));
  bool by_operator = context.IsOperator();
  if (id != context.organization && !by_operator) co_return Fail(ErrorCode::kNotFound);
  MILLRACE_CO_CHECK(CheckRegistration(request.organization()));
  if (!request.organization().invitation_code().empty())
    co_return Fail(Error::At("#/organization/invitation_code", ErrorCode::kImmutableField));
  auto wanted = std::make_shared<v1::Organization>(std::move(*request.mutable_organization()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, MethodName(domain::Verb::kUpdate));
  command.need = [id, wanted](Set& set) {
    set.want_organizations.insert(id);
    set.want_usccs.insert(wanted->uscc());
    WantIndustry(set.industry, wanted->industry_code());
    if (!wanted->external_id().empty()) set.want_external_ids.insert(wanted->external_id());
  };
  command.decide = [id, wanted, by_operator, if_match = context.if_match](Set& set) {
    return ApplyUpdate(set, id, *wanted, by_operator, if_match);
  };
  Result<v1::Organization> changed = co_await RunOrganization(std::move(context), std::move(command));
  co_return std::move(changed);
}

Task<Result<v1::Organization>> Identity::OrganizationVerb(domain::Verb verb, CallContext context,
                                                          v1::OrganizationVerbRequest request) {
  if (domain::NeedsReason(verb) && request.reason().empty())
    co_return Fail(Error::At("#/reason", ErrorCode::kRequired));
  MILLRACE_CO_TRY(Uuid id, ParseId("org", request.id()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, MethodName(verb));
  bool with_documents = verb == domain::Verb::kVerify && !config_.verification_documents.empty();
  command.need = [id, with_documents](Set& set) {
    set.want_organizations.insert(id);
    if (with_documents) set.want_documents_of.insert(id);
  };
  command.decide = [this, id, verb, with_documents, reason = request.reason(),
                    if_match = context.if_match](Set& set) -> Result<std::string> {
    auto found = set.organizations.find(id);
    bool waits = found != set.organizations.end() && found->second.message.state() == v1::Organization::PENDING;
    if (with_documents && waits) {
      MILLRACE_CHECK(CheckDocuments(set, id));
    }
    return ApplyVerb(set, id, verb, kOperator, reason, if_match);
  };
  Result<v1::Organization> moved = co_await RunOrganization(std::move(context), std::move(command));
  co_return std::move(moved);
}

Task<Result<void>> Identity::Expire(tasks::DueTask task) {
  Command command;
  Uuid id = task.subject;
  postgres::EndedTask ended = task.Ended();
  command.header.method = kExpireTask;
  command.need = [id](Set& set) { set.want_organizations.insert(id); };
  command.decide = [id, ended](Set& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    auto found = set.organizations.find(id);
    // The operator's decision may have come between the claim and this lock.
    if (found == set.organizations.end() || found->second.message.state() != v1::Organization::PENDING)
      return std::string();
    return ApplyVerb(set, id, domain::Verb::kExpire, kSystem, "90 天内未完成审核 / not verified within 90 days", "");
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<v1::Organization>> Identity::GetOrganization(CallContext context, v1::GetOrganizationRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("org", request.id()));
  Asker asker = Asker::Of(context);
  Result<std::optional<Found<v1::Organization>>> read = co_await ReadOrganization(reader_, std::move(asker), id);
  MILLRACE_CO_TRY(std::optional<Found<v1::Organization>> found, std::move(read));
  if (!found) co_return Fail(ErrorCode::kNotFound);
  v1::Organization organization = Present(std::move(found->message), found->version);
  context.reply->etag = organization.etag();
  co_return std::move(organization);
}

Task<Result<v1::ListOrganizationsResponse>> Identity::ListOrganizations(CallContext context,
                                                                        v1::ListOrganizationsRequest request) {
  std::string filter =
      context.organization.Hex() + " organizations " + std::to_string(request.state()) + " " + request.external_id();
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Asker asker = Asker::Of(context);
  Uuid after = page.after;
  int rows = page.size + 1;
  int state = request.state();
  Result<std::vector<Found<v1::Organization>>> read =
      co_await ReadOrganizations(reader_, std::move(asker), after, rows, state, request.external_id());
  MILLRACE_CO_TRY(std::vector<Found<v1::Organization>> found, std::move(read));
  auto present = [](auto& one) { return Present(std::move(one.message), one.version); };
  co_return rpc::PageOf<v1::ListOrganizationsResponse>(page, filter, found, present);
}

Task<Result<v1::Me>> Identity::GetMe(CallContext context, v1::GetMeRequest) {
  Asker asker = Asker::Of(context);
  Uuid own = context.organization;
  Result<std::optional<Found<v1::Organization>>> read = co_await ReadOrganization(reader_, std::move(asker), own);
  MILLRACE_CO_TRY(std::optional<Found<v1::Organization>> found, std::move(read));
  if (!found) co_return Fail(ErrorCode::kNotFound);
  v1::Me me;
  *me.mutable_organization() = Present(std::move(found->message), found->version);
  me.set_api_key_id(context.actor);
  for (const std::string& role : context.roles) me.add_roles(role);
  for (const std::string& scope : context.scopes) me.add_scopes(scope);
  if (!context.member.IsNil()) me.set_member_id(FormatId("usr", context.member));
  co_return std::move(me);
}

}  // namespace millrace::identity
