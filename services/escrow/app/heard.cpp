// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/app/heard.h"

#include "millrace/credit/v1/risk_tier.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "services/escrow/app/messages.h"

namespace millrace::escrow {
namespace {

bool IsOrganizationEvent(const events::v1::Event& event) {
  return event.payload_type() == identity::v1::Organization::descriptor()->full_name();
}

Result<void> ApplyTier(EscrowSet& set, const events::v1::Event& event) {
  credit::v1::RiskTier tier;
  if (!tier.ParseFromString(event.payload())) return Fail(Error::Internal("a RiskTier that can't be read"));
  if (tier.role() != credit::v1::PROVIDER) return {};
  PartyNews news;
  news.organization = IdOrNil(tier.organization_id());
  news.tier = tier.tier();
  news.version = tier.version();
  set.news.push_back(std::move(news));
  return {};
}

}  // namespace

void NeedForEvent(EscrowSet& set, const events::v1::Event& event) {
  if (event.type() != "organization.reinstated") return;
  set.waiting_providers.insert(IdOrNil(event.aggregate()));
}

Result<void> ApplyEvent(EscrowSet& set, const events::v1::Event& event) {
  if (event.type() == "risk_tier.changed") return ApplyTier(set, event);
  if (!IsOrganizationEvent(event)) return {};
  identity::v1::Organization organization;
  if (!organization.ParseFromString(event.payload()))
    return Fail(Error::Internal("an Organization that can't be read"));
  PartyNews news;
  news.organization = IdOrNil(organization.id());
  news.name = organization.display_name();
  news.suspended = organization.state() == identity::v1::Organization::SUSPENDED;
  news.version = event.aggregate_version();
  set.new_references[news.organization] = ReferenceOf(news.organization);
  set.news.push_back(std::move(news));
  if (event.type() == "organization.reinstated") {
    // What waited for this goes out now; the list is the whole batch's, so it is taken once.
    for (const Uuid& escrow : set.waiting_pay_outs) {
      set.tasks.push_back({PayOutTask(escrow), "escrow.pay_out", escrow, set.now, {}});
    }
    set.waiting_pay_outs.clear();
  }
  return {};
}

}  // namespace millrace::escrow
