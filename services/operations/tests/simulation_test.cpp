// SPDX-License-Identifier: Apache-2.0
// A seeded world in which escrow refuses calls and loses answers at random, while buyers and providers do what they
// like. Once escrow is well again and time has passed, every booking has ended, its money fits its end, and nothing is
// left to do.
#include "common/telemetry/log.h"
#include "common/terms/terms.h"
#include "services/operations/tests/world.h"
#include "tests/support/rounds.h"

namespace millrace::operations {
namespace {

class SimulationTest : public World {
 protected:
  static constexpr int kSteps = 120;

  int Pick(int below) { return static_cast<int>(random_() % static_cast<uint32_t>(below)); }

  void Step(const std::vector<Offered>& offers, const std::vector<Uuid>& buyers) {
    const Offered& offered = offers[static_cast<size_t>(Pick(static_cast<int>(offers.size())))];
    const Uuid& buyer = buyers[static_cast<size_t>(Pick(static_cast<int>(buyers.size())))];
    switch (Pick(9)) {
      case 0:
      case 1: {
        int from = static_cast<int>((Now() - base_) / std::chrono::hours(1)) + 2 + Pick(20);
        auto booked = Book(buyer, offered, from, 1 + Pick(4), Pick(2) ? "work" : "");
        if (booked) bookings_.push_back(*booked);
        break;
      }
      case 2:
        for (const wire::Escrow& held : escrow_.PayIn(buyer, 60000)) {
          if (Pick(2)) Tell("escrow", "escrow.held", "esc", held);  // the rest is news that comes too late
        }
        break;
      case 3:
        AdvanceTo(Now() + std::chrono::minutes(30 + Pick(300)));
        Fire();
        break;
      default:
        if (!bookings_.empty()) ActAtRandom(bookings_[static_cast<size_t>(Pick(static_cast<int>(bookings_.size())))]);
    }
  }

  // Half of the time what the state asks for, at the time for it; otherwise anything by anybody.
  void ActAtRandom(const v1::Booking& made) {
    Uuid buyer = IdOrNil(made.buyer_id()), provider = IdOrNil(made.provider_id());
    const std::string& id = made.id();
    if (Pick(2)) {
      Uuid caller = Pick(2) ? buyer : provider;
      const BookingEvent events[] = {BookingEvent::kCheckIn, BookingEvent::kStart, BookingEvent::kCheckOut,
                                     BookingEvent::kClose, BookingEvent::kCancel};
      (void)Act(caller, id, events[Pick(5)]);
      if (!made.work_order_id().empty())
        (void)ActWork(caller, made.work_order_id(), static_cast<WorkEvent>(Pick(8)), "note");
      return;
    }
    v1::Booking booking = Get(buyer, id);
    switch (booking.state()) {
      case v1::Booking::PROPOSED:
        (void)Act(provider, id, BookingEvent::kApprove);
        break;
      case v1::Booking::CONFIRMED:
        AdvanceTo(terms::ToInterval(booking.window()).start - std::chrono::minutes(10));
        EXPECT_TRUE(Act(provider, id, BookingEvent::kCheckIn));
        break;
      case v1::Booking::CHECKED_IN:
      case v1::Booking::IN_USE:
        EXPECT_TRUE(Act(provider, id, BookingEvent::kCheckOut));
        break;
      default:
        (void)Act(buyer, id, BookingEvent::kClose);
    }
    if (booking.work_order_id().empty()) return;
    (void)ActWork(provider, booking.work_order_id(), WorkEvent::kStart);
    (void)ActWork(provider, booking.work_order_id(), WorkEvent::kDeliver, "parts");
    if (Pick(2))
      (void)ActWork(buyer, booking.work_order_id(), Pick(3) ? WorkEvent::kAccept : WorkEvent::kReject, "note");
  }

  // What must hold between a booking that has ended and its escrow.
  void ExpectSettled(const v1::Booking& booking) {
    auto found = escrow_.escrows.find(IdOrNil(booking.id()));
    const auto state = booking.state();
    if (booking.escrow_id().empty()) {
      EXPECT_TRUE(found == escrow_.escrows.end()) << "money without a hold";
      return;
    }
    ASSERT_TRUE(found != escrow_.escrows.end()) << v1::Booking::State_Name(state);
    const auto& escrow = found->second;
    const bool captured = escrow.state == wire::Escrow::CAPTURED;
    EXPECT_TRUE(captured || escrow.state == wire::Escrow::VOIDED) << v1::Booking::State_Name(state);
    if (state == v1::Booking::CLOSED) {
      EXPECT_TRUE(captured);
      EXPECT_EQ(escrow.captured, booking.price().total().amount());
      EXPECT_EQ(escrow.deposit, booking.price().deposit().amount());
    }
    if (state == v1::Booking::EXPIRED || state == v1::Booking::INTERRUPTED) EXPECT_FALSE(captured);
    if (state == v1::Booking::NO_SHOW) EXPECT_EQ(escrow.captured, booking.price().total().amount() / 2);
  }

  std::mt19937 random_;
  std::vector<v1::Booking> bookings_;
};

TEST_F(SimulationTest, EveryBookingEndsAndItsMoneyFits) {
  telemetry::SetLevel(telemetry::Level::kError);  // refused steps are what this is about
  escrow_.random = &random_;
  std::map<int, int> ends;
  for (uint32_t seed = 1; seed <= static_cast<uint32_t>(Rounds(8)); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_.seed(seed);
    bookings_.clear();
    std::vector<Offered> offers(3);
    offers[1].approval = true;
    offers[2].parents = {offers[0].resource};
    for (const Offered& offered : offers) Publish(offered);
    std::vector<Uuid> buyers = {Uuid::New(), Uuid::New(), Uuid::New()};
    escrow_.balances[buyers[0]] = 50000;
    escrow_.balances[buyers[1]] = 500000;
    escrow_.refuse = 15;
    escrow_.lose = 20;
    for (int step = 0; step < kSteps; ++step) Step(offers, buyers);
    escrow_.refuse = escrow_.lose = 0;
    for (int round = 0; round < 80 && Count("SELECT count(*) FROM task") > 0; ++round) {
      AdvanceTo(FromMicros(Count("SELECT runtime.micros(greatest(runtime.now(), min(due_at))) FROM task")) +
                std::chrono::minutes(6));
      Fire();
    }
    EXPECT_EQ(Count("SELECT count(*) FROM task"), 0);
    EXPECT_EQ(Count("SELECT count(*) FROM reservation WHERE release_time IS NULL"), 0);
    EXPECT_EQ(Count("SELECT count(*) FROM booking WHERE open"), 0);
    for (const v1::Booking& booking : bookings_) {
      v1::Booking last = Get(IdOrNil(booking.buyer_id()), booking.id());
      ++ends[last.state()];
      ExpectSettled(last);
    }
  }
  // The world was rich enough to mean something.
  for (const auto& [state, count] : ends) {
    RecordProperty(v1::Booking::State_Name(static_cast<v1::Booking::State>(state)), count);
  }
  EXPECT_GE(ends.size(), 5u);
  EXPECT_GT(ends[v1::Booking::CLOSED], 0);
}

}  // namespace
}  // namespace millrace::operations
