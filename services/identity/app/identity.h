// SPDX-License-Identifier: Apache-2.0
// Identity's use cases, one a method of the contract.
#pragma once

#include <functional>
#include <string_view>

#include "common/rpc/channel.h"
#include "common/tasks/tasks.h"
#include "services/identity/app/secrets.h"
#include "services/identity/domain/organization.h"
#include "services/identity/store/identity_set.h"

namespace millrace::identity {

// The organizations that every instance has, VERIFIED from the start.
inline constexpr std::string_view kOperatorHex = "00000000-0000-7000-8000-000000000001";
inline constexpr std::string_view kRegulatorHex = "00000000-0000-7000-8000-000000000002";
// Due work: an organization that nobody verified.
inline constexpr std::string_view kExpireTask = "expire_organization";

struct IdentityConfig {
  std::string instance_secret;                    // not empty
  std::string operator_secret, regulator_secret;  // empty: no such key
  bool test_clock = false;
};

class Identity {
 public:
  Identity(postgres::Writer<IdentitySet>& writer, postgres::Database& worker, postgres::Database& reader,
           std::function<rpc::Channel&(std::string_view service)> channel, IdentityConfig config);

  // Makes the two built-in organizations and their keys as the configuration has them, and marks the clock. Safe to
  // repeat; a changed secret replaces the old one.
  Task<Result<void>> MakeBuiltIns();

  Task<Result<v1::CreateOrganizationResponse>> CreateOrganization(CallContext context,
                                                                  v1::CreateOrganizationRequest request);
  Task<Result<v1::Organization>> GetOrganization(CallContext context, v1::GetOrganizationRequest request);
  Task<Result<v1::ListOrganizationsResponse>> ListOrganizations(CallContext context,
                                                                v1::ListOrganizationsRequest request);
  Task<Result<v1::Organization>> OrganizationVerb(domain::Verb verb, CallContext context,
                                                  v1::OrganizationVerbRequest request);
  Task<Result<void>> Expire(tasks::DueTask task);
  Task<Result<v1::Me>> GetMe(CallContext context, v1::GetMeRequest request);

  Task<Result<v1::Site>> CreateSite(CallContext context, v1::CreateSiteRequest request);
  Task<Result<v1::Site>> GetSite(CallContext context, v1::GetSiteRequest request);
  Task<Result<v1::ListSitesResponse>> ListSites(CallContext context, v1::ListSitesRequest request);

  Task<Result<v1::ApiKey>> CreateApiKey(CallContext context, v1::CreateApiKeyRequest request);
  Task<Result<v1::ListApiKeysResponse>> ListApiKeys(CallContext context, v1::ListApiKeysRequest request);
  Task<Result<v1::ApiKey>> RevokeApiKey(CallContext context, v1::RevokeApiKeyRequest request);
  Task<Result<v1::AuthenticateResponse>> Authenticate(CallContext context, v1::AuthenticateRequest request);

  Task<Result<v1::Clock>> GetClock(CallContext context, v1::GetClockRequest request);
  Task<Result<v1::AdvanceClockResponse>> AdvanceClock(CallContext context, v1::AdvanceClockRequest request);

 private:
  // Runs a command and notes in the reply whether its outcome is a kept one.
  Task<Result<std::string>> Run(CallContext context, postgres::Command<IdentitySet> command);
  KeyRow NewKey(const Uuid& id, const Uuid& organization, std::string display_name, std::vector<std::string> roles,
                Time now) const;

  // clock.cpp: moves step by step to every due time until `to`; the number of tasks that ran.
  Task<Result<int>> FireUntil(Time to, Time deadline);
  Task<Result<void>> MoveClock(Time to);
  Task<Result<int>> FireEverywhere();
  // Waits until every service has applied what the others logged.
  Task<Result<void>> Settle(Time deadline);

  postgres::Writer<IdentitySet>& writer_;
  postgres::Database& worker_;
  postgres::Database& reader_;
  std::function<rpc::Channel&(std::string_view)> channel_;
  IdentityConfig config_;
  Secrets secrets_;
  bool advancing_ = false;
};

}  // namespace millrace::identity
