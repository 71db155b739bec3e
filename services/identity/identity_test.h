// SPDX-License-Identifier: Apache-2.0
// A whole identity service on a database of its own, and who calls it.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "common/base/uscc.h"
#include "common/crypto/crypto.h"
#include "common/postgres/migrate.h"
#include "millrace/identity/v1/approvals.pb.h"
#include "millrace/identity/v1/audit.pb.h"
#include "millrace/identity/v1/documents.pb.h"
#include "millrace/identity/v1/members.pb.h"
#include "millrace/identity/v1/register.pb.h"
#include "services/identity/app/identity.h"
#include "services/identity/module.h"
#include "tests/support/private_postgres.h"
#include "tests/support/temporary_folder.h"

namespace millrace::identity {

inline constexpr const char* kOthers[] = {"listing", "matching", "operations", "escrow", "credit", "notifications"};

// A whole identity service, and the bare cores of the services whose clocks it moves.
class Instance {
 public:
  explicit Instance(std::string url, bool test_clock = true, std::string operator_key = "operator-secret-0123456789",
                    bool with_others = false, std::string verification_documents = {}) {
    settings_.Set("database_url", url, "test");
    settings_.Set("internal_token", "instance-secret", "test");
    settings_.Set("operator_key", std::move(operator_key), "test");
    settings_.Set("regulator_key", "regulator-secret-0123456789", "test");
    settings_.Set("data_folder", folder_.path(), "test");
    settings_.Set("verification_documents", std::move(verification_documents), "test");
    settings_.Set("test_clock", test_clock ? "true" : "false", "test");
    environment_.executor = context_.get_executor();
    environment_.settings = &settings_;
    environment_.wakeups = &wakeups_;
    environment_.channel = [this](std::string_view service) -> rpc::Channel& {
      auto found = channels_.find(std::string(service));
      return found == channels_.end() ? *nobody_ : *found->second;
    };
    module_ = MakeModule(environment_);
    channels_["identity"] = rpc::LocalChannel(module_->service());
    for (const char* name : kOthers) {
      if (!with_others) continue;
      cores_.push_back(std::make_unique<runtime::ServiceCore>(name, environment_));
      channels_[name] = rpc::LocalChannel(cores_.back()->service());
      cores_.back()->Start();
    }
    Result<void> started = Wait(module_->Start());
    EXPECT_TRUE(started) << started.error().cause;
  }
  ~Instance() {
    module_->Stop();
    for (auto& core : cores_) core->Stop();
    context_.restart();
    context_.run();
  }

  // Where its files lie.
  const std::string& folder() const { return folder_.path(); }
  // Runs the loop until the coroutine has its value.
  template <class T>
  T Wait(Task<T> task) {
    std::optional<T> value;
    Spawn(context_.get_executor(), Fill(std::move(task), &value), "test");
    context_.restart();
    while (!value) context_.run_one();
    return *std::move(value);
  }
  template <class Response, class Request>
  Result<Response> Call(const char* method, CallContext context, Request request) {
    context.deadline = WallNow() + std::chrono::seconds(30);
    std::string name = std::string(method).find('.') == std::string::npos ? std::string("Identity.") + method : method;
    return Wait(rpc::Call<Response>(*channels_.at("identity"), "millrace.identity.v1." + name, std::move(context),
                                    std::move(request)));
  }

 private:
  template <class T>
  static Task<void> Fill(Task<T> task, std::optional<T>* value) {
    T done = co_await std::move(task);
    value->emplace(std::move(done));
  }

  boost::asio::io_context context_;
  test::TemporaryFolder folder_;
  runtime::Settings settings_;
  runtime::WakeupBus wakeups_;
  runtime::Environment environment_;
  rpc::Service empty_{"nobody"};
  std::unique_ptr<rpc::Channel> nobody_ = rpc::LocalChannel(empty_);
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::vector<std::unique_ptr<runtime::ServiceCore>> cores_;
  std::unique_ptr<runtime::Module> module_;
};

inline std::string MakeUscc(int number) {
  std::string digits = std::to_string(100000000 + number);
  std::string code = "91320583" + digits;
  return code + UsccCheckCharacter(code);
}

inline CallContext Caller(const Uuid& organization, std::set<std::string> roles, std::string key = {}) {
  CallContext context;
  context.organization = organization;
  context.actor = "key_test";
  context.roles = std::move(roles);
  context.idempotency_key = key.empty() ? "key-" + Uuid::New().Hex() : std::move(key);
  return context;
}
inline CallContext Operator(std::string key = {}) {
  return Caller(Uuid::FromHex(kOperatorHex), {"admin", "operator"}, std::move(key));
}
inline CallContext Nobody(std::string key = {}) { return Caller(Uuid(), {}, std::move(key)); }

inline v1::CreateOrganizationRequest Registration(int number) {
  v1::CreateOrganizationRequest request;
  auto* organization = request.mutable_organization();
  organization->set_display_name("昆山示例精密 " + std::to_string(number));
  organization->set_uscc(MakeUscc(number));
  organization->set_industry_code("C3425");
  organization->set_region_code("320583");
  organization->set_external_id("erp-" + std::to_string(number));
  return request;
}

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() : url_(test::PrivatePostgres::Instance().NewDatabase({{"identity", Migrations()}})) {
    postgres::DatabaseOptions options;
    options.url = url_;
    options.schema = "identity";
    admin_ = std::make_unique<postgres::Database>(options);
    instance_ = std::make_unique<Instance>(url_);
  }

  v1::CreateOrganizationResponse Register(int number) {
    auto made = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(), Registration(number));
    EXPECT_TRUE(made) << Name(made.error().code) << made.error().cause;
    return made.value_or(v1::CreateOrganizationResponse());
  }
  Result<v1::Organization> Do(const char* method, const std::string& id, std::string reason = {},
                              CallContext context = Operator()) {
    v1::OrganizationVerbRequest request;
    request.set_id(id);
    request.set_reason(std::move(reason));
    return instance_->Call<v1::Organization>(method, std::move(context), std::move(request));
  }
  Result<v1::AuthenticateResponse> Authenticate(const std::string& secret) {
    v1::AuthenticateRequest request;
    request.set_token(secret);
    return instance_->Call<v1::AuthenticateResponse>("Authenticate", CallContext::ForService("gateway"),
                                                     std::move(request));
  }
  // A person of the operator's who may do what it does.
  Uuid Person(const std::string& name) {
    v1::InviteMemberRequest invitation;
    invitation.mutable_member()->set_display_name(name);
    invitation.mutable_member()->set_email(name + Uuid::New().Hex() + "@operator.example");
    invitation.mutable_member()->add_roles("operator");
    auto invited = instance_->Call<v1::Member>("Members.InviteMember", Operator(), invitation);
    EXPECT_TRUE(invited) << Name(invited.error().code) << invited.error().cause;
    v1::AcceptInvitationRequest accept;
    accept.set_code(invited->code());
    auto accepted = instance_->Call<v1::AcceptInvitationResponse>("Members.AcceptInvitation", Nobody(), accept);
    EXPECT_TRUE(accepted) << Name(accepted.error().code) << accepted.error().cause;
    auto caller = Authenticate(accepted->api_key().secret());
    EXPECT_EQ(caller->member_id(), invited->id());
    EXPECT_EQ(caller->roles(0), "operator");
    return IdOrNil(invited->id());
  }
  static CallContext As(const Uuid& person, std::string key = {}) {
    CallContext context = Caller(Uuid::FromHex(kOperatorHex), {"operator"}, std::move(key));
    context.member = person;
    context.request_id = FormatId("req", Uuid::New());
    return context;
  }
  // As the operator does it: one person asks, another one approves, the first one does it.
  Result<v1::Organization> RejectByTwoPersons(const std::string& id, const std::string& reason) {
    v1::OrganizationVerbRequest rejection;
    rejection.set_id(id);
    rejection.set_reason(reason);
    v1::RequestApprovalRequest request;
    request.mutable_approval()->set_method("millrace.identity.v1.Identity.RejectOrganization");
    request.mutable_approval()->set_request(rpc::ReadableJson(rejection));
    request.mutable_approval()->set_reason("as agreed");
    Uuid asks = Person("asks"), approves = Person("approves");
    auto asked = instance_->Call<v1::Approval>("Approvals.RequestApproval", As(asks), request);
    if (!asked) return std::unexpected(asked.error());
    v1::ApprovalVerbRequest verb;
    verb.set_id(asked->id());
    auto approved = instance_->Call<v1::Approval>("Approvals.ApproveApproval", As(approves), verb);
    if (!approved) return std::unexpected(approved.error());
    return Do("RejectOrganization", id, reason, As(asks, asked->id()));
  }
  // Every row of every table of the schema as text; bytes are in hexadecimal.
  std::string Dump() {
    std::string dump;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
      for (const char* table : {"organization", "site", "document", "api_key", "member", "register_invitation",
                                "access_token", "used_assertion", "approval", "audit_entry", "idempotency", "event", "task"}) {
        std::string name = table;
        dump += tx.ExecuteText("SELECT coalesce(string_agg(t::text, ' '), '') FROM " + name + " t")[0].Text(0);
      }
    }));
    return dump;
  }
  int64_t Count(const std::string& sql) {
    int64_t count = -1;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) { count = tx.ExecuteText(sql)[0].Int(0); }));
    return count;
  }

  std::string url_;
  std::unique_ptr<postgres::Database> admin_;
  std::unique_ptr<Instance> instance_;
};

}  // namespace millrace::identity
