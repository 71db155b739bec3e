// SPDX-License-Identifier: Apache-2.0
// Approvals by two persons, from the request to the use.
#include "common/rpc/channel.h"
#include "services/identity/identity_test.h"
#include "tests/support/eventually.h"

namespace millrace::identity {
namespace {

constexpr const char* kReject = "millrace.identity.v1.Identity.RejectOrganization";
constexpr const char* kIssue = "millrace.identity.v1.Identity.IssueOrganizationApiKey";

class ApprovalsTest : public IdentityTest {
 protected:
  Result<v1::Approval> Request(CallContext context, const std::string& method, const std::string& json,
                               const std::string& reason = "as agreed") {
    v1::RequestApprovalRequest request;
    request.mutable_approval()->set_method(method);
    request.mutable_approval()->set_request(json);
    request.mutable_approval()->set_reason(reason);
    return instance_->Call<v1::Approval>("Approvals.RequestApproval", std::move(context), request);
  }
  Result<v1::Approval> Move(const std::string& verb, const std::string& id, CallContext context,
                            const std::string& reason = "seen") {
    v1::ApprovalVerbRequest request;
    request.set_id(id);
    request.set_reason(reason);
    return instance_->Call<v1::Approval>(("Approvals." + verb + "Approval").c_str(), std::move(context), request);
  }
  Result<v1::Approval> Get(const std::string& id, CallContext context = Operator()) {
    v1::GetApprovalRequest request;
    request.set_id(id);
    return instance_->Call<v1::Approval>("Approvals.GetApproval", std::move(context), request);
  }
  Result<v1::Organization> Reject(const std::string& id, CallContext context, std::string reason = "shell company") {
    return Do("RejectOrganization", id, std::move(reason), std::move(context));
  }
  static std::string RejectionOf(const std::string& id, const std::string& reason = "shell company") {
    return R"({"reason": ")" + reason + R"(", "id": ")" + id + "\"}";
  }
  // Asked for by one, approved by the other.
  v1::Approval Approved(const Uuid& asks, const Uuid& approves, const std::string& method, const std::string& json) {
    auto asked = Request(As(asks), method, json);
    EXPECT_TRUE(asked) << Name(asked.error().code) << asked.error().cause;
    auto approved = Move("Approve", asked->id(), As(approves));
    EXPECT_TRUE(approved) << Name(approved.error().code) << approved.error().cause;
    return approved.value_or(v1::Approval());
  }
  bool EventuallyIn(const std::string& id, v1::Approval::State state) {
    return test::Eventually([&] { return Get(id)->state() == state; });
  }
  static ErrorCode CodeOf(const auto& result) { return result ? ErrorCode::kInternal : result.error().code; }
  static std::string Param(const auto& result, const char* name) {
    return result ? "(none)" : result.error().params.at(name);
  }
};

TEST_F(ApprovalsTest, OnePersonAsksAnotherApprovesTheFirstDoesItOnce) {
  Uuid anna = Person("anna"), bert = Person("bert"), carl = Person("carl");
  std::string firm = Register(1).organization().id();
  auto alone = Reject(firm, As(anna));
  EXPECT_EQ(CodeOf(alone), ErrorCode::kApprovalRequired);
  EXPECT_EQ(Param(alone, "method"), kReject);
  EXPECT_EQ(CodeOf(Reject(firm, Operator(FormatId("apr", Uuid::New())))), ErrorCode::kMemberRequired);
  EXPECT_EQ(CodeOf(Reject(firm, As(anna, FormatId("apr", Uuid::New())))), ErrorCode::kApprovalRequired);

  EXPECT_EQ(CodeOf(Request(Operator(), kReject, RejectionOf(firm))), ErrorCode::kMemberRequired);
  auto asked = Request(As(anna, "ask-to-reject"), kReject, RejectionOf(firm));
  ASSERT_TRUE(asked) << Name(asked.error().code) << asked.error().cause;
  EXPECT_EQ(asked->state(), v1::Approval::REQUESTED);
  EXPECT_EQ(asked->requester_id(), FormatId("usr", anna));
  EXPECT_EQ(asked->request(), R"({"id":")" + firm + R"(","reason":"shell company"})");
  EXPECT_EQ(asked->expire_time().seconds() - asked->create_time().seconds(), 86400);
  ASSERT_EQ(asked->actions_size(), 4);
  EXPECT_EQ(asked->actions(0).action(), "approve");
  EXPECT_EQ(asked->actions(3).action(), "expire");
  EXPECT_EQ(asked->actions(3).deadline_time().seconds(), asked->expire_time().seconds());
  EXPECT_EQ(Request(As(anna, "ask-to-reject"), kReject, RejectionOf(firm))->id(), asked->id());

  std::string id = asked->id();
  auto early = Reject(firm, As(anna, id));
  EXPECT_EQ(CodeOf(early), ErrorCode::kApprovalNotGiven);
  EXPECT_EQ(Param(early, "state"), "REQUESTED");
  EXPECT_EQ(CodeOf(Move("Approve", id, As(anna))), ErrorCode::kSamePerson);
  EXPECT_EQ(CodeOf(Move("Approve", id, Operator())), ErrorCode::kMemberRequired);
  EXPECT_EQ(CodeOf(Move("Withdraw", id, As(bert))), ErrorCode::kInsufficientScope);
  auto approved = Move("Approve", id, As(bert, "bert-approves"));
  ASSERT_TRUE(approved) << Name(approved.error().code) << approved.error().cause;
  EXPECT_EQ(approved->state(), v1::Approval::APPROVED);
  EXPECT_EQ(approved->decider_id(), FormatId("usr", bert));
  EXPECT_EQ(approved->decision_reason(), "seen");
  EXPECT_EQ(approved->expire_time().seconds() - approved->decide_time().seconds(), 86400);
  EXPECT_EQ(Move("Approve", id, As(bert, "bert-approves"))->etag(), approved->etag());
  EXPECT_EQ(CodeOf(Move("Approve", id, As(carl))), ErrorCode::kStateConflict) << "it is given already";
  EXPECT_EQ(CodeOf(Move("Decline", id, As(carl))), ErrorCode::kStateConflict);
  EXPECT_EQ(CodeOf(Move("Withdraw", id, As(anna))), ErrorCode::kStateConflict);

  EXPECT_EQ(Param(Reject(firm, As(bert, id)), "differs"), "person") << "who approved does not do it";
  EXPECT_EQ(Param(Reject(firm, As(carl, id)), "differs"), "person");
  EXPECT_EQ(Param(Reject(firm, As(anna, id), "another reason"), "differs"), "content");
  std::string other = Register(2).organization().id();
  EXPECT_EQ(Param(Reject(other, As(anna, id)), "differs"), "content");
  v1::IssueOrganizationApiKeyRequest issue;
  issue.set_organization_id(firm);
  issue.mutable_api_key()->set_display_name("x");
  auto issued = instance_->Call<v1::ApiKey>("IssueOrganizationApiKey", As(anna, id), issue);
  EXPECT_EQ(CodeOf(issued), ErrorCode::kApprovalMismatch);
  EXPECT_EQ(Param(issued, "differs"), "method");
  EXPECT_EQ(Count("SELECT count(*) FROM idempotency WHERE key = '" + id + "'"), 0) << "no refusal is kept";

  auto rejected = Reject(firm, As(anna, id));
  ASSERT_TRUE(rejected) << Name(rejected.error().code) << rejected.error().cause;
  EXPECT_EQ(rejected->state(), v1::Organization::REJECTED);
  CallContext again = As(anna, id);
  auto replay = Reject(firm, again);
  ASSERT_TRUE(replay) << Name(replay.error().code) << replay.error().cause;
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(replay->SerializeAsString(), rejected->SerializeAsString());
  ASSERT_TRUE(EventuallyIn(id, v1::Approval::USED));
  EXPECT_TRUE(Get(id)->has_use_time());
  EXPECT_EQ(Get(id)->actions_size(), 0);
  again = As(anna, id);
  replay = Reject(firm, again);
  ASSERT_TRUE(replay) << Name(replay.error().code);
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(CodeOf(Reject(other, As(anna, id))), ErrorCode::kApprovalMismatch);

  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'organization.rejected'"), 1);
  for (const char* type : {"requested", "approved", "used"})
    EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'approval." + std::string(type) + "' AND aggregate = '" +
                    id + "' AND parties = '{" + std::string(kOperatorHex) + "}'"),
              1)
        << type;
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE kind = 'expire_approval'"), 0);
  v1::ListAuditLogResponse acts;
  EXPECT_TRUE(test::Eventually([&] {
    acts = *instance_->Call<v1::ListAuditLogResponse>("Audit.ListAuditLog", Operator(), v1::ListAuditLogRequest());
    return acts.data_size() >= 3 && acts.data(0).method() == kReject;
  }));
  EXPECT_EQ(acts.data(0).approval_id(), id);
  EXPECT_EQ(acts.data(0).member_id(), FormatId("usr", anna));
  EXPECT_EQ(acts.data(1).method(), "millrace.identity.v1.Approvals.ApproveApproval");
  EXPECT_EQ(acts.data(1).approval_id(), "");
  EXPECT_NE(acts.data(2).request().find("shell company"), std::string::npos);
  auto verified =
      instance_->Call<v1::VerifyAuditLogResponse>("Audit.VerifyAuditLog", Operator(), v1::VerifyAuditLogRequest());
  EXPECT_TRUE(verified->passed());
}

TEST_F(ApprovalsTest, DeclinedAndWithdrawnOnesOpenNothing) {
  ASSERT_TRUE(RejectByTwoPersons(Register(9).organization().id(), "a firm of its own"));
  Uuid anna = Person("anna"), bert = Person("bert");
  std::string firm = Register(1).organization().id();
  std::string declined = Request(As(anna), kReject, RejectionOf(firm))->id();
  EXPECT_EQ(CodeOf(Move("Decline", declined, As(bert), "")), ErrorCode::kRequired);
  EXPECT_EQ(CodeOf(Move("Decline", declined, As(anna))), ErrorCode::kSamePerson);
  CallContext stale = As(bert);
  stale.if_match = "7";
  EXPECT_EQ(CodeOf(Move("Decline", declined, stale)), ErrorCode::kEtagMismatch);
  ASSERT_TRUE(Move("Decline", declined, As(bert), "ask them first"));
  EXPECT_EQ(Get(declined)->decision_reason(), "ask them first");
  EXPECT_EQ(CodeOf(Move("Approve", declined, As(bert))), ErrorCode::kStateConflict);
  EXPECT_EQ(Param(Reject(firm, As(anna, declined)), "state"), "DECLINED");
  std::string withdrawn = Request(As(anna), kReject, RejectionOf(firm))->id();
  ASSERT_TRUE(Move("Withdraw", withdrawn, As(anna)));
  EXPECT_EQ(CodeOf(Move("Approve", withdrawn, As(bert))), ErrorCode::kStateConflict);
  EXPECT_EQ(Param(Reject(firm, As(anna, withdrawn)), "state"), "WITHDRAWN");
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE kind = 'expire_approval'"), 0);

  // Who approved must still be there when it is used.
  std::string id = Approved(anna, bert, kReject, RejectionOf(firm)).id();
  v1::RemoveMemberRequest remove;
  remove.set_id(FormatId("usr", bert));
  ASSERT_TRUE(instance_->Call<v1::Member>("Members.RemoveMember", Operator(), remove));
  EXPECT_EQ(CodeOf(Reject(firm, As(anna, id))), ErrorCode::kApprovalNotGiven);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'organization.rejected'"), 1) << "the one before";

  v1::ListApprovalsRequest list;
  auto listed = [&](CallContext context) {
    return instance_->Call<v1::ListApprovalsResponse>("Approvals.ListApprovals", std::move(context), list);
  };
  EXPECT_EQ(listed(Operator())->data_size(), 4);
  list.set_state(v1::Approval::DECLINED);
  EXPECT_EQ(listed(Operator())->data_size(), 1);
  list.clear_state();
  list.set_page_size(2);
  EXPECT_EQ(listed(Operator())->data_size(), 2);
  list.set_page_token(listed(Operator())->next_page_token());
  EXPECT_EQ(listed(Operator())->data_size(), 2);
  EXPECT_EQ(listed(Operator())->next_page_token(), "");
  list.Clear();
  CallContext stranger = Caller(Uuid::New(), {"operator"});
  stranger.member = Uuid::New();
  EXPECT_EQ(listed(stranger)->data_size(), 0);
  EXPECT_EQ(CodeOf(Get(id, stranger)), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(Move("Approve", id, stranger)), ErrorCode::kNotFound);
  EXPECT_EQ(CodeOf(listed(Caller(Uuid::New(), {"admin"}))), ErrorCode::kInsufficientScope);
  // The second wall.
  EXPECT_FALSE(
      admin_->RunHere([&](postgres::Transaction& tx) { tx.ExecuteText("UPDATE approval SET decider = requester"); }));
}

TEST_F(ApprovalsTest, NothingIsApprovedThatCannotRun) {
  Uuid anna = Person("anna");
  std::string firm = Register(1).organization().id();
  auto refused = [&](const std::string& method, const std::string& json) {
    auto asked = Request(As(anna), method, json);
    EXPECT_FALSE(asked) << json;
    return asked ? Error() : asked.error();
  };
  for (const char* method : {"millrace.identity.v1.Identity.VerifyOrganization", "RejectOrganization",
                             "millrace.identity.v1.Approvals.CheckApproval", "x"}) {
    Error error = refused(method, RejectionOf(firm));
    EXPECT_EQ(error.code, ErrorCode::kUnknownMethod) << method;
    EXPECT_NE(error.params.at("allowed").find(kReject), std::string::npos);
    EXPECT_NE(error.params.at("allowed").find(kIssue), std::string::npos);
  }
  EXPECT_EQ(refused(kReject, "{").code, ErrorCode::kInvalidJson);
  EXPECT_EQ(refused(kReject, "[]").code, ErrorCode::kWrongType);
  EXPECT_EQ(refused(kReject, "").code, ErrorCode::kRequired);
  EXPECT_EQ(refused(kReject, R"({"id": ")" + firm + R"(", "id": ")" + firm + R"("})").code, ErrorCode::kInvalidJson);
  Error unknown = refused(kReject, R"({"id": ")" + firm + R"(", "raeson": "x"})");
  EXPECT_EQ(unknown.code, ErrorCode::kUnknownField);
  EXPECT_EQ(unknown.violations.at(0).pointer, "#/approval/request/raeson");
  Error missing = refused(kReject, R"({"reason": "x"})");
  EXPECT_EQ(missing.code, ErrorCode::kRequired);
  EXPECT_EQ(missing.violations.at(0).pointer, "#/approval/request/id");
  EXPECT_EQ(
      refused(kIssue, R"({"organization_id": ")" + firm + R"(", "api_key": {"display_name": "x", "secret": "y"}})")
          .code,
      ErrorCode::kOutputOnly);
  EXPECT_EQ(refused(kReject, "\"" + std::string(66000, ' ') + "\"").code, ErrorCode::kTooLong);
  CallContext buyer = As(anna);
  buyer.roles = {"buyer", "admin"};
  EXPECT_EQ(CodeOf(Request(buyer, kReject, RejectionOf(firm))), ErrorCode::kInsufficientScope);
  EXPECT_EQ(Count("SELECT count(*) FROM approval"), 0);
}

TEST_F(ApprovalsTest, AKeyOfAnotherOrganizationTakesTwoPersons) {
  Uuid anna = Person("anna"), bert = Person("bert");
  std::string firm = Register(1).organization().id();
  auto issue = [&](const std::string& organization, CallContext context, std::vector<std::string> roles = {}) {
    v1::IssueOrganizationApiKeyRequest request;
    request.set_organization_id(organization);
    request.mutable_api_key()->set_display_name("lost theirs");
    for (std::string& role : roles) request.mutable_api_key()->add_roles(std::move(role));
    return instance_->Call<v1::ApiKey>("IssueOrganizationApiKey", std::move(context), request);
  };
  auto wanted = [](const std::string& organization, const std::string& more = {}) {
    return R"({"organization_id": ")" + organization + R"(", "api_key": {"display_name": "lost theirs")" + more + "}}";
  };
  EXPECT_EQ(CodeOf(issue(firm, As(anna))), ErrorCode::kApprovalRequired);
  EXPECT_EQ(CodeOf(issue(firm, Caller(IdOrNil(firm), {"admin", "provider", "buyer"}))), ErrorCode::kInsufficientScope);
  std::string id = Approved(anna, bert, kIssue, wanted(firm)).id();
  auto made = issue(firm, As(anna, id));
  ASSERT_TRUE(made) << Name(made.error().code) << made.error().cause;
  EXPECT_EQ(made->organization_id(), firm);
  EXPECT_EQ(made->roles_size(), 2) << "admin is given only where it is asked for";
  EXPECT_EQ(issue(firm, As(anna, id))->secret(), made->secret());
  EXPECT_EQ(Authenticate(made->secret())->organization_id(), firm);
  EXPECT_EQ(Count("SELECT count(*) FROM api_key WHERE display_name = 'lost theirs'"), 1);
  ASSERT_TRUE(EventuallyIn(id, v1::Approval::USED));
  EXPECT_EQ(Dump().find(made->secret()), std::string::npos);

  // What the command itself refuses, it refuses under an approval too, and keeps that under the key.
  std::string too_much = Approved(anna, bert, kIssue, wanted(firm, R"(, "roles": ["operator"])")).id();
  EXPECT_EQ(CodeOf(issue(firm, As(anna, too_much), {"operator"})), ErrorCode::kInsufficientScope);
  std::string nowhere = FormatId("org", Uuid::New());
  std::string lost = Approved(anna, bert, kIssue, wanted(nowhere)).id();
  EXPECT_EQ(CodeOf(issue(nowhere, As(anna, lost))), ErrorCode::kNotFound);
  EXPECT_EQ(Get(lost)->state(), v1::Approval::APPROVED);
  std::string own = FormatId("org", Uuid::FromHex(kOperatorHex));
  std::string inside = Approved(anna, bert, kIssue, wanted(own)).id();
  EXPECT_EQ(CodeOf(issue(own, As(anna, inside))), ErrorCode::kInsufficientScope) << "admins make those";
}

TEST_F(ApprovalsTest, EverythingEndsInTime) {
  instance_.reset();
  postgres::Migrator migrator(url_);
  for (const char* name : kOthers) EXPECT_TRUE(migrator.Apply(name, {}));
  instance_ = std::make_unique<Instance>(url_, true, "operator-secret-0123456789", true);
  Uuid anna = Person("anna"), bert = Person("bert");
  std::string firm = Register(1).organization().id(), other = Register(2).organization().id();
  auto advance = [&](int64_t to) {
    v1::AdvanceClockRequest request;
    request.mutable_to_time()->set_seconds(to);
    auto moved = instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", Operator(), request);
    EXPECT_TRUE(moved) << Name(moved.error().code) << moved.error().cause;
  };
  std::string waits = Request(As(anna), kReject, RejectionOf(firm))->id();
  v1::Approval given = Approved(anna, bert, kReject, RejectionOf(firm));
  v1::Approval used = Approved(anna, bert, kReject, RejectionOf(other));
  ASSERT_TRUE(Reject(other, As(anna, used.id())));
  // The time is over before the timer has fired.
  EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
    tx.ExecuteText("UPDATE approval SET expire_time = runtime.now() WHERE state IN (1, 2)");
  }));
  EXPECT_EQ(CodeOf(Move("Approve", waits, As(bert))), ErrorCode::kApprovalExpired);
  EXPECT_EQ(CodeOf(Reject(firm, As(anna, given.id()))), ErrorCode::kApprovalExpired);
  advance(given.expire_time().seconds() + 60);
  for (const std::string& id : {waits, given.id()}) EXPECT_EQ(Get(id)->state(), v1::Approval::EXPIRED);
  EXPECT_EQ(Get(used.id())->state(), v1::Approval::USED);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'approval.expired'"), 2);
  EXPECT_EQ(CodeOf(Move("Approve", waits, As(bert))), ErrorCode::kApprovalExpired);
  EXPECT_EQ(CodeOf(Reject(firm, As(anna, given.id()))), ErrorCode::kApprovalExpired);
  CallContext again = As(anna, used.id());
  EXPECT_TRUE(Reject(other, again)) << "the answer outlives the approval's time";
  EXPECT_TRUE(again.reply->replayed);
  // After that the key's outcome may be gone; what would be done anew is refused.
  advance(Get(used.id())->use_time().seconds() + 48 * 3600 + 60);
  auto late = Reject(other, As(anna, used.id()));
  EXPECT_EQ(CodeOf(late), ErrorCode::kApprovalNotGiven);
  EXPECT_EQ(Param(late, "state"), "USED");
}

TEST_F(ApprovalsTest, TheNewsOfAUseMayComeLate) {
  IdentitySet set;
  set.now = FromMicros(90'000'000'000'000);
  Uuid id = Uuid::New();
  ApprovalRow& row = set.approvals[id];
  row.id = id;
  row.organization = Uuid::FromHex(kOperatorHex);
  row.requester = Uuid::New();
  row.message.set_id(FormatId("apr", id));
  row.message.set_method(kReject);
  row.message.set_organization_id(FormatId("org", row.organization));
  row.message.set_requester_id(FormatId("usr", row.requester));
  row.message.set_state(v1::Approval::EXPIRED);
  events::v1::Act act;
  act.set_method(kReject);
  act.set_organization_id(row.message.organization_id());
  act.set_member_id(row.message.requester_id());
  act.set_approval_id(row.message.id());
  events::v1::Event event;
  event.set_type("act.performed");
  event.mutable_time()->set_seconds(89'000'000);
  auto apply = [&] {
    event.set_payload(act.SerializeAsString());
    EXPECT_TRUE(Identity::ApplyToAudit(set, event));
    return row.state();
  };
  EXPECT_EQ(apply(), domain::ApprovalState::kExpired) << "nobody had approved it";
  row.decider = Uuid::New();
  act.set_method(kIssue);
  EXPECT_EQ(apply(), domain::ApprovalState::kExpired) << "another act";
  act.set_method(kReject);
  EXPECT_EQ(apply(), domain::ApprovalState::kUsed);
  EXPECT_EQ(row.message.use_time().seconds(), 89'000'000);
  EXPECT_EQ(apply(), domain::ApprovalState::kUsed);
  EXPECT_EQ(set.events.size(), 1u);
  EXPECT_EQ(set.new_audit.size(), 4u) << "every act is kept, whatever it names";
}

}  // namespace
}  // namespace millrace::identity
