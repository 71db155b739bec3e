// SPDX-License-Identifier: Apache-2.0
// What other services' logs mean for credit.
#include <algorithm>

#include "millrace/identity/v1/identity.pb.h"
#include "millrace/operations/v1/operations.pb.h"
#include "services/credit/app/judge.h"
#include "services/credit/app/times.h"
#include "services/credit/domain/outcomes.h"

namespace millrace::credit {
namespace {

using domain::Dimension;
using domain::Fact;
using domain::Role;
using operations::v1::Booking;
using operations::v1::WorkOrder;

constexpr std::string_view kReferenceCurrency = "CNY";
constexpr std::string_view kBookingEvents[] = {"booking.confirmed", "booking.closed", "booking.canceled",
                                               "booking.no_show"};

bool IsBookingEvent(const events::v1::Event& event) {
  return event.source() == "operations" &&
         std::ranges::find(kBookingEvents, std::string_view(event.type())) != std::end(kBookingEvents);
}
bool IsRejection(const events::v1::Event& event) {
  return event.source() == "operations" && event.type() == "work_order.rejected";
}
bool IsOrganizationEvent(const events::v1::Event& event) {
  return event.source() == "identity" && event.type().starts_with("organization.");
}

template <class Message>
Result<Message> Read(const events::v1::Event& event) {
  Message message;
  if (message.ParseFromString(event.payload())) return message;
  return Fail(Error::Internal(event.type() + " " + event.id() + " holds no " + message.GetTypeName()));
}

void NeedParties(CreditSet& set, const std::string& booking, const std::string& buyer, const std::string& provider) {
  set.bookings.insert(IdOrNil(booking));
  set.organizations.insert(IdOrNil(buyer));
  set.organizations.insert(IdOrNil(provider));
}

// Makes facts of one event about one trade.
class Facts {
 public:
  Facts(CreditSet& set, const Trade& trade, const events::v1::Event& event)
      : set_(set), trade_(trade), cause_(IdOrNil(event.id())), time_(TakeTime(event.time())) {}

  Facts& Add(Role role, Dimension dimension, int good, bool settled) {
    Fact fact;
    fact.organization = role == Role::kProvider ? trade_.provider : trade_.buyer;
    fact.counterparty = role == Role::kProvider ? trade_.buyer : trade_.provider;
    fact.role = role;
    fact.dimension = dimension;
    fact.good = good;
    fact.booking = trade_.booking;
    fact.cause = cause_;
    fact.settled = settled;
    fact.time = time_;
    int others = domain::PairBookings(set_.facts[{fact.organization, role}], fact.counterparty, trade_.booking, time_);
    fact.weight = domain::Weight(trade_.value, trade_.currency == kReferenceCurrency, others, false);
    facts_.push_back(fact);
    return *this;
  }
  void Save() { AddFacts(set_, std::move(facts_)); }

 private:
  CreditSet& set_;
  const Trade& trade_;
  Uuid cause_;
  Time time_;
  std::vector<Fact> facts_;
};

Trade& TradeOf(CreditSet& set, const Booking& booking) {
  auto [at, added] = set.trades.try_emplace(IdOrNil(booking.id()));
  Trade& trade = at->second;
  if (added) {
    trade.booking = at->first;
    trade.buyer = IdOrNil(booking.buyer_id());
    trade.provider = IdOrNil(booking.provider_id());
    trade.value = booking.price().total().amount();
    trade.currency = booking.price().total().currency();
  }
  return trade;
}

void Close(CreditSet& set, const Booking& booking, const events::v1::Event& event) {
  Trade& trade = TradeOf(set, booking);
  if (trade.close_time) return;
  trade.close_time = TakeTime(event.time());
  if (trade.state == RowState::kStored) trade.state = RowState::kChanged;
  Facts facts(set, trade, event);
  if (booking.has_check_in_time()) {
    Duration late = TakeTime(booking.check_in_time()) - TakeTime(booking.window().start_time());
    facts.Add(Role::kProvider, Dimension::kOnTime, domain::GoodOfHandover(late), true);
  }
  facts.Add(Role::kProvider, Dimension::kQuality, domain::kGood, true)
      .Add(Role::kProvider, Dimension::kCancellation, domain::kGood, true)
      .Add(Role::kBuyer, Dimension::kNoShow, domain::kGood, true)
      .Add(Role::kBuyer, Dimension::kCancellation, domain::kGood, true)
      .Add(Role::kBuyer, Dimension::kAcceptance, booking.deemed_accepted() ? domain::kHalfGood : domain::kGood, true)
      .Save();
}

// Only a confirmed booking binds; whoever called it off answers for it.
void Cancel(CreditSet& set, const Booking& booking, const events::v1::Event& event) {
  auto found = set.trades.find(IdOrNil(booking.id()));
  if (found == set.trades.end()) return;
  bool provider = booking.canceled_by() == "provider";
  if (!provider && booking.canceled_by() != "buyer") return;
  Duration notice = TakeTime(booking.window().start_time()) - TakeTime(event.time());
  Facts facts(set, found->second, event);
  facts
      .Add(provider ? Role::kProvider : Role::kBuyer, Dimension::kCancellation, domain::GoodOfCancellation(notice),
           false)
      .Save();
}

Result<void> ApplyBooking(CreditSet& set, const events::v1::Event& event) {
  MILLRACE_TRY(Booking booking, Read<Booking>(event));
  if (IdOrNil(booking.buyer_id()).IsNil() || IdOrNil(booking.provider_id()).IsNil()) {
    return Fail(Error::Internal(event.id() + " names no parties"));
  }
  if (event.type() == "booking.confirmed") {
    TradeOf(set, booking);
  } else if (event.type() == "booking.closed") {
    Close(set, booking, event);
  } else if (event.type() == "booking.canceled") {
    Cancel(set, booking, event);
  } else {
    Facts facts(set, TradeOf(set, booking), event);
    facts.Add(Role::kBuyer, Dimension::kNoShow, 0, false).Save();
  }
  return {};
}

Result<void> ApplyRejection(CreditSet& set, const events::v1::Event& event) {
  MILLRACE_TRY(WorkOrder order, Read<WorkOrder>(event));
  auto found = set.trades.find(IdOrNil(order.booking_id()));
  if (found == set.trades.end()) return {};
  Facts facts(set, found->second, event);
  facts.Add(Role::kProvider, Dimension::kQuality, 0, false).Save();
  return {};
}

Result<void> ApplyOrganization(CreditSet& set, const events::v1::Event& event) {
  MILLRACE_TRY(identity::v1::Organization organization, Read<identity::v1::Organization>(event));
  std::optional<bool> suspended;
  if (event.type() == "organization.suspended") suspended = true;
  if (event.type() == "organization.reinstated") suspended = false;
  Meet(set, IdOrNil(organization.id()), suspended);
  return {};
}

}  // namespace

void NeedOf(CreditSet& set, const events::v1::Event& event) {
  if (IsBookingEvent(event)) {
    Booking booking;
    if (booking.ParseFromString(event.payload()))
      NeedParties(set, booking.id(), booking.buyer_id(), booking.provider_id());
  } else if (IsRejection(event)) {
    WorkOrder order;
    if (order.ParseFromString(event.payload()))
      NeedParties(set, order.booking_id(), order.buyer_id(), order.provider_id());
  } else if (IsOrganizationEvent(event)) {
    identity::v1::Organization organization;
    if (organization.ParseFromString(event.payload())) set.organizations.insert(IdOrNil(organization.id()));
  }
}

Result<void> Apply(CreditSet& set, const events::v1::Event& event) {
  if (IsBookingEvent(event)) return ApplyBooking(set, event);
  if (IsRejection(event)) return ApplyRejection(set, event);
  if (IsOrganizationEvent(event)) return ApplyOrganization(set, event);
  return {};
}

}  // namespace millrace::credit
