// SPDX-License-Identifier: Apache-2.0
// Identity's use cases, one a method of the contract.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string_view>

#include "common/blob/blob.h"
#include "common/rpc/channel.h"
#include "common/tasks/tasks.h"
#include "google/api/httpbody.pb.h"
#include "millrace/events/v1/events.pb.h"
#include "services/identity/app/secrets.h"
#include "services/identity/domain/organization.h"
#include "services/identity/store/identity_set.h"
#include "services/identity/store/tokens.h"

namespace millrace::identity {

// The organizations that every instance has, VERIFIED from the start.
inline constexpr std::string_view kOperatorHex = "00000000-0000-7000-8000-000000000001";
inline constexpr std::string_view kRegulatorHex = "00000000-0000-7000-8000-000000000002";
// Due work: an organization that nobody verified.
inline constexpr std::string_view kExpireTask = "expire_organization";

// Due work: an invitation that nobody accepted.
inline constexpr std::string_view kExpireMemberTask = "expire_member";
// Due work: the bytes of a document that was removed.
inline constexpr std::string_view kForgetDocumentTask = "forget_document";
// Due work: an approval that nobody decided on, or nobody used.
inline constexpr std::string_view kExpireApprovalTask = "expire_approval";
// Privileged acts in the services' logs.
inline constexpr std::string_view kActEvent = "act.performed";
// How long a rotated key's secret stays valid beside the new one, unless the caller says otherwise.
inline constexpr std::chrono::hours kRotationOverlap{24};
// A key's last use is written at most this often, and so many keys are remembered for that.
inline constexpr std::chrono::minutes kUseNotedEach{1};
inline constexpr size_t kUsesKept = 10'000;

// Access tokens begin so, and live so long.
inline constexpr std::string_view kTokenPrefix = "at_";
inline constexpr std::chrono::hours kTokenLife{1};

struct IdentityConfig {
  std::string instance_secret;                    // not empty
  std::string operator_secret, regulator_secret;  // empty: no such key
  bool test_clock = false;
  std::string document_folder;
  std::set<std::string> verification_documents;  // names of kinds without which nobody is verified
};

class Identity {
 public:
  Identity(Executor executor, postgres::Writer<IdentitySet>& writer, postgres::Database& worker,
           postgres::Database& reader, std::function<rpc::Channel&(std::string_view service)> channel,
           IdentityConfig config);

  // Makes the two built-in organizations and their keys as the configuration has them, and marks the clock. Safe to
  // repeat; a changed secret replaces the old one.
  Task<Result<void>> MakeBuiltIns();

  Task<Result<v1::CreateOrganizationResponse>> CreateOrganization(CallContext context,
                                                                  v1::CreateOrganizationRequest request);
  Task<Result<v1::Organization>> GetOrganization(CallContext context, v1::GetOrganizationRequest request);
  Task<Result<v1::ListOrganizationsResponse>> ListOrganizations(CallContext context,
                                                                v1::ListOrganizationsRequest request);
  Task<Result<v1::Organization>> UpdateOrganization(CallContext context, v1::UpdateOrganizationRequest request);
  Task<Result<v1::Organization>> OrganizationVerb(domain::Verb verb, CallContext context,
                                                  v1::OrganizationVerbRequest request);
  Task<Result<void>> Expire(tasks::DueTask task);
  Task<Result<v1::Me>> GetMe(CallContext context, v1::GetMeRequest request);

  Task<Result<v1::Site>> CreateSite(CallContext context, v1::CreateSiteRequest request);
  Task<Result<v1::Site>> UpdateSite(CallContext context, v1::UpdateSiteRequest request);
  Task<Result<v1::DeleteSiteResponse>> DeleteSite(CallContext context, v1::DeleteSiteRequest request);
  Task<Result<v1::Site>> GetSite(CallContext context, v1::GetSiteRequest request);
  Task<Result<v1::ListSitesResponse>> ListSites(CallContext context, v1::ListSitesRequest request);

  Task<Result<v1::ApiKey>> CreateApiKey(CallContext context, v1::CreateApiKeyRequest request);
  Task<Result<v1::ApiKey>> IssueOrganizationApiKey(CallContext context, v1::IssueOrganizationApiKeyRequest request);
  Task<Result<v1::ListApiKeysResponse>> ListApiKeys(CallContext context, v1::ListApiKeysRequest request);
  Task<Result<v1::ApiKey>> GetApiKey(CallContext context, v1::GetApiKeyRequest request);
  Task<Result<v1::ApiKey>> RotateApiKey(CallContext context, v1::RotateApiKeyRequest request);
  Task<Result<v1::ApiKey>> RevokeApiKey(CallContext context, v1::RevokeApiKeyRequest request);
  Task<Result<v1::AuthenticateResponse>> Authenticate(CallContext context, v1::AuthenticateRequest request);

  Task<Result<v1::IssueTokenResponse>> IssueToken(CallContext context, v1::IssueTokenRequest request);

  // members.cpp.
  Task<Result<v1::Member>> InviteMember(CallContext context, v1::InviteMemberRequest request);
  Task<Result<v1::AcceptInvitationResponse>> AcceptInvitation(CallContext context, v1::AcceptInvitationRequest request);
  Task<Result<v1::Member>> UpdateMember(CallContext context, v1::UpdateMemberRequest request);
  Task<Result<v1::Member>> RemoveMember(CallContext context, v1::RemoveMemberRequest request);
  Task<Result<void>> ExpireMember(tasks::DueTask task);
  Task<Result<v1::Member>> GetMember(CallContext context, v1::GetMemberRequest request);
  Task<Result<v1::ListMembersResponse>> ListMembers(CallContext context, v1::ListMembersRequest request);

  // documents.cpp.
  Task<Result<v1::Document>> CreateDocument(CallContext context, v1::CreateDocumentRequest request);
  Task<Result<v1::Document>> GetDocument(CallContext context, v1::GetDocumentRequest request);
  Task<Result<v1::ListDocumentsResponse>> ListDocuments(CallContext context, v1::ListDocumentsRequest request);
  Task<Result<google::api::HttpBody>> GetDocumentContent(CallContext context, v1::GetDocumentContentRequest request);
  Task<Result<v1::DeleteDocumentResponse>> DeleteDocument(CallContext context, v1::DeleteDocumentRequest request);
  Task<Result<void>> ForgetDocument(tasks::DueTask task);
  // approvals.cpp.
  Task<Result<v1::Approval>> RequestApproval(CallContext context, v1::RequestApprovalRequest request);
  Task<Result<v1::Approval>> ApprovalVerb(domain::ApprovalVerb verb, CallContext context,
                                          v1::ApprovalVerbRequest request);
  Task<Result<void>> ExpireApproval(tasks::DueTask task);
  Task<Result<v1::CheckApprovalResponse>> CheckApproval(CallContext context, v1::CheckApprovalRequest request);
  Task<Result<v1::Approval>> GetApproval(CallContext context, v1::GetApprovalRequest request);
  Task<Result<v1::ListApprovalsResponse>> ListApprovals(CallContext context, v1::ListApprovalsRequest request);

  // audit.cpp. What an event of any service adds to the audit log.
  static void NeedForAudit(IdentitySet& set, const events::v1::Event& event);
  static Result<void> ApplyToAudit(IdentitySet& set, const events::v1::Event& event);
  Task<Result<v1::ListAuditLogResponse>> ListAuditLog(CallContext context, v1::ListAuditLogRequest request);
  Task<Result<v1::AuditHead>> GetAuditHead(CallContext context, v1::GetAuditHeadRequest request);
  Task<Result<v1::VerifyAuditLogResponse>> VerifyAuditLog(CallContext context, v1::VerifyAuditLogRequest request);

  Task<Result<v1::Clock>> GetClock(CallContext context, v1::GetClockRequest request);
  Task<Result<v1::AdvanceClockResponse>> AdvanceClock(CallContext context, v1::AdvanceClockRequest request);

 private:
  Task<Result<v1::ApiKey>> MakeKey(const char* method, CallContext context, Uuid owner, v1::ApiKey asked);
  // An act that was done under an approval uses it up.
  static void MarkUsed(IdentitySet& set, const events::v1::Act& act, Time time);
  Task<Result<v1::Approval>> RunApproval(CallContext context, postgres::Command<IdentitySet> command);
  Task<Result<v1::Member>> RunMember(CallContext context, postgres::Command<IdentitySet> command);
  Task<Result<v1::Organization>> RunOrganization(CallContext context, postgres::Command<IdentitySet> command);
  Task<Result<v1::Site>> RunSite(CallContext context, postgres::Command<IdentitySet> command);
  // Runs a command and notes in the reply whether its outcome is a kept one.
  Task<Result<std::string>> Run(CallContext context, postgres::Command<IdentitySet> command);
  KeyRow NewKey(const Uuid& id, const Uuid& organization, std::string display_name, std::vector<std::string> roles,
                Time now) const;

  // tokens.cpp. Errors: UNAUTHENTICATED.
  Task<Result<TokenClient>> ClientBySecret(Uuid id, std::string secret);
  Task<Result<TokenClient>> ClientByAssertion(v1::IssueTokenRequest request);

  // documents.cpp. Puts the bytes into the content store, if they are not there.
  Task<Result<void>> KeepContent(std::shared_ptr<std::string> bytes);
  // After the command: keeps content that a new row names, and forgets it otherwise.
  Task<Result<void>> SettleContent(std::shared_ptr<std::string> bytes, std::string sha256, bool named);
  // Removes content that no row names. Safe to repeat.
  Task<Result<void>> ForgetContent(std::string sha256);
  // Whether an organization has sent all that it is verified by. Errors: DOCUMENTS_MISSING.
  Result<void> CheckDocuments(const IdentitySet& set, const Uuid& organization) const;

  // Notes the use of a key, off the request's path.
  void Used(const Uuid& key);
  Task<void> WriteUse(Uuid key);

  // clock.cpp: moves step by step to every due time until `to`; the number of tasks that ran.
  Task<Result<int>> FireUntil(Time to, Time deadline);
  Task<Result<void>> MoveClock(Time to);
  Task<Result<int>> FireEverywhere();
  // Waits until every service has applied what the others logged.
  Task<Result<void>> Settle(Time deadline);

  Executor executor_;
  postgres::Writer<IdentitySet>& writer_;
  postgres::Database& worker_;
  postgres::Database& reader_;
  std::function<rpc::Channel&(std::string_view)> channel_;
  IdentityConfig config_;
  Secrets secrets_;
  blob::Store documents_;
  std::set<std::string> nouns_;  // of scopes
  std::map<Uuid, std::chrono::steady_clock::time_point> used_;
  bool advancing_ = false;
};

}  // namespace millrace::identity
