// SPDX-License-Identifier: Apache-2.0
// A booking with its work order, and what may happen to them. Pure: every decision takes values and returns values, so
// that a refusal leaves everything as it was.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/id.h"
#include "common/base/result.h"
#include "common/base/time.h"
#include "common/pricing/pricing.h"
#include "services/operations/domain/states.h"

namespace millrace::operations {

inline constexpr std::chrono::hours kApprovalWindow{6 * 24};
inline constexpr std::chrono::hours kFundingWindow{24};     // where the terms name none
inline constexpr std::chrono::hours kAcceptanceWindow{48};  // where the terms name none
inline constexpr std::chrono::hours kCheckOutGrace{24};     // after the window's end
inline constexpr std::chrono::hours kWorkGrace{7 * 24};     // after the window's end
inline constexpr std::chrono::minutes kCheckInAhead{30};

// One resource blocked for one booking.
struct Leg {
  Uuid booking, resource;
  Interval window;
  Interval blocked;
  int64_t units = 1;
  bool parent_leg = false;
  bool exclusive = false;  // the resource has one unit: the database refuses a second own leg that overlaps
  std::optional<Time> released;
};

// What was agreed when the booking was made; later changes of the listing do not touch it.
struct Agreement {
  pricing::Price price;            // its deposit is already the buyer's tier's
  pricing::Plan plan;              // cancellation tiers, no-show share
  int64_t funding_minutes = 0;     // 0: kFundingWindow
  int64_t acceptance_minutes = 0;  // 0: kAcceptanceWindow
  Duration FundingWindow() const;
  Duration AcceptanceWindow() const;
};

struct Booking {
  Uuid id, buyer, provider, listing, resource, demand;
  int64_t listing_version = 0;
  Interval window;
  int64_t units = 1;
  std::string work, external_id;
  BookingState state = BookingState::kProposed;
  Agreement agreement;
  std::vector<Leg> legs;
  Uuid work_order;      // nil: bare machine time
  bool escrow = false;  // the hold was asked
  int64_t missing = 0;  // minor units, as escrow said last; HELD only
  std::string canceled_by, reason;
  std::optional<Time> held_time, check_in_time, check_out_time, accept_time;
  bool deemed_accepted = false;
  Time create_time, update_time;
  int64_t version = 0;

  int64_t Exposure() const { return agreement.price.total + agreement.price.deposit; }
};

struct WorkOrder {
  Uuid id;
  std::string work;
  WorkState state = WorkState::kPlanned;
  std::string deliverable, reason;
  std::optional<Time> deliver_time;
  Time enter_time;  // of the present state
  int64_t rejections = 0;
  Time create_time, update_time;
  int64_t version = 0;
};

struct Trade {
  Booking booking;
  std::optional<WorkOrder> work;
};

// Past PLANNED and RELEASED.
bool WorkHasBegun(const Trade& trade);

// What happens when nobody does anything.
template <class Event>
struct Default {
  Event outcome;
  Time deadline;
};
std::optional<Default<BookingEvent>> DefaultOf(const Trade& trade);
std::optional<Default<WorkEvent>> WorkDefaultOf(const Trade& trade);

// How the money of a booking is asked to move.
enum class MoneyStep { kNone, kHold, kVoid, kCapture };

// A fact and the trade right after it.
struct Fact {
  std::string type;  // "booking.confirmed", "work_order.accepted"
  bool of_work_order = false;
  Trade after;
};

struct Decision {
  Trade trade;
  std::vector<Fact> facts;
  MoneyStep money = MoneyStep::kNone;
  int64_t capture_amount = 0;  // minor units, at most the price
  std::string capture_reason;  // acceptance, deemed_acceptance, cancellation, no_show
};

// A new booking; its legs are given where it is instant (HELD at once), none where it waits for approval.
Decision MakeBooking(Booking booking, bool approval_required, std::vector<Leg> legs, Uuid work_order, Time now);

// One event of the booking's table by one actor. Errors: INSUFFICIENT_SCOPE (the event is never this actor's),
// STATE_CONFLICT, BOOKING_NOT_FUNDED, TOO_EARLY, NOT_ACCEPTED_YET.
Result<Decision> ActOnBooking(Trade trade, BookingEvent event, Actor actor, const std::string& reason, Time now);
// PROPOSED to HELD with the legs that were found free. Errors: as ActOnBooking.
Result<Decision> Approve(Trade trade, Actor actor, std::vector<Leg> legs, Time now);
// One event of the work order's table. `note`: what was delivered, or why it was rejected. Errors: INSUFFICIENT_SCOPE,
// STATE_CONFLICT, REQUIRED (a rejection's note).
Result<Decision> ActOnWork(Trade trade, WorkEvent event, Actor actor, const std::string& note, Time now);

// What a booking's passed deadline asks for.
enum class Due { kNothing, kLater, kVoidFirst, kDone };
struct DueDecision {
  Due due = Due::kNothing;  // kNothing: no deadline any more; kLater: not yet; kVoidFirst: escrow decides; kDone: see
                            // decision
  Time deadline;
  std::optional<Decision> decision;
};
DueDecision BookingDue(const Trade& trade, Time now);
DueDecision WorkDue(const Trade& trade, Time now);

}  // namespace millrace::operations
