// SPDX-License-Identifier: Apache-2.0
#include "services/identity/module.h"

#include "common/base/words.h"
#include "services/identity/app/identity.h"
#include "services/identity/app/register.h"

namespace millrace {
std::span<const EmbeddedFile> IdentityMigrations();
}

namespace millrace::identity {
namespace {

IdentityConfig Config(const runtime::Settings& settings) {
  IdentityConfig config;
  config.instance_secret = settings.Get("internal_token");
  config.operator_secret = settings.Get("operator_key");
  config.regulator_secret = settings.Get("regulator_key");
  config.test_clock = settings.Is("test_clock");
  config.document_folder = settings.Get("data_folder") + "/documents";
  for (std::string& kind : SplitWords(settings.Get("verification_documents")))
    config.verification_documents.insert(std::move(kind));
  return config;
}

// Every service with a log, this one too: each may hold privileged acts.
constexpr const char* kSources[] = {"identity", "listing", "matching",     "operations",
                                    "escrow",   "credit",  "notifications"};

class IdentityModule : public runtime::Module {
 public:
  explicit IdentityModule(runtime::Environment& environment)
      : core_("identity", environment),
        writer_(environment.executor, core_.worker(), store_),
        identity_(environment.executor, writer_, core_.worker(), core_.reader(), environment.channel,
                  Config(*environment.settings)),
        register_(writer_, core_.worker(), core_.reader(),
                  Secrets(environment.settings->Get("internal_token"), environment.settings->Is("test_clock"))) {
    writer_.OnCommit([this] { core_.Committed(); });
    for (const char* source : kSources) core_.Consume(source, audit_);
    Register();
  }

  rpc::Service& service() override { return core_.service(); }

  Task<Result<void>> Start() override {
    Result<void> made = co_await identity_.MakeBuiltIns();
    if (made) core_.Start();
    co_return std::move(made);
  }

  void Stop() override { core_.Stop(); }

 private:
  template <class Request, class Response>
  void On(const char* method, Task<Result<Response>> (Identity::*use_case)(CallContext, Request),
          const std::string& service = "Identity.") {
    core_.service().On<Request, Response>("millrace.identity.v1." + service + method,
                                          [this, use_case](CallContext context, Request request) {
                                            return (identity_.*use_case)(std::move(context), std::move(request));
                                          });
  }
  template <class Request, class Response>
  void On(const char* method, Task<Result<Response>> (ParkRegister::*use_case)(CallContext, Request)) {
    core_.service().On<Request, Response>(std::string("millrace.identity.v1.Register.") + method,
                                          [this, use_case](CallContext context, Request request) {
                                            return (register_.*use_case)(std::move(context), std::move(request));
                                          });
  }
  void OnVerb(const char* method, domain::Verb verb) {
    core_.service().On<v1::OrganizationVerbRequest, v1::Organization>(
        std::string("millrace.identity.v1.Identity.") + method,
        [this, verb](CallContext context, v1::OrganizationVerbRequest request) {
          return identity_.OrganizationVerb(verb, std::move(context), std::move(request));
        });
  }
  void OnVerb(const char* method, domain::ApprovalVerb verb) {
    core_.service().On<v1::ApprovalVerbRequest, v1::Approval>(
        std::string("millrace.identity.v1.Approvals.") + method,
        [this, verb](CallContext context, v1::ApprovalVerbRequest request) {
          return identity_.ApprovalVerb(verb, std::move(context), std::move(request));
        });
  }
  void Register() {
    On("CreateOrganization", &Identity::CreateOrganization);
    On("GetOrganization", &Identity::GetOrganization);
    On("ListOrganizations", &Identity::ListOrganizations);
    On("UpdateOrganization", &Identity::UpdateOrganization);
    OnVerb("VerifyOrganization", domain::Verb::kVerify);
    OnVerb("RejectOrganization", domain::Verb::kReject);
    OnVerb("SuspendOrganization", domain::Verb::kSuspend);
    OnVerb("ReinstateOrganization", domain::Verb::kReinstate);
    On("CreateSite", &Identity::CreateSite);
    On("UpdateSite", &Identity::UpdateSite);
    On("DeleteSite", &Identity::DeleteSite);
    On("GetSite", &Identity::GetSite);
    On("ListSites", &Identity::ListSites);
    On("CreateApiKey", &Identity::CreateApiKey);
    On("IssueOrganizationApiKey", &Identity::IssueOrganizationApiKey);
    On("ListApiKeys", &Identity::ListApiKeys);
    On("GetApiKey", &Identity::GetApiKey);
    On("RotateApiKey", &Identity::RotateApiKey);
    On("RevokeApiKey", &Identity::RevokeApiKey);
    On("GetMe", &Identity::GetMe);
    On("Authenticate", &Identity::Authenticate);
    On("IssueToken", &Identity::IssueToken);
    On("InviteMember", &Identity::InviteMember, "Members.");
    On("AcceptInvitation", &Identity::AcceptInvitation, "Members.");
    On("GetMember", &Identity::GetMember, "Members.");
    On("ListMembers", &Identity::ListMembers, "Members.");
    On("UpdateMember", &Identity::UpdateMember, "Members.");
    On("RemoveMember", &Identity::RemoveMember, "Members.");
    On("CreateDocument", &Identity::CreateDocument, "Documents.");
    On("GetDocument", &Identity::GetDocument, "Documents.");
    On("ListDocuments", &Identity::ListDocuments, "Documents.");
    On("GetDocumentContent", &Identity::GetDocumentContent, "Documents.");
    On("DeleteDocument", &Identity::DeleteDocument, "Documents.");
    On("ImportIndustryCodes", &ParkRegister::ImportIndustryCodes);
    On("ListIndustryCodes", &ParkRegister::ListIndustryCodes);
    On("ImportRegisterInvitations", &ParkRegister::ImportRegisterInvitations);
    On("GetRegisterInvitation", &ParkRegister::GetRegisterInvitation);
    On("ListRegisterInvitations", &ParkRegister::ListRegisterInvitations);
    On("WithdrawRegisterInvitation", &ParkRegister::WithdrawRegisterInvitation);
    On("RequestApproval", &Identity::RequestApproval, "Approvals.");
    On("GetApproval", &Identity::GetApproval, "Approvals.");
    On("ListApprovals", &Identity::ListApprovals, "Approvals.");
    OnVerb("ApproveApproval", domain::ApprovalVerb::kApprove);
    OnVerb("DeclineApproval", domain::ApprovalVerb::kDecline);
    OnVerb("WithdrawApproval", domain::ApprovalVerb::kWithdraw);
    On("CheckApproval", &Identity::CheckApproval, "Approvals.");
    On("ListAuditLog", &Identity::ListAuditLog, "Audit.");
    On("GetAuditHead", &Identity::GetAuditHead, "Audit.");
    On("VerifyAuditLog", &Identity::VerifyAuditLog, "Audit.");
    On("GetClock", &Identity::GetClock);
    On("AdvanceClock", &Identity::AdvanceClock);
    core_.tasks().Handle(std::string(kExpireMemberTask),
                         [this](tasks::DueTask task) { return identity_.ExpireMember(std::move(task)); });
    core_.tasks().Handle(std::string(kForgetDocumentTask),
                         [this](tasks::DueTask task) { return identity_.ForgetDocument(std::move(task)); });
    core_.tasks().Handle(std::string(kExpireInvitationTask),
                         [this](tasks::DueTask task) { return register_.ExpireInvitation(std::move(task)); });
    core_.tasks().Handle(std::string(kExpireApprovalTask),
                         [this](tasks::DueTask task) { return identity_.ExpireApproval(std::move(task)); });
    core_.tasks().Handle(std::string(kExpireTask),
                         [this](tasks::DueTask task) { return identity_.Expire(std::move(task)); });
  }

  runtime::ServiceCore core_;
  IdentityStore store_;
  postgres::Writer<IdentitySet> writer_;
  Identity identity_;
  ParkRegister register_;
  events::WriterSink<IdentitySet> audit_{core_.worker(), writer_, &Identity::NeedForAudit, &Identity::ApplyToAudit};
};

}  // namespace

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment) {
  return std::make_unique<IdentityModule>(environment);
}

std::span<const EmbeddedFile> Migrations() { return IdentityMigrations(); }

}  // namespace millrace::identity
