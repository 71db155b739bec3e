// SPDX-License-Identifier: Apache-2.0
#include "services/operations/domain/capacity.h"

#include <algorithm>

#include "common/base/limits.h"
#include "common/base/money.h"

namespace millrace::operations {
namespace {

// A JSON array of windows; times hold nothing that needs escaping.
std::string WindowsJson(const std::vector<Interval>& windows) {
  std::string json = "[";
  for (const Interval& window : windows) {
    if (json.size() > 1) json += ",";
    json += "{\"start_time\":\"" + FormatTime(window.start) + "\",\"end_time\":\"" + FormatTime(window.end) + "\"}";
  }
  return json + "]";
}

Error WithAlternatives(Error error, const Bookable& bookable, int64_t capacity, const std::vector<calendar::Busy>& busy,
                       Interval window, int64_t units, Time now) {
  auto windows = calendar::Alternatives(bookable.rules, capacity, busy, window, units, now, limits::kAlternatives);
  return std::move(error).With("alternatives", WindowsJson(windows));
}

}  // namespace

std::string_view StateName(Bookable::State state) {
  constexpr std::string_view kNames[] = {"DRAFT", "IN_REVIEW", "PUBLISHED", "PAUSED", "RETIRED", "BLOCKED"};
  return kNames[static_cast<int>(state)];
}

std::vector<calendar::Busy> BusyOf(const Uuid& resource, const Surroundings& around, const Taken& taken) {
  std::vector<calendar::Busy> busy;
  auto add = [&](const Uuid& where, bool own_resource) {
    auto legs = taken.find(where);
    if (legs == taken.end()) return;
    for (const Leg& leg : legs->second) {
      if (leg.released) continue;
      if (own_resource) {
        busy.push_back({leg.blocked, leg.parent_leg ? around.capacity : leg.units});
      } else if (!leg.parent_leg) {
        busy.push_back({leg.blocked, around.capacity});
      }
    }
  };
  add(resource, true);
  for (const Uuid& line : around.ancestors) add(line, false);
  for (const Uuid& machine : around.descendants) add(machine, false);
  return busy;
}

bool IsFree(const std::vector<calendar::Busy>& busy, int64_t capacity, Interval blocked, int64_t units) {
  return calendar::PeakUse(busy, blocked) + units <= capacity;
}

std::vector<Leg> MakeLegs(const Uuid& resource, const Surroundings& around, Interval window, Interval blocked,
                          int64_t units) {
  std::vector<Leg> legs;
  legs.push_back({Uuid(), resource, window, blocked, units, false, around.capacity == 1, std::nullopt});
  for (const auto* others : {&around.ancestors, &around.descendants}) {
    for (const Uuid& other : *others) {
      if (legs.size() >= static_cast<size_t>(limits::kReservationsPerBooking)) return legs;
      legs.push_back({Uuid(), other, window, blocked, 1, true, false, std::nullopt});
    }
  }
  return legs;
}

Result<Offer> CheckWish(const Wish& wish, const Bookable& bookable, const Surroundings& around, const Taken& taken,
                        const Buyer& buyer, Time now) {
  using State = Bookable::State;
  if (buyer.suspended) return Fail(ErrorCode::kOrganizationNotVerified);
  const bool own = bookable.provider == wish.buyer;
  // Until it is published, a listing is its owner's alone to see.
  if (!own && (bookable.state == State::kDraft || bookable.state == State::kInReview))
    return Fail(Error::At("#/booking/listing_id", ErrorCode::kNotFound));
  if (bookable.state != State::kPublished) {
    return Fail(ErrorCode::kListingNotBookable, {{"state", std::string(StateName(bookable.state))}});
  }
  if (wish.listing_version != 0 && wish.listing_version != bookable.version) {
    return Fail(ErrorCode::kListingChanged, {{"version", std::to_string(bookable.version)}});
  }
  if (own) return Fail(ErrorCode::kOwnResource);

  if (wish.window.end > now + limits::kHorizon) {
    return Fail(Error::At("#/booking/window/end_time", ErrorCode::kOutOfRange,
                          {{"min", FormatTime(now)}, {"max", FormatTime(now + limits::kHorizon)}}));
  }
  auto busy = BusyOf(bookable.resource, around, taken);
  if (auto open = calendar::CheckWindow(bookable.rules, wish.window, now); !open) {
    Error error = Error::At("#/booking/window", open.error().code, open.error().params);
    if (error.code != ErrorCode::kOutsideCalendar) return Fail(std::move(error));
    return Fail(WithAlternatives(std::move(error), bookable, around.capacity, busy, wish.window, wish.units, now));
  }
  if (wish.units < 1 || wish.units > around.capacity) {
    return Fail(
        Error::At("#/booking/units", ErrorCode::kOutOfRange, {{"min", "1"}, {"max", std::to_string(around.capacity)}}));
  }
  Interval blocked = calendar::Blocked(bookable.rules, wish.window);
  if (!IsFree(busy, around.capacity, blocked, wish.units)) {
    return Fail(WithAlternatives(Error::At("#/booking/window", ErrorCode::kBookingConflict), bookable, around.capacity,
                                 busy, wish.window, wish.units, now));
  }
  Offer offer;
  offer.agreement.plan = bookable.plan;
  offer.agreement.funding_minutes = bookable.funding_minutes;
  offer.agreement.acceptance_minutes = bookable.acceptance_minutes;
  MILLRACE_TRY(offer.agreement.price, pricing::PriceWindow(bookable.plan, wish.window, wish.units));
  RiskTierEffects effects = EffectsOf(buyer.tier);
  offer.agreement.price.deposit = BasisPoints(offer.agreement.price.deposit, effects.deposit_basis_points);
  if (buyer.exposure + offer.agreement.price.total + offer.agreement.price.deposit > effects.exposure_limit_minor) {
    return Fail(ErrorCode::kExposureLimit, {{"limit", std::to_string(effects.exposure_limit_minor)}});
  }
  offer.legs = MakeLegs(bookable.resource, around, wish.window, blocked, wish.units);
  return offer;
}

Result<std::vector<Leg>> CheckApproval(const Booking& booking, const Bookable& bookable, const Surroundings& around,
                                       const Taken& taken, Time now) {
  calendar::Rules rules = bookable.rules;
  rules.lead_time_minutes = 0;
  rules.min_duration_minutes = 0;
  rules.max_duration_minutes = 0;
  auto busy = BusyOf(booking.resource, around, taken);
  if (auto open = calendar::CheckWindow(rules, booking.window, now); !open) {
    if (open.error().code != ErrorCode::kOutsideCalendar) return Fail(std::move(open).error());
    return Fail(
        WithAlternatives(std::move(open).error(), bookable, around.capacity, busy, booking.window, booking.units, now));
  }
  Interval blocked = calendar::Blocked(rules, booking.window);
  if (!IsFree(busy, around.capacity, blocked, booking.units)) {
    return Fail(WithAlternatives(Error(ErrorCode::kBookingConflict), bookable, around.capacity, busy, booking.window,
                                 booking.units, now));
  }
  return MakeLegs(booking.resource, around, booking.window, blocked, booking.units);
}

}  // namespace millrace::operations
