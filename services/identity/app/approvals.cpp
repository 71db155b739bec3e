// SPDX-License-Identifier: Apache-2.0
// Approvals by two persons: asked for, decided on, and looked at before the command runs.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <memory>

#include "common/base/embedded_file.h"
#include "common/base/words.h"
#include "common/crypto/crypto.h"
#include "common/http/json.h"
#include "common/rpc/page.h"
#include "common/rpc/validator.h"
#include "millrace/type/options.pb.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/wire.h"
#include "services/identity/store/reads.h"

namespace millrace {
std::span<const EmbeddedFile> IdentityDescriptors();
}  // namespace millrace

namespace millrace::identity {
namespace {

using Set = IdentitySet;
using Command = postgres::Command<IdentitySet>;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

constexpr const char* kRequestPointer = "#/approval/request";

Uuid ExpireApprovalId(const Uuid& approval) { return crypto::DeriveId(approval, kExpireApprovalTask); }

std::string_view EventType(domain::ApprovalState state) {
  switch (state) {
    case domain::ApprovalState::kRequested:
      return "approval.requested";
    case domain::ApprovalState::kApproved:
      return "approval.approved";
    case domain::ApprovalState::kDeclined:
      return "approval.declined";
    case domain::ApprovalState::kWithdrawn:
      return "approval.withdrawn";
    case domain::ApprovalState::kExpired:
      return "approval.expired";
    case domain::ApprovalState::kUsed:
      return "approval.used";
  }
  return "";
}

std::string_view MethodName(domain::ApprovalVerb verb) {
  switch (verb) {
    case domain::ApprovalVerb::kApprove:
      return "ApproveApproval";
    case domain::ApprovalVerb::kDecline:
      return "DeclineApproval";
    case domain::ApprovalVerb::kWithdraw:
      return "WithdrawApproval";
    case domain::ApprovalVerb::kExpire:
    case domain::ApprovalVerb::kUse:
      return "";
  }
  return "";
}

// A stored approval as an answer.
v1::Approval Present(const v1::Approval& message, int64_t version) {
  v1::Approval out = message;
  out.set_etag(std::to_string(version));
  auto state = static_cast<domain::ApprovalState>(message.state());
  const auto& table = domain::ApprovalTable();
  const auto* wait = table.WaitIn(state);
  if (!wait) return out;  // what the news of a use may still do to an expired one is nobody's verb
  for (const auto* row : table.From(state)) {
    auto* action = out.add_actions();
    action->set_action(std::string(table.event_name(row->event)));
    for (std::string_view name : ActorNames(row->actors)) action->add_actors(std::string(name));
    if (row->event == wait->outcome) *action->mutable_deadline_time() = message.expire_time();
  }
  return out;
}

// Moves an approval, with its timer, logs it, and gives the answer's bytes.
std::string Moved(Set& set, ApprovalRow& row, domain::ApprovalState to) {
  row.message.set_state(static_cast<v1::Approval::State>(to));
  SetTime(row.message.mutable_update_time(), set.now);
  SetTime(row.message.mutable_expire_time(), row.expire_time);
  if (row.use_time) SetTime(row.message.mutable_use_time(), *row.use_time);
  ++row.version;
  row.changed = true;
  if (domain::ApprovalTable().WaitIn(to)) {
    set.tasks.push_back({ExpireApprovalId(row.id), std::string(kExpireApprovalTask), row.id, row.expire_time, ""});
  } else {
    set.cancelled_tasks.push_back(ExpireApprovalId(row.id));
  }
  v1::Approval payload = Present(row.message, row.version);
  set.events.push_back({std::string(EventType(to)),
                        payload.id(),
                        row.version,
                        {row.organization},
                        payload.GetDescriptor()->full_name(),
                        payload.SerializeAsString()});
  return payload.SerializeAsString();
}

// "IssueOrganizationApiKey, RejectOrganization": by the whole contract, as it was built in.
std::string MethodsOfTwoPersons() {
  google::protobuf::FileDescriptorSet files;
  std::string_view bytes = IdentityDescriptors()[0].bytes;
  files.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  std::vector<std::string> names;
  for (const auto& file : files.file()) {
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) {
        if (!method.options().GetExtension(type::method).two_person()) continue;
        names.push_back(file.package() + "." + service.name() + "." + method.name());
      }
    }
  }
  return JoinWords(names, ", ");
}

// A command that somebody wants approved, as the service that runs it will see it.
struct Asked {
  std::string method, fingerprint, shown;
};

Result<Asked> ReadAsked(const v1::Approval& wanted, const CallContext& context) {
  const MethodDescriptor* method =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(wanted.method());
  if (!method || !method->options().GetExtension(type::method).two_person()) {
    return Fail(Error::At("#/approval/method", ErrorCode::kUnknownMethod,
                          {{"method", wanted.method()}, {"allowed", MethodsOfTwoPersons()}}));
  }
  const auto& roles = method->options().GetExtension(type::method).roles();
  if (std::ranges::none_of(roles, [&](const std::string& role) { return context.Has(role); })) {
    return Fail(ErrorCode::kInsufficientScope, {{"roles", JoinWords(roles, ", ")}});
  }
  const Message* prototype = google::protobuf::MessageFactory::generated_factory()->GetPrototype(method->input_type());
  std::unique_ptr<Message> request(prototype->New());
  MILLRACE_CHECK(http::ReadJson(wanted.request(), request.get(), kRequestPointer));
  std::vector<Violation> violations = rpc::Validate(*request);
  for (Violation& violation : violations) violation.pointer = kRequestPointer + violation.pointer.substr(1);
  if (!violations.empty()) return Fail(Error::Of(std::move(violations)));
  return Asked{method->full_name(), rpc::Fingerprint(method, *request), rpc::ReadableJson(*request)};
}

}  // namespace

Task<Result<v1::Approval>> Identity::RunApproval(CallContext context, Command command) {
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::string> outcome = co_await Run(std::move(context), std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::Approval approval;
  approval.ParseFromString(*outcome);
  reply->etag = approval.etag();
  co_return std::move(approval);
}

Task<Result<v1::Approval>> Identity::RequestApproval(CallContext context, v1::RequestApprovalRequest request) {
  if (context.member.IsNil()) co_return Fail(ErrorCode::kMemberRequired);
  MILLRACE_CO_TRY(Asked asked, ReadAsked(request.approval(), context));
  // What is kept and logged shows no secret of the request inside.
  request.mutable_approval()->set_request(asked.shown);
  if (!context.act.empty()) rpc::ShowInAct(request, &context.act);
  Uuid id = Uuid::New();
  auto wanted = std::make_shared<v1::Approval>(std::move(*request.mutable_approval()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "RequestApproval");
  command.decide = [id, wanted, asked = std::move(asked), organization = context.organization,
                    person = context.member](Set& set) -> Result<std::string> {
    ApprovalRow& row = set.approvals[id];
    row.id = id;
    row.organization = organization;
    row.fingerprint = asked.fingerprint;
    row.requester = person;
    row.create_time = set.now;
    row.expire_time = set.now + domain::kRequestedFor;
    row.message.set_id(FormatId("apr", id));
    row.message.set_organization_id(FormatId("org", organization));
    row.message.set_method(asked.method);
    row.message.set_request(asked.shown);
    row.message.set_reason(wanted->reason());
    row.message.set_requester_id(FormatId("usr", person));
    SetTime(row.message.mutable_create_time(), set.now);
    return Moved(set, row, domain::ApprovalState::kRequested);
  };
  Result<v1::Approval> made = co_await RunApproval(std::move(context), std::move(command));
  co_return std::move(made);
}

Task<Result<v1::Approval>> Identity::ApprovalVerb(domain::ApprovalVerb verb, CallContext context,
                                                  v1::ApprovalVerbRequest request) {
  if (context.member.IsNil()) co_return Fail(ErrorCode::kMemberRequired);
  bool declines = verb == domain::ApprovalVerb::kDecline;
  if (declines && request.reason().empty()) co_return Fail(Error::At("#/reason", ErrorCode::kRequired));
  MILLRACE_CO_TRY(Uuid id, ParseId("apr", request.id()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, MethodName(verb));
  command.need = [id](Set& set) { set.want_approvals.insert(id); };
  command.decide = [id, verb, asking = context.organization, person = context.member, reason = request.reason(),
                    if_match = context.if_match](Set& set) -> Result<std::string> {
    auto found = set.approvals.find(id);
    if (found == set.approvals.end() || found->second.organization != asking) return Fail(ErrorCode::kNotFound);
    ApprovalRow& row = found->second;
    if (!if_match.empty() && if_match != "*" && if_match != std::to_string(row.version))
      return Fail(ErrorCode::kEtagMismatch);
    MILLRACE_TRY(domain::ApprovalState to, domain::DecideApproval(row.shape(), verb, person, set.now));
    if (to == domain::ApprovalState::kApproved) row.expire_time = set.now + domain::kApprovedFor;
    if (to != domain::ApprovalState::kWithdrawn) {
      row.decider = person;
      row.message.set_decider_id(FormatId("usr", person));
      SetTime(row.message.mutable_decide_time(), set.now);
    }
    row.message.set_decision_reason(reason);
    return Moved(set, row, to);
  };
  Result<v1::Approval> moved = co_await RunApproval(std::move(context), std::move(command));
  co_return std::move(moved);
}

Task<Result<void>> Identity::ExpireApproval(tasks::DueTask task) {
  Command command;
  Uuid id = task.subject;
  postgres::EndedTask ended = task.Ended();
  command.header.method = kExpireApprovalTask;
  command.need = [id](Set& set) { set.want_approvals.insert(id); };
  command.decide = [id, ended](Set& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    auto found = set.approvals.find(id);
    if (found == set.approvals.end()) return std::string();
    Result<domain::ApprovalState> to = domain::MoveApproval(found->second.state(), domain::ApprovalVerb::kExpire);
    if (!to) return std::string();  // decided or used between the claim and this lock
    return Moved(set, found->second, *to);
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

void Identity::MarkUsed(Set& set, const events::v1::Act& act, Time time) {
  auto found = set.approvals.find(IdOrNil(act.approval_id()));
  if (found == set.approvals.end()) return;
  ApprovalRow& row = found->second;
  // An act that does not fit has not passed the check: whatever logged it, it uses nothing up.
  bool fits = row.message.method() == act.method() && row.message.organization_id() == act.organization_id() &&
              row.message.requester_id() == act.member_id() && !row.decider.IsNil();
  Result<domain::ApprovalState> to = domain::MoveApproval(row.state(), domain::ApprovalVerb::kUse);
  if (!fits || !to) return;
  row.use_time = time;
  Moved(set, row, *to);
}

Task<Result<v1::CheckApprovalResponse>> Identity::CheckApproval(CallContext, v1::CheckApprovalRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("apr", request.id()));
  Result<std::optional<ApprovalTerms>> read = co_await ReadApprovalTerms(reader_, id);
  MILLRACE_CO_TRY(std::optional<ApprovalTerms> terms, std::move(read));
  if (!terms || terms->organization != IdOrNil(request.organization_id())) co_return Fail(ErrorCode::kNotFound);
  domain::ApprovalMatch match;
  match.method = terms->method == request.method();
  match.content = terms->fingerprint == request.fingerprint();
  match.person = terms->shape.requester == IdOrNil(request.member_id());
  match.decider = terms->decider;
  MILLRACE_CO_CHECK(domain::CheckUse(terms->shape, match, terms->now));
  co_return v1::CheckApprovalResponse();
}

Task<Result<v1::Approval>> Identity::GetApproval(CallContext context, v1::GetApprovalRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("apr", request.id()));
  Asker asker = Asker::Of(context);
  Result<std::vector<Found<v1::Approval>>> read = co_await ReadApprovals(reader_, std::move(asker), id, Uuid(), 1, 0);
  MILLRACE_CO_TRY(std::vector<Found<v1::Approval>> found, std::move(read));
  if (found.empty()) co_return Fail(ErrorCode::kNotFound);
  v1::Approval approval = Present(found.front().message, found.front().version);
  context.reply->etag = approval.etag();
  co_return std::move(approval);
}

Task<Result<v1::ListApprovalsResponse>> Identity::ListApprovals(CallContext context, v1::ListApprovalsRequest request) {
  std::string filter = context.organization.Hex() + " approvals " + std::to_string(request.state());
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Asker asker = Asker::Of(context);
  Uuid after = page.after;
  int rows = page.size + 1;
  int state = request.state();
  Result<std::vector<Found<v1::Approval>>> read =
      co_await ReadApprovals(reader_, std::move(asker), Uuid(), after, rows, state);
  MILLRACE_CO_TRY(std::vector<Found<v1::Approval>> found, std::move(read));
  auto present = [](const auto& one) { return Present(one.message, one.version); };
  co_return rpc::PageOf<v1::ListApprovalsResponse>(page, filter, found, present);
}

}  // namespace millrace::identity
