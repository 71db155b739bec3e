// SPDX-License-Identifier: Apache-2.0
// Who may have which window: the rule that nothing is ever sold twice, and the checks of a new booking.
#pragma once

#include <map>
#include <vector>

#include "common/base/risk_tier.h"
#include "common/calendar/calendar.h"
#include "services/operations/domain/trade.h"

namespace millrace::operations {

// A listing as operations keeps it.
struct Bookable {
  enum class State { kDraft, kInReview, kPublished, kPaused, kRetired, kBlocked };
  Uuid listing, provider, resource;
  int64_t version = 0;
  State state = State::kDraft;
  int64_t capacity = 1;  // identical units
  std::vector<Uuid> parents;
  calendar::Rules rules;
  pricing::Plan plan;
  bool approval_required = false;
  int64_t funding_minutes = 0, acceptance_minutes = 0;
};
std::string_view StateName(Bookable::State state);

// What is known of the machines around a resource: a line blocks its machines and each machine its line, but two
// machines of one line do not block each other.
struct Surroundings {
  int64_t capacity = 1;
  std::vector<Uuid> ancestors;    // lines that it belongs to, whole chain
  std::vector<Uuid> descendants;  // machines of it, whole chain
};

// Unreleased legs by resource, of every booking.
using Taken = std::map<Uuid, std::vector<Leg>>;

// What takes `resource`: own legs by their units; legs of its lines and of its machines as the whole of it.
std::vector<calendar::Busy> BusyOf(const Uuid& resource, const Surroundings& around, const Taken& taken);
// Whether `units` are free during the whole of `blocked`.
bool IsFree(const std::vector<calendar::Busy>& busy, int64_t capacity, Interval blocked, int64_t units);
// The legs of a booking: its own, one a line, and one a machine, at most limits::kReservationsPerBooking (lines and
// machines beyond that are kept out by the own leg alone, which BusyOf looks at from both sides).
std::vector<Leg> MakeLegs(const Uuid& resource, const Surroundings& around, Interval window, Interval blocked,
                          int64_t units);

// A new booking as asked.
struct Wish {
  Uuid buyer;
  int64_t listing_version = 0;  // 0: the present one
  Interval window;
  int64_t units = 1;
};
// What is known of the buyer.
struct Buyer {
  int tier = kNewcomerTier;
  bool suspended = false;
  int64_t exposure = 0;  // minor units, price and deposit of open bookings
};
struct Offer {
  Agreement agreement;
  std::vector<Leg> legs;
};

// All checks of a new booking in the order of the RPC's comment, with its price. Errors: ORGANIZATION_NOT_VERIFIED
// (suspended), NOT_FOUND, LISTING_NOT_BOOKABLE, LISTING_CHANGED, OWN_RESOURCE, END_BEFORE_START, WINDOW_IN_PAST,
// LEAD_TIME, DURATION_NOT_ALLOWED, OUT_OF_RANGE (units), OUTSIDE_CALENDAR and BOOKING_CONFLICT (with `alternatives`),
// EXPOSURE_LIMIT.
Result<Offer> CheckWish(const Wish& wish, const Bookable& bookable, const Surroundings& around, const Taken& taken,
                        const Buyer& buyer, Time now);
// The fresh check at approval: calendar and capacity; notice and length were agreed. Errors: WINDOW_IN_PAST,
// OUTSIDE_CALENDAR, BOOKING_CONFLICT.
Result<std::vector<Leg>> CheckApproval(const Booking& booking, const Bookable& bookable, const Surroundings& around,
                                       const Taken& taken, Time now);

}  // namespace millrace::operations
