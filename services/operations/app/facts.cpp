// SPDX-License-Identifier: Apache-2.0
// What other services' logs change here: listings, money that came, tiers, suspensions.
#include "millrace/credit/v1/risk_tier.pb.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "services/operations/app/operations.h"
#include "services/operations/store/mapping.h"

namespace millrace::operations {
namespace {

Result<void> Unreadable(const events::v1::Event& event) {
  return Fail(Error::Internal("unreadable payload " + event.payload_type() + " of " + event.id()));
}

// "org_…/buyer" → the organization.
Uuid OrganizationOf(const std::string& aggregate) { return IdOrNil(aggregate.substr(0, aggregate.find('/'))); }

Result<void> ApplyEscrow(Set& set, const events::v1::Event& event) {
  escrow::v1::Escrow escrow;
  if (!escrow.ParseFromString(event.payload())) return Unreadable(event);
  TradeRow* row = set.Find(IdOrNil(escrow.booking_id()));
  if (!row || row->trade.booking.state != BookingState::kHeld) return {};
  std::optional<BookingEvent> moves;
  if (event.type() == "escrow.held") moves = BookingEvent::kFund;
  if (event.type() == "escrow.voided" || event.type() == "escrow.expired") moves = BookingEvent::kExpire;
  if (!moves) return {};
  MILLRACE_TRY(Decision decision, ActOnBooking(row->trade, *moves, kSystem, "", set.now));
  set.Commit(*row, std::move(decision));
  return {};
}

Result<void> ApplyTier(Set& set, const events::v1::Event& event) {
  credit::v1::RiskTier tier;
  if (!tier.ParseFromString(event.payload())) return Unreadable(event);
  if (tier.role() != credit::v1::BUYER) return {};
  OrganizationRow& row = set.organizations[IdOrNil(tier.organization_id())];
  if (tier.version() < row.tier_version || tier.tier() < 1 || tier.tier() > 4) return {};
  row.tier = tier.tier();
  row.tier_version = tier.version();
  row.dirty = true;
  return {};
}

Result<void> ApplyOrganization(Set& set, const events::v1::Event& event) {
  identity::v1::Organization organization;
  if (!organization.ParseFromString(event.payload())) return Unreadable(event);
  OrganizationRow& row = set.organizations[IdOrNil(organization.id())];
  row.suspended = organization.state() == identity::v1::Organization::SUSPENDED;
  row.dirty = true;
  return {};
}

}  // namespace

void LearnBookable(Set& set, const std::string& payload) {
  listing::v1::Bookable message;
  if (!message.ParseFromString(payload)) return;
  BookableRow row{BookableOf(message), payload, true};
  auto known = set.bookables.find(row.value.listing);
  if (known != set.bookables.end() && known->second.value.version > row.value.version) return;
  set.bookables[row.value.listing] = std::move(row);
}

void NeedFor(Set& set, const events::v1::Event& event) {
  if (event.source() == "listing" && event.payload_type() == "millrace.listing.v1.Bookable") {
    set.want_bookables.insert(IdOrNil(event.aggregate()));
  } else if (event.source() == "escrow" && event.payload_type() == "millrace.escrow.v1.Escrow") {
    escrow::v1::Escrow escrow;
    if (escrow.ParseFromString(event.payload())) set.want_bookings.insert(IdOrNil(escrow.booking_id()));
  } else if (event.type() == "risk_tier.changed" || event.payload_type() == "millrace.identity.v1.Organization") {
    set.want_organizations.insert(OrganizationOf(event.aggregate()));
  }
}

Result<void> ApplyFact(Set& set, const events::v1::Event& event) {
  if (event.source() == "listing" && event.payload_type() == "millrace.listing.v1.Bookable") {
    LearnBookable(set, event.payload());
    return {};
  }
  if (event.source() == "escrow" && event.payload_type() == "millrace.escrow.v1.Escrow") return ApplyEscrow(set, event);
  if (event.source() == "credit" && event.type() == "risk_tier.changed") return ApplyTier(set, event);
  if (event.source() == "identity" && event.payload_type() == "millrace.identity.v1.Organization") {
    return ApplyOrganization(set, event);
  }
  return {};
}

}  // namespace millrace::operations
