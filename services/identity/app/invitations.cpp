// SPDX-License-Identifier: Apache-2.0
// The park's register: enterprises are invited by a file, and register with their codes.
#include <algorithm>
#include <set>

#include "common/base/uscc.h"
#include "common/crypto/crypto.h"
#include "common/rpc/page.h"
#include "common/rpc/validator.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/register.h"
#include "services/identity/app/wire.h"
#include "services/identity/domain/industry.h"
#include "services/identity/domain/invitation.h"
#include "services/identity/store/reads.h"

namespace millrace::identity {
namespace {

using Set = IdentitySet;
using Command = postgres::Command<IdentitySet>;
using domain::Finding;

// Named as the fields of an invitation.
const std::vector<domain::Column> kColumns = {
    {"uscc", true, {"统一社会信用代码", "信用代码"}}, {"display_name", true, {"企业名称", "名称", "单位名称"}},
    {"industry_code", false, {"行业代码"}},           {"region_code", false, {"行政区划代码", "区划代码"}},
    {"contact_email", false, {"联系邮箱", "邮箱"}},   {"contact_name", false, {"联系人"}},
    {"external_id", false, {"外部编号", "企业编号"}}};

struct Wanted {
  int row = 0;
  Uuid id;
  v1::RegisterInvitation message;
};

// A file's rows: what does not depend on who is registered or invited is checked.
struct RegisterFile {
  std::vector<Wanted> rows;
  std::vector<Finding> findings;
};

Uuid ExpireId(const Uuid& invitation) { return crypto::DeriveId(invitation, kExpireInvitationTask); }

domain::InvitationState StateOf(const InvitationRow& row) {
  return static_cast<domain::InvitationState>(row.message.state());
}

// A stored invitation as an answer.
v1::RegisterInvitation Present(const v1::RegisterInvitation& message, int64_t version) {
  v1::RegisterInvitation out = message;
  out.set_etag(std::to_string(version));
  const auto& table = domain::InvitationTable();
  for (const auto* row : table.From(static_cast<domain::InvitationState>(message.state()))) {
    auto* action = out.add_actions();
    action->set_action(std::string(table.event_name(row->event)));
    for (std::string_view name : ActorNames(row->actors)) action->add_actors(std::string(name));
    if (row->event == domain::InvitationVerb::kExpire)
      SetTime(action->mutable_deadline_time(), ReadTime(message.create_time()) + domain::kRegisterInvitedFor);
  }
  return out;
}

// Moves an open invitation, and logs it for the operator.
void Move(Set& set, InvitationRow& row, domain::InvitationState to, const char* event) {
  row.message.set_state(static_cast<v1::RegisterInvitation::State>(to));
  SetTime(row.message.mutable_update_time(), set.now);
  ++row.version;
  row.changed = true;
  v1::RegisterInvitation payload = Present(row.message, row.version);
  set.events.push_back({event,
                        payload.id(),
                        row.version,
                        {Uuid::FromHex(kOperatorHex)},
                        payload.GetDescriptor()->full_name(),
                        payload.SerializeAsString()});
}

// Every fault of a row as a registration of the same facts would name it.
std::vector<Violation> FaultsOf(const v1::RegisterInvitation& row) {
  v1::Organization facts;
  facts.set_display_name(row.display_name());
  facts.set_uscc(row.uscc());
  facts.set_industry_code(row.industry_code());
  facts.set_region_code(row.region_code());
  facts.set_external_id(row.external_id());
  std::vector<Violation> faults = rpc::Validate(facts);
  for (Violation& fault : rpc::Validate(row)) faults.push_back(std::move(fault));  // whom to give the code
  for (Result<void> checked : {domain::CheckIndustryCode(row.industry_code(), "#/industry_code"),
                               domain::CheckRegionCode(row.region_code(), "#/region_code")}) {
    if (checked) continue;
    Violation& fault = checked.error().violations.front();
    bool known = std::ranges::any_of(faults, [&](const Violation& each) { return each.pointer == fault.pointer; });
    if (!known) faults.push_back(std::move(fault));
  }
  return faults;
}

RegisterFile CheckRows(domain::Table table) {
  const auto* type = v1::RegisterInvitation::descriptor();
  const auto* reflection = v1::RegisterInvitation::default_instance().GetReflection();
  RegisterFile file;
  file.findings = std::move(table.findings);
  std::set<std::string> usccs, external_ids;
  for (domain::TableRow& row : table.rows) {
    Wanted& wanted = file.rows.emplace_back();
    wanted.row = row.row;
    wanted.id = Uuid::New();
    for (size_t i = 0; i < row.cells.size(); ++i) {
      reflection->SetString(&wanted.message, type->FindFieldByName(std::string(kColumns[i].name)),
                            std::move(row.cells[i]));
    }
    for (Violation& fault : FaultsOf(wanted.message)) {
      file.findings.push_back(
          {row.row, fault.pointer.substr(fault.pointer.rfind('/') + 1), fault.code, std::move(fault.params)});
    }
    auto once = [&](std::set<std::string>& seen, const char* column, const std::string& value) {
      if (value.empty() || seen.insert(value).second) return;
      file.findings.push_back({row.row, column, ErrorCode::kAlreadyExists, {{"field", column}, {"value", value}}});
    };
    once(usccs, "uscc", wanted.message.uscc());
    once(external_ids, "external_id", wanted.message.external_id());
  }
  return file;
}

// What open invitations hold.
struct Held {
  std::set<std::string_view> usccs, external_ids;
  explicit Held(const Set& set) {
    for (const auto& [id, row] : set.invitations.rows) {
      if (StateOf(row) != domain::InvitationState::kOpen) continue;
      usccs.insert(row.message.uscc());
      external_ids.insert(row.message.external_id());
    }
  }
};

// Why a row without faults is left out.
std::optional<Finding> SkipOf(const Set& set, const Held& held, const Wanted& wanted) {
  const std::string& uscc = wanted.message.uscc();
  bool registered = set.taken_usccs.contains(uscc);
  if (!registered && !held.usccs.contains(uscc)) return std::nullopt;
  ErrorCode code = registered ? ErrorCode::kAlreadyRegistered : ErrorCode::kAlreadyInvited;
  return Finding{wanted.row, "uscc", code, {{"field", "uscc"}, {"uscc", uscc}}, true};
}

// What is wrong with a row as things stand.
std::vector<Finding> FaultsNow(const Set& set, const Held& held, const Wanted& wanted) {
  const v1::RegisterInvitation& row = wanted.message;
  std::vector<Finding> found;
  if (Result<void> checked = CheckLoadedIndustry(set, row.industry_code(), "#/industry_code"); !checked)
    found.push_back({wanted.row, "industry_code", checked.error().code, checked.error().params});
  const std::string& external_id = row.external_id();
  bool taken = set.taken_external_ids.contains(external_id) || held.external_ids.contains(external_id);
  if (taken && !external_id.empty()) {
    found.push_back(
        {wanted.row, "external_id", ErrorCode::kAlreadyExists, {{"field", "external_id"}, {"value", external_id}}});
  }
  return found;
}

// Opens an invitation; as it is kept.
v1::RegisterInvitation Invite(Set& set, const Wanted& wanted, const Secrets& secrets) {
  InvitationRow& row = set.invitations.rows[wanted.id];
  row.id = wanted.id;
  row.code_hash = Secrets::Hash(secrets.InvitationCode(wanted.id));
  row.create_time = set.now;
  row.version = 1;
  row.changed = true;
  row.message = wanted.message;
  row.message.set_id(FormatId("rgi", wanted.id));
  row.message.set_state(v1::RegisterInvitation::OPEN);
  SetTime(row.message.mutable_create_time(), set.now);
  SetTime(row.message.mutable_update_time(), set.now);
  set.tasks.push_back(
      {ExpireId(row.id), std::string(kExpireInvitationTask), row.id, set.now + domain::kRegisterInvitedFor, ""});
  return Present(row.message, row.version);
}

Result<std::string> TakeOver(Set& set, const RegisterFile& file, const Secrets& secrets, bool check,
                             Language language) {
  std::vector<Finding> findings = file.findings;
  std::set<std::pair<int, std::string>> faulty;
  for (const Finding& finding : findings) faulty.emplace(finding.row, finding.column);
  Held held(set);
  std::vector<const Wanted*> wanted;
  v1::ImportRegisterInvitationsResponse response;
  for (const Wanted& row : file.rows) {
    auto first = faulty.lower_bound({row.row, ""});
    bool sound = first == faulty.end() || first->first != row.row;
    if (std::optional<Finding> skip = sound ? SkipOf(set, held, row) : std::nullopt) {
      response.set_skipped(response.skipped() + 1);
      findings.push_back(*std::move(skip));
      continue;
    }
    std::vector<Finding> faults = FaultsNow(set, held, row);
    if (sound && faults.empty()) wanted.push_back(&row);
    for (Finding& fault : faults) {
      if (!faulty.contains({fault.row, fault.column})) findings.push_back(std::move(fault));
    }
  }
  domain::SortFindings(findings);
  if (!check) MILLRACE_CHECK(domain::RefuseFaults(findings));
  response.set_invited(static_cast<int32_t>(wanted.size()));
  for (const Finding& finding : findings) *response.add_findings() = ToMessage(finding, language);
  for (const Wanted* row : wanted) {
    if (!check) *response.add_invitations() = Invite(set, *row, secrets);
  }
  return response.SerializeAsString();
}

}  // namespace

InvitationRow* OpenInvitation(Set& set, std::string_view uscc) {
  for (auto& [id, row] : set.invitations.rows) {
    if (row.message.uscc() == uscc && StateOf(row) == domain::InvitationState::kOpen) return &row;
  }
  return nullptr;
}

Result<InvitationRow*> InvitationBy(Set& set, std::string_view uscc, std::string_view code) {
  if (code.empty()) return nullptr;
  InvitationRow* row = OpenInvitation(set, uscc);
  bool fits = row && row->code_hash == Secrets::Hash(code) && set.now < row->create_time + domain::kRegisterInvitedFor;
  // A code that was used, withdrawn, is over or another enterprise's says no more than one that never was.
  if (!fits) return Fail(Error::At("#/organization/invitation_code", ErrorCode::kNotFound));
  return row;
}

void CloseInvitation(Set& set, InvitationRow& row, const Uuid& organization, bool used) {
  auto verb = used ? domain::InvitationVerb::kAccept : domain::InvitationVerb::kSupersede;
  Result<domain::InvitationState> to = domain::Decide(StateOf(row), verb);
  if (!to) return;
  set.cancelled_tasks.push_back(ExpireId(row.id));
  row.message.set_organization_id(FormatId("org", organization));
  if (!used) row.message.set_state_reason("企业未使用邀请码注册 / registered without the code");
  Move(set, row, *to, used ? "invitation.accepted" : "invitation.withdrawn");
}

Task<Result<v1::ImportRegisterInvitationsResponse>> ParkRegister::ImportRegisterInvitations(
    CallContext context, v1::ImportRegisterInvitationsRequest request) {
  if (request.validate_only()) context.validate_only = true;
  Result<domain::Table> read = co_await ReadFile(std::move(*request.mutable_file()), kColumns);
  MILLRACE_CO_TRY(domain::Table table, std::move(read));
  auto check_rows = [table = std::move(table)]() mutable { return CheckRows(std::move(table)); };
  RegisterFile checked = co_await RunOn(worker_.pool(), std::move(check_rows));
  auto file = std::make_shared<const RegisterFile>(std::move(checked));
  bool check = context.validate_only;
  Command command;
  command.header = postgres::CommandHeader::Of(context, "ImportRegisterInvitations");
  command.need = [file](Set& set) {
    for (const Wanted& row : file->rows) {
      set.want_usccs.insert(row.message.uscc());
      set.invitations.want_usccs.insert(row.message.uscc());
      WantIndustry(set.industry, row.message.industry_code());
      if (row.message.external_id().empty()) continue;
      set.want_external_ids.insert(row.message.external_id());
      set.invitations.want_external_ids.insert(row.message.external_id());
    }
  };
  command.decide = [this, file, check, language = context.language](Set& set) {
    return TakeOver(set, *file, secrets_, check, language);
  };
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::ImportRegisterInvitationsResponse response;
  response.ParseFromString(*outcome);
  // Filled in here, on fresh and replayed answers alike: what is kept with the idempotency key has no codes.
  for (v1::RegisterInvitation& invitation : *response.mutable_invitations())
    invitation.set_code(secrets_.InvitationCode(IdOrNil(invitation.id())));
  co_return std::move(response);
}

Task<Result<v1::RegisterInvitation>> ParkRegister::WithdrawRegisterInvitation(
    CallContext context, v1::WithdrawRegisterInvitationRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("rgi", request.id()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "WithdrawRegisterInvitation");
  command.need = [id](Set& set) { set.invitations.want.insert(id); };
  command.decide = [id, reason = request.reason(), if_match = context.if_match](Set& set) -> Result<std::string> {
    auto found = set.invitations.rows.find(id);
    if (found == set.invitations.rows.end()) return Fail(ErrorCode::kNotFound);
    InvitationRow& row = found->second;
    if (!if_match.empty() && if_match != "*" && if_match != std::to_string(row.version))
      return Fail(ErrorCode::kEtagMismatch);
    MILLRACE_TRY(domain::InvitationState to, domain::Decide(StateOf(row), domain::InvitationVerb::kWithdraw));
    set.cancelled_tasks.push_back(ExpireId(id));
    row.message.set_state_reason(reason);
    Move(set, row, to, "invitation.withdrawn");
    return Present(row.message, row.version).SerializeAsString();
  };
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::RegisterInvitation invitation;
  invitation.ParseFromString(*outcome);
  reply->etag = invitation.etag();
  co_return std::move(invitation);
}

Task<Result<void>> ParkRegister::ExpireInvitation(tasks::DueTask task) {
  Command command;
  Uuid id = task.subject;
  postgres::EndedTask ended = task.Ended();
  command.header.method = kExpireInvitationTask;
  command.need = [id](Set& set) { set.invitations.want.insert(id); };
  command.decide = [id, ended](Set& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    auto found = set.invitations.rows.find(id);
    if (found == set.invitations.rows.end()) return std::string();
    Result<domain::InvitationState> to = domain::Decide(StateOf(found->second), domain::InvitationVerb::kExpire);
    if (!to) return std::string();  // accepted or withdrawn between the claim and this lock
    Move(set, found->second, *to, "invitation.expired");
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<v1::RegisterInvitation>> ParkRegister::GetRegisterInvitation(CallContext context,
                                                                         v1::GetRegisterInvitationRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("rgi", request.id()));
  Asker asker = Asker::Of(context);
  Result<std::vector<Found<v1::RegisterInvitation>>> read =
      co_await ReadInvitations(reader_, std::move(asker), id, Uuid(), 1, 0);
  MILLRACE_CO_TRY(std::vector<Found<v1::RegisterInvitation>> found, std::move(read));
  if (found.empty()) co_return Fail(ErrorCode::kNotFound);
  v1::RegisterInvitation invitation = Present(found.front().message, found.front().version);
  context.reply->etag = invitation.etag();
  co_return std::move(invitation);
}

Task<Result<v1::ListRegisterInvitationsResponse>> ParkRegister::ListRegisterInvitations(
    CallContext context, v1::ListRegisterInvitationsRequest request) {
  std::string filter = context.organization.Hex() + " register_invitations " + std::to_string(request.state());
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Asker asker = Asker::Of(context);
  Uuid after = page.after;
  int rows = page.size + 1;
  int state = request.state();
  Result<std::vector<Found<v1::RegisterInvitation>>> read =
      co_await ReadInvitations(reader_, std::move(asker), Uuid(), after, rows, state);
  MILLRACE_CO_TRY(std::vector<Found<v1::RegisterInvitation>> found, std::move(read));
  auto present = [](const auto& one) { return Present(one.message, one.version); };
  co_return rpc::PageOf<v1::ListRegisterInvitationsResponse>(page, filter, found, present);
}

}  // namespace millrace::identity
