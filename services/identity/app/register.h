// SPDX-License-Identifier: Apache-2.0
// What the operator loads, and who registers by it.
#pragma once

#include "common/base/call_context.h"
#include "common/tasks/tasks.h"
#include "services/identity/app/secrets.h"
#include "services/identity/domain/table.h"
#include "services/identity/store/identity_set.h"

namespace millrace::identity {

// Due work: an invitation from the register that nobody accepted.
inline constexpr std::string_view kExpireInvitationTask = "expire_register_invitation";
// Most rows of one file.
inline constexpr size_t kRegisterRows = 5'000;

// The use cases of the contract's service Register, one a method.
class ParkRegister {
 public:
  ParkRegister(postgres::Writer<IdentitySet>& writer, postgres::Database& worker, postgres::Database& reader,
               Secrets secrets)
      : writer_(writer), worker_(worker), reader_(reader), secrets_(std::move(secrets)) {}

  // industry_codes.cpp
  Task<Result<v1::ImportIndustryCodesResponse>> ImportIndustryCodes(CallContext context,
                                                                    v1::ImportIndustryCodesRequest request);
  Task<Result<v1::ListIndustryCodesResponse>> ListIndustryCodes(CallContext context,
                                                                v1::ListIndustryCodesRequest request);

  // invitations.cpp
  Task<Result<v1::ImportRegisterInvitationsResponse>> ImportRegisterInvitations(
      CallContext context, v1::ImportRegisterInvitationsRequest request);
  Task<Result<v1::RegisterInvitation>> GetRegisterInvitation(CallContext context,
                                                             v1::GetRegisterInvitationRequest request);
  Task<Result<v1::ListRegisterInvitationsResponse>> ListRegisterInvitations(CallContext context,
                                                                            v1::ListRegisterInvitationsRequest request);
  Task<Result<v1::RegisterInvitation>> WithdrawRegisterInvitation(CallContext context,
                                                                  v1::WithdrawRegisterInvitationRequest request);
  Task<Result<void>> ExpireInvitation(tasks::DueTask task);

 private:
  // The rows of a file that was sent. Errors: UNSUPPORTED_MEDIA_TYPE, and those of ReadTable.
  Task<Result<domain::Table>> ReadFile(google::api::HttpBody file, std::span<const domain::Column> columns);
  // Runs a command and notes in the reply whether its outcome is a kept one.
  Task<Result<std::string>> Run(CallContext context, postgres::Command<IdentitySet> command);

  postgres::Writer<IdentitySet>& writer_;
  postgres::Database& worker_;
  postgres::Database& reader_;
  Secrets secrets_;
};

v1::RowFinding ToMessage(const domain::Finding& finding, Language language);

// What a registration, or a change of an organization, looks at: WantIndustry for its `need`, this for its `decide`.
// Where the division of a code has loaded codes, one of three or four digits must be among them.
// Errors: UNKNOWN_INDUSTRY_CODE.
Result<void> CheckLoadedIndustry(const IdentitySet& set, std::string_view code, std::string_view pointer);

// The open invitation of an enterprise; nullptr if there is none.
InvitationRow* OpenInvitation(IdentitySet& set, std::string_view uscc);
// The one that `code` opens; nullptr without a code. Errors: NOT_FOUND, whatever is wrong with it.
Result<InvitationRow*> InvitationBy(IdentitySet& set, std::string_view uscc, std::string_view code);
// Closes an enterprise's invitation, as it has registered: ACCEPTED if it used the code, else WITHDRAWN.
void CloseInvitation(IdentitySet& set, InvitationRow& row, const Uuid& organization, bool used);

}  // namespace millrace::identity
