// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "services/operations/domain/capacity.h"
#include "services/operations/domain/trade.h"
#include "tests/support/rounds.h"

namespace millrace::operations {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const Time kNow = FromMicros(1'790'000'000'000'000);  // on a whole hour plus something; business time of the tests

Uuid Numbered(uint8_t number) {
  Uuid id;
  id.bytes[15] = number;
  return id;
}

template <class Table, class State>
std::set<State> Reachable(const Table& table, std::set<State> from) {
  std::set<State> seen = from;
  while (!from.empty()) {
    std::set<State> next;
    for (const auto& row : table.transitions) {
      if (from.contains(row.from) && seen.insert(row.to).second) next.insert(row.to);
    }
    from = std::move(next);
  }
  return seen;
}

// Every state that can be left waits, with a default that the system may bring about; every other state ends.
template <class Table>
void EveryWaitHasItsDefault(const Table& table, auto states, auto passing) {
  for (auto state : states) {
    const auto* wait = table.WaitIn(state);
    const bool leaves = !table.From(state).empty();
    if (passing.contains(state)) continue;
    EXPECT_EQ(wait != nullptr, leaves) << table.state_name(state);
    if (!wait) continue;
    EXPECT_NE(table.Find(state, wait->outcome, kSystem), nullptr) << table.state_name(state);
    EXPECT_FALSE(wait->deadline.empty());
  }
}

TEST(BookingTable, EachStateIsReachedAndEachWaitEnds) {
  auto reached = Reachable(Bookings(), std::set<BookingState>{BookingState::kProposed});
  EXPECT_EQ(reached.size(), 12u);
  EveryWaitHasItsDefault(Bookings(), reached, std::set<BookingState>{});
}

TEST(WorkTable, EachStateIsReachedAndEachWaitEnds) {
  auto reached = Reachable(WorkOrders(), std::set<WorkState>{WorkState::kPlanned});
  // PAUSED, IN_INSPECTION and PARTLY_ACCEPTED have no verb in the contract yet.
  EXPECT_EQ(reached.size(), 9u);
  EveryWaitHasItsDefault(WorkOrders(), reached, std::set<WorkState>{WorkState::kRejected});
}

TEST(Tables, NoTwoRowsAnswerTheSameQuestion) {
  std::set<std::tuple<BookingState, BookingEvent, int>> seen;
  for (const auto& row : Bookings().transitions) {
    for (int bit : {1, 2, 4, 8}) {
      if (row.actors & bit) EXPECT_TRUE(seen.insert({row.from, row.event, bit}).second);
    }
  }
}

Bookable Machine(const Uuid& resource, int64_t capacity) {
  Bookable bookable;
  bookable.listing = resource;
  bookable.listing.bytes[0] = 0x11;
  bookable.provider = Numbered(200);
  bookable.resource = resource;
  bookable.version = 3;
  bookable.state = Bookable::State::kPublished;
  bookable.capacity = capacity;
  for (int day = 1; day <= 7; ++day) bookable.rules.weekly.push_back({day, 0, 1440});
  bookable.plan.steps.push_back({0, 6000});
  bookable.plan.deposit = 5000;
  bookable.plan.no_show_basis_points = 5000;
  bookable.plan.cancellation = {{48, 1000}, {24, 5000}};
  return bookable;
}

Trade NewTrade(bool with_work, bool approval = false) {
  Bookable bookable = Machine(Numbered(1), 1);
  Interval window{kNow + hours(100), kNow + hours(104)};
  Wish wish{Numbered(9), 0, window, 1};
  auto offer = CheckWish(wish, bookable, Surroundings{}, Taken{}, Buyer{}, kNow);
  EXPECT_TRUE(offer);
  Booking booking;
  booking.id = Numbered(50);
  booking.buyer = wish.buyer;
  booking.provider = bookable.provider;
  booking.window = window;
  booking.agreement = offer->agreement;
  return MakeBooking(std::move(booking), approval, offer->legs, with_work ? Numbered(51) : Uuid(), kNow).trade;
}

Trade After(Trade trade, std::vector<BookingEvent> events, Actor actor, Time now) {
  for (BookingEvent event : events) {
    auto decision = ActOnBooking(trade, event, actor, "", now);
    if (!decision) ADD_FAILURE() << Name(decision.error().code);
    trade = decision->trade;
  }
  return trade;
}

TEST(Deadlines, AreTheTablesPromises) {
  Trade proposed = NewTrade(false, true);
  EXPECT_EQ(DefaultOf(proposed)->deadline, proposed.booking.window.start);  // before six days are over
  Trade held = NewTrade(true);
  EXPECT_EQ(DefaultOf(held)->deadline, kNow + hours(24));
  EXPECT_EQ(WorkDefaultOf(held)->deadline, kNow + hours(24));  // with its booking
  held.booking.agreement.funding_minutes = 30 * 24 * 60;
  EXPECT_EQ(DefaultOf(held)->deadline, held.booking.window.end);  // no later than that
  EXPECT_EQ(BookingDue(held, held.booking.window.end).due, Due::kVoidFirst);
  Trade confirmed = After(held, {BookingEvent::kFund}, kSystem, kNow);
  EXPECT_EQ(confirmed.work->state, WorkState::kReleased);
  EXPECT_EQ(WorkDefaultOf(confirmed)->deadline, confirmed.booking.window.end + hours(7 * 24));
  EXPECT_EQ(BookingDue(confirmed, confirmed.booking.window.end - minutes(1)).due, Due::kLater);
  DueDecision missed = BookingDue(confirmed, confirmed.booking.window.end);
  ASSERT_EQ(missed.due, Due::kDone);
  EXPECT_EQ(missed.decision->trade.booking.state, BookingState::kNoShow);
  EXPECT_EQ(missed.decision->trade.work->state, WorkState::kAborted);
  EXPECT_EQ(missed.decision->capture_amount, 12000);  // half of 4 h at 60.00
}

TEST(Money, CancellationTakesTheTierOfTheBuyerAlone) {
  Trade confirmed = After(NewTrade(false), {BookingEvent::kFund}, kSystem, kNow);
  const Time start = confirmed.booking.window.start;
  auto early = ActOnBooking(confirmed, BookingEvent::kCancel, kBuyer, "", start - hours(60));
  EXPECT_EQ(early->money, MoneyStep::kVoid);
  auto later = ActOnBooking(confirmed, BookingEvent::kCancel, kBuyer, "", start - hours(30));
  EXPECT_EQ(later->capture_amount, 2400);
  auto late = ActOnBooking(confirmed, BookingEvent::kCancel, kBuyer, "", start - hours(3));
  EXPECT_EQ(late->capture_amount, 12000);
  EXPECT_EQ(late->capture_reason, "cancellation");
  auto provider = ActOnBooking(confirmed, BookingEvent::kCancel, kProvider, "broken", start - hours(3));
  EXPECT_EQ(provider->money, MoneyStep::kVoid);
  EXPECT_EQ(provider->trade.booking.canceled_by, "provider");
}

TEST(Verbs, RefuseByActorStateMoneyAndTime) {
  Trade held = NewTrade(false);
  EXPECT_EQ(ActOnBooking(held, BookingEvent::kCheckIn, kProvider, "", kNow).error().code, ErrorCode::kBookingNotFunded);
  EXPECT_EQ(ActOnBooking(held, BookingEvent::kCheckIn, kBuyer, "", kNow).error().code, ErrorCode::kBookingNotFunded);
  EXPECT_EQ(ActOnBooking(held, BookingEvent::kDecline, kProvider, "", kNow).error().code, ErrorCode::kStateConflict);
  Trade confirmed = After(held, {BookingEvent::kFund}, kSystem, kNow);
  EXPECT_EQ(ActOnBooking(confirmed, BookingEvent::kCheckIn, kBuyer, "", kNow).error().code,
            ErrorCode::kInsufficientScope);
  const Time gate = confirmed.booking.window.start - minutes(30);
  EXPECT_EQ(ActOnBooking(confirmed, BookingEvent::kCheckIn, kProvider, "", gate - minutes(1)).error().code,
            ErrorCode::kTooEarly);
  EXPECT_TRUE(ActOnBooking(confirmed, BookingEvent::kCheckIn, kProvider, "", gate));
}

TEST(Work, AcceptedBeforeCheckOutClosesAtCheckOut) {
  Trade trade = After(NewTrade(true), {BookingEvent::kFund}, kSystem, kNow);
  Time at = trade.booking.window.start;
  trade = After(trade, {BookingEvent::kCheckIn, BookingEvent::kStart}, kProvider, at);
  trade = ActOnWork(trade, WorkEvent::kStart, kProvider, "", at)->trade;
  trade = ActOnWork(trade, WorkEvent::kDeliver, kProvider, "12 parts", at)->trade;
  EXPECT_EQ(ActOnWork(trade, WorkEvent::kReject, kBuyer, "", at).error().code, ErrorCode::kRequired);
  auto rejected = ActOnWork(trade, WorkEvent::kReject, kBuyer, "too rough", at);
  EXPECT_EQ(rejected->trade.work->state, WorkState::kRework);
  EXPECT_EQ(rejected->trade.work->rejections, 1);
  auto accepted = ActOnWork(trade, WorkEvent::kAccept, kBuyer, "", at);
  EXPECT_EQ(accepted->money, MoneyStep::kNone);
  auto out = ActOnBooking(accepted->trade, BookingEvent::kCheckOut, kProvider, "", at + hours(1));
  EXPECT_EQ(out->trade.booking.state, BookingState::kClosed);
  EXPECT_EQ(out->trade.work->state, WorkState::kClosed);
  EXPECT_EQ(out->money, MoneyStep::kCapture);
  EXPECT_EQ(out->capture_amount, trade.booking.agreement.price.total);
  EXPECT_EQ(out->capture_reason, "acceptance");
  ASSERT_EQ(out->facts.size(), 3u);  // checked_out, work_order.closed, closed: each with the state of its moment
  EXPECT_EQ(out->facts[0].after.booking.state, BookingState::kCheckedOut);
}

TEST(Work, NeverDeliveredInterruptsAndGivesBack) {
  Trade trade = After(NewTrade(true), {BookingEvent::kFund}, kSystem, kNow);
  trade = After(trade, {BookingEvent::kCheckIn, BookingEvent::kCheckOut}, kProvider, trade.booking.window.start);
  EXPECT_EQ(DefaultOf(trade)->outcome, BookingEvent::kInterrupt);
  Time late = trade.booking.window.end + hours(7 * 24);
  EXPECT_EQ(BookingDue(trade, late).due, Due::kNothing);  // the work order's timer decides
  DueDecision due = WorkDue(trade, late);
  ASSERT_EQ(due.due, Due::kDone);
  EXPECT_EQ(due.decision->trade.booking.state, BookingState::kInterrupted);
  EXPECT_EQ(due.decision->trade.work->state, WorkState::kAborted);
  EXPECT_EQ(due.decision->money, MoneyStep::kVoid);
}

TEST(Work, BegunWorkIsNeitherNoShowNorCancelableByTheBuyer) {
  Trade trade = After(NewTrade(true), {BookingEvent::kFund}, kSystem, kNow);
  trade = ActOnWork(trade, WorkEvent::kStart, kProvider, "", kNow)->trade;
  EXPECT_EQ(ActOnBooking(trade, BookingEvent::kCancel, kBuyer, "", kNow).error().code, ErrorCode::kStateConflict);
  DueDecision due = BookingDue(trade, trade.booking.window.end);
  ASSERT_EQ(due.due, Due::kDone);
  EXPECT_EQ(due.decision->trade.booking.state, BookingState::kCheckedOut);
}

TEST(Wish, ChecksInTheOrderOfTheContract) {
  Bookable bookable = Machine(Numbered(1), 1);
  Wish wish{Numbered(9), 2, {kNow - hours(2), kNow - hours(1)}, 5};
  Taken taken;
  auto code = [&](const Buyer& buyer = {}) { return CheckWish(wish, bookable, {}, taken, buyer, kNow).error().code; };
  EXPECT_EQ(code({3, true, 0}), ErrorCode::kOrganizationNotVerified);
  bookable.state = Bookable::State::kDraft;
  EXPECT_EQ(code(), ErrorCode::kNotFound);
  bookable.state = Bookable::State::kPaused;
  EXPECT_EQ(code(), ErrorCode::kListingNotBookable);
  bookable.state = Bookable::State::kPublished;
  EXPECT_EQ(code(), ErrorCode::kListingChanged);
  wish.listing_version = 3;
  wish.buyer = bookable.provider;
  EXPECT_EQ(code(), ErrorCode::kOwnResource);
  wish.buyer = Numbered(9);
  auto past = CheckWish(wish, bookable, {}, taken, {}, kNow);
  EXPECT_EQ(past.error().code, ErrorCode::kWindowInPast);
  ASSERT_EQ(past.error().violations.size(), 1u);
  EXPECT_EQ(past.error().violations[0].pointer, "#/booking/window");
  wish.window = {kNow + hours(10), kNow + hours(12)};
  EXPECT_EQ(code(), ErrorCode::kOutOfRange);
  wish.units = 1;
  taken[bookable.resource].push_back({Numbered(7), bookable.resource, wish.window, wish.window});
  auto conflict = CheckWish(wish, bookable, {}, taken, {}, kNow);
  EXPECT_EQ(conflict.error().code, ErrorCode::kBookingConflict);
  EXPECT_NE(conflict.error().extensions.at("alternatives").find("start_time"), std::string::npos);
  taken.clear();
  EXPECT_EQ(code({3, false, EffectsOf(3).exposure_limit_minor}), ErrorCode::kExposureLimit);
  auto twice = CheckWish(wish, bookable, {}, taken, {4, false, 0}, kNow);
  EXPECT_EQ(twice->agreement.price.deposit, 10000);  // tier 4: twice the listing's
  bookable.rules.weekly.clear();
  EXPECT_EQ(code(), ErrorCode::kOutsideCalendar);
}

// A world of a line with two machines and a pool of three, in quarter hours, counted the simplest way.
class Model {
 public:
  static constexpr int kSlots = 40;
  struct Sold {
    int resource;
    int from, to;
    int64_t units;
  };
  std::map<int, Sold> keeping;  // by booking number

  bool Fits(const Sold& wish) const {
    for (int slot = wish.from; slot < wish.to; ++slot) {
      int64_t used[4] = {};
      for (const auto& [number, sold] : keeping) {
        if (sold.from <= slot && slot < sold.to) used[sold.resource] += sold.units;
      }
      if (used[wish.resource] + wish.units > (wish.resource == 3 ? 3 : 1)) return false;
      if (wish.resource == 0 && (used[1] || used[2])) return false;
      if ((wish.resource == 1 || wish.resource == 2) && used[0]) return false;
    }
    return true;
  }
};

TEST(Capacity, RandomCommandsSellExactlyWhatTheNaiveModelAllows) {
  const Uuid line = Numbered(1), left = Numbered(2), right = Numbered(3), pool = Numbered(4);
  const Uuid resources[] = {line, left, right, pool};
  Surroundings around[4];
  around[0].descendants = {left, right};
  around[1].ancestors = around[2].ancestors = {line};
  around[3].capacity = 3;
  for (uint32_t seed = 1; seed <= static_cast<uint32_t>(Rounds(60)); ++seed) {
    std::mt19937 random(seed);
    auto pick = [&](int below) { return static_cast<int>(random() % static_cast<uint32_t>(below)); };
    Model model;
    std::map<int, Trade> trades;
    std::map<int, Model::Sold> wishes;
    Time now = kNow;
    for (int step = 0; step < 150; ++step) {
      Taken taken;
      for (const auto& [number, trade] : trades) {
        for (const Leg& leg : trade.booking.legs) {
          if (!leg.released) taken[leg.resource].push_back(leg);
        }
      }
      if (pick(3) == 0 || trades.empty()) {
        int from = pick(Model::kSlots - 1);
        Model::Sold sold{pick(4), from, std::min(Model::kSlots, from + 1 + pick(8)), 1};
        if (sold.resource == 3) sold.units = 1 + pick(3);
        const Time base = kNow + hours(2000);
        Interval window{base + minutes(15 * sold.from), base + minutes(15 * sold.to)};
        Bookable bookable = Machine(resources[sold.resource], around[sold.resource].capacity);
        auto offer =
            CheckWish({Numbered(9), 0, window, sold.units}, bookable, around[sold.resource], taken, {1, false, 0}, now);
        ASSERT_EQ(offer.has_value(), model.Fits(sold)) << "seed " << seed << " step " << step;
        if (!offer) continue;
        Booking booking;
        booking.id = Numbered(static_cast<uint8_t>(step + 10));
        booking.buyer = Numbered(9);
        booking.resource = bookable.resource;
        booking.window = window;
        booking.units = sold.units;
        booking.agreement = offer->agreement;
        const bool approval = pick(4) == 0;
        Decision made = MakeBooking(std::move(booking), approval, offer->legs, pick(2) ? Numbered(99) : Uuid(), now);
        EXPECT_EQ(made.money, approval ? MoneyStep::kNone : MoneyStep::kHold);
        trades[step] = made.trade;
        wishes[step] = sold;
        if (!approval) model.keeping[step] = sold;
        continue;
      }
      auto chosen = std::next(trades.begin(), pick(static_cast<int>(trades.size())));
      auto& [number, trade] = *chosen;
      Result<Decision> decision = Fail(ErrorCode::kInternal);
      if (trade.booking.state == BookingState::kProposed && pick(2)) {
        const Model::Sold& sold = wishes[number];
        Bookable bookable = Machine(resources[sold.resource], around[sold.resource].capacity);
        auto legs = CheckApproval(trade.booking, bookable, around[sold.resource], taken, now);
        ASSERT_EQ(legs.has_value(), model.Fits(sold)) << "seed " << seed << " step " << step;
        if (!legs) continue;
        decision = Approve(trade, kProvider, *std::move(legs), now);
      } else if (pick(2) && trade.work) {
        auto event = static_cast<WorkEvent>(pick(8));
        decision = ActOnWork(trade, event, pick(2) ? kBuyer : kProvider, "note", now);
      } else {
        const Actor actors[] = {kBuyer, kProvider, kSystem};
        auto event = static_cast<BookingEvent>(pick(11));
        if (event == BookingEvent::kApprove) continue;
        decision = ActOnBooking(trade, event, actors[pick(3)], "", pick(3) ? now : trade.booking.window.start);
      }
      if (!decision) continue;
      EXPECT_LE(decision->capture_amount, trade.booking.agreement.price.total);
      EXPECT_GT(decision->trade.booking.version + (trade.work ? decision->trade.work->version : 0),
                trade.booking.version + (trade.work ? trade.work->version : 0));
      trade = decision->trade;
      if (KeepsCapacity(trade.booking.state)) {
        model.keeping[number] = wishes[number];
      } else {
        model.keeping.erase(number);
      }
      for (const Leg& leg : trade.booking.legs) ASSERT_EQ(!leg.released, KeepsCapacity(trade.booking.state));
    }
  }
}

}  // namespace
}  // namespace millrace::operations
