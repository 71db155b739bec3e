// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>

#include "millrace/credit/v1/risk_tier.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "services/operations/tests/world.h"

namespace millrace::operations {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

class OperationsTest : public World {};

TEST_F(OperationsTest, ConfirmsAtOnceAndReplaysTheSameBytes) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New();
  CallContext context = As(buyer, "key-of-the-first");
  auto first = Create(context, Wish(machine, 0, 4));
  ASSERT_TRUE(first) << first.error().cause;
  EXPECT_EQ(first->state(), v1::Booking::CONFIRMED);
  EXPECT_EQ(first->price().total().amount(), 40000);
  EXPECT_FALSE(context.reply->replayed);
  EXPECT_EQ(context.reply->etag, first->etag());
  const auto& escrow = escrow_.escrows.at(IdOrNil(first->id()));
  EXPECT_EQ(escrow.price, 40000);
  EXPECT_EQ(escrow.deposit, 50000);

  CallContext again = As(buyer, "key-of-the-first");
  auto replay = Create(again, Wish(machine, 0, 4));
  ASSERT_TRUE(replay);
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(replay->SerializeAsString(), first->SerializeAsString());
  EXPECT_EQ(escrow_.holds, 1);
  CallContext other = As(buyer, "key-of-the-first");
  other.fingerprint = std::string(32, 'o');
  EXPECT_EQ(Create(other, Wish(machine, 8, 4)).error().code, ErrorCode::kIdempotencyKeyReused);
  EXPECT_EQ(Count("SELECT count(*) FROM booking"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE kind = 'hold'"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type IN ('booking.held', 'booking.confirmed')"), 2);
}

TEST_F(OperationsTest, ARefusalIsReplayedToo) {
  Offered machine;
  Publish(machine);
  auto taken = Book(Uuid::New(), machine, 0, 4);
  ASSERT_TRUE(taken);
  Uuid late = Uuid::New();
  auto refused = Create(As(late, "key-of-the-late"), Wish(machine, 2, 4));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBookingConflict);
  EXPECT_NE(refused.error().extensions.at("alternatives"), "[]");
  EXPECT_EQ(Count("SELECT count(*) FROM idempotency WHERE key = 'key-of-the-late'"), 1);
  ASSERT_TRUE(Act(machine.provider, taken->id(), BookingEvent::kCancel));
  EXPECT_EQ(Create(As(late, "key-of-the-late"), Wish(machine, 2, 4)).error().code, ErrorCode::kBookingConflict);
  EXPECT_TRUE(Book(late, machine, 2, 4));  // another key: free by now
}

// A crash between the reservation and the answer leaves a booking without a record: the retry finds it by its key.
TEST_F(OperationsTest, ARetryAfterACrashFindsItsBooking) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New();
  auto first = Create(As(buyer, "key-of-the-crash"), Wish(machine, 0, 4));
  ASSERT_TRUE(first);
  ASSERT_EQ(Count("WITH gone AS (DELETE FROM idempotency RETURNING 1) SELECT count(*) FROM gone"), 1);
  CallContext other = As(buyer, "key-of-the-crash");
  other.fingerprint = std::string(32, 'o');
  EXPECT_EQ(Create(other, Wish(machine, 8, 4)).error().code, ErrorCode::kIdempotencyKeyReused);
  auto retry = Create(As(buyer, "key-of-the-crash"), Wish(machine, 0, 4));
  ASSERT_TRUE(retry) << Name(retry.error().code);
  EXPECT_EQ(retry->id(), first->id());
  EXPECT_EQ(Count("SELECT count(*) FROM booking"), 1);
}

TEST_F(OperationsTest, SixtyFourBuyersOfOneSlotFromTwoProcesses) {
  Offered machine;
  Publish(machine);
  Instance second(*this, url_);
  std::vector<std::optional<Result<v1::Booking>>> answers(64);
  for (size_t i = 0; i < answers.size(); ++i) {
    Operations& process = i % 2 ? operations() : *second.operations;
    loop_.Start(Keep(process.CreateBooking(As(Uuid::New()), Wish(machine, static_cast<int>(i % 3), 4)), &answers[i]));
  }
  loop_.Run();
  int won = 0;
  for (auto& answer : answers) {
    if (*answer) {
      ++won;
    } else {
      EXPECT_EQ(answer->error().code, ErrorCode::kBookingConflict) << answer->error().cause;
    }
  }
  EXPECT_EQ(won, 1);
  EXPECT_EQ(Count("SELECT count(*) FROM reservation WHERE release_time IS NULL"), 1);
}

TEST_F(OperationsTest, ThreeIdenticalUnitsAreSoldThreeTimes) {
  Offered pool;
  pool.units = 3;
  Publish(pool);
  std::vector<std::optional<Result<v1::Booking>>> answers(10);
  for (auto& answer : answers)
    loop_.Start(Keep(operations().CreateBooking(As(Uuid::New()), Wish(pool, 0, 4)), &answer));
  loop_.Run();
  int won = 0;
  for (auto& answer : answers) won += answer->has_value();
  EXPECT_EQ(won, 3);
  auto four = Wish(pool, 10, 1);
  four.mutable_booking()->set_units(4);
  EXPECT_EQ(Create(As(Uuid::New()), four).error().code, ErrorCode::kOutOfRange);
}

TEST_F(OperationsTest, ALineAndItsMachinesKeepEachOtherOut) {
  Offered line, left, right;
  left.provider = right.provider = line.provider;
  left.parents = right.parents = {line.resource};
  for (const Offered* offered : {&line, &left, &right}) Publish(*offered);
  auto machine = Book(Uuid::New(), left, 0, 4);
  ASSERT_TRUE(machine);
  EXPECT_EQ(machine->reservations_size(), 2);
  EXPECT_EQ(Book(Uuid::New(), line, 2, 4).error().code, ErrorCode::kBookingConflict);
  EXPECT_TRUE(Book(Uuid::New(), right, 0, 4));  // machines of one line do not meet
  auto whole = Book(Uuid::New(), line, 10, 4);
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->reservations_size(), 3);
  EXPECT_EQ(Book(Uuid::New(), left, 12, 1).error().code, ErrorCode::kBookingConflict);
  // The second wall, should a decision ever be wrong.
  auto forced = admin_->RunHere([](postgres::Transaction& tx) {
    tx.ExecuteText(
        "INSERT INTO reservation SELECT booking_id, 9, resource_id, blocked, 1, false, true FROM reservation "
        "WHERE exclusive LIMIT 1");
  });
  EXPECT_FALSE(forced);
  auto crossed = admin_->RunHere([](postgres::Transaction& tx) {
    tx.ExecuteText(
        "INSERT INTO reservation SELECT booking_id, 9, resource_id, blocked, 1, NOT parent_leg, false "
        "FROM reservation WHERE parent_leg LIMIT 1");
  });
  EXPECT_FALSE(crossed);
}

TEST_F(OperationsTest, UnfundedExpiresAndFreesItsCapacity) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New();
  escrow_.balances[buyer] = 100;
  auto held = Book(buyer, machine, 0, 4);
  ASSERT_TRUE(held);
  EXPECT_EQ(held->state(), v1::Booking::HELD);
  EXPECT_EQ(held->default_outcome(), "expire");
  auto unfunded = Act(machine.provider, held->id(), BookingEvent::kCheckIn);
  EXPECT_EQ(unfunded.error().code, ErrorCode::kBookingNotFunded);
  EXPECT_EQ(unfunded.error().params.at("missing"), "900.00 CNY");
  EXPECT_EQ(Book(Uuid::New(), machine, 0, 4).error().code, ErrorCode::kBookingConflict);
  AdvanceTo(Now() + hours(23));
  Fire();
  EXPECT_EQ(Get(buyer, held->id()).state(), v1::Booking::HELD);
  AdvanceTo(Now() + hours(2));
  Fire();
  EXPECT_EQ(Get(buyer, held->id()).state(), v1::Booking::EXPIRED);
  EXPECT_EQ(escrow_.escrows.at(IdOrNil(held->id())).state, wire::Escrow::VOIDED);
  EXPECT_TRUE(Book(Uuid::New(), machine, 0, 4));
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE subject = '" + IdOrNil(held->id()).Hex() + "'"), 0);
}

TEST_F(OperationsTest, MoneyThatComesConfirmsOnceEvenAtTheLastMoment) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New(), slow = Uuid::New();
  escrow_.balances[buyer] = escrow_.balances[slow] = 0;
  auto held = Book(buyer, machine, 0, 4, "turn 12 shafts");
  auto last = Book(slow, machine, 8, 4);
  ASSERT_TRUE(held && last);
  auto messages = escrow_.PayIn(buyer, 90000);
  ASSERT_EQ(messages.size(), 1u);
  for (int i = 0; i < 2; ++i) Tell("escrow", "escrow.held", "esc", messages[0]);
  v1::Booking confirmed = Get(buyer, held->id());
  EXPECT_EQ(confirmed.state(), v1::Booking::CONFIRMED);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'booking.confirmed'"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'work_order.released'"), 1);
  // Held at escrow, but the news has not come when the funding window ends.
  escrow_.PayIn(slow, 90000);
  AdvanceTo(Now() + hours(25));
  Fire();
  EXPECT_EQ(Get(slow, last->id()).state(), v1::Booking::CONFIRMED);
}

TEST_F(OperationsTest, AWorkOrderFromBookingToMoney) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New();
  auto booking = Book(buyer, machine, 0, 4, "turn 12 shafts");
  ASSERT_TRUE(booking);
  const std::string id = booking->id(), work = booking->work_order_id();
  EXPECT_EQ(Act(machine.provider, id, BookingEvent::kCheckIn).error().code, ErrorCode::kTooEarly);
  EXPECT_EQ(Act(buyer, id, BookingEvent::kCheckIn).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(Act(Uuid::New(), id, BookingEvent::kCheckIn).error().code, ErrorCode::kNotFound);
  AdvanceTo(At(0) - minutes(10));
  ASSERT_TRUE(Act(machine.provider, id, BookingEvent::kCheckIn));
  ASSERT_TRUE(Act(buyer, id, BookingEvent::kStart));
  EXPECT_EQ(ActWork(Uuid::New(), work, WorkEvent::kStart).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(ActWork(machine.provider, work, WorkEvent::kStart));
  ASSERT_TRUE(ActWork(machine.provider, work, WorkEvent::kDeliver, "12 shafts"));
  EXPECT_EQ(ActWork(buyer, work, WorkEvent::kReject).error().code, ErrorCode::kRequired);
  auto rejected = ActWork(buyer, work, WorkEvent::kReject, "too long");
  ASSERT_TRUE(rejected);
  EXPECT_EQ(rejected->state(), v1::WorkOrder::REWORK);
  ASSERT_TRUE(ActWork(machine.provider, work, WorkEvent::kStart));
  ASSERT_TRUE(ActWork(machine.provider, work, WorkEvent::kDeliver, "12 shafts again"));
  AdvanceTo(At(1));
  auto out = Act(machine.provider, id, BookingEvent::kCheckOut);
  ASSERT_TRUE(out);
  EXPECT_EQ(out->default_outcome(), "close");
  EXPECT_TRUE(Book(Uuid::New(), machine, 2, 2));  // the rest of the window is free again
  EXPECT_EQ(Act(buyer, id, BookingEvent::kClose).error().code, ErrorCode::kNotAcceptedYet);
  auto accepted = ActWork(buyer, work, WorkEvent::kAccept);
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->state(), v1::WorkOrder::CLOSED);
  EXPECT_EQ(Get(buyer, id).state(), v1::Booking::CLOSED);
  Fire();
  EXPECT_EQ(escrow_.escrows.at(IdOrNil(id)).captured, 40000);
}

TEST_F(OperationsTest, DeadlinesBringTheirDefaults) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New();
  auto missed = Book(buyer, machine, 0, 4), silent = Book(buyer, machine, 8, 4), left = Book(buyer, machine, 16, 4);
  ASSERT_TRUE(missed && silent && left);
  AdvanceTo(At(4));
  Fire();
  EXPECT_EQ(Get(buyer, missed->id()).state(), v1::Booking::NO_SHOW);
  AdvanceTo(At(8));
  ASSERT_TRUE(Act(machine.provider, silent->id(), BookingEvent::kCheckIn));
  AdvanceTo(At(12));
  ASSERT_TRUE(Act(machine.provider, silent->id(), BookingEvent::kCheckOut));
  AdvanceTo(At(16));
  ASSERT_TRUE(Act(machine.provider, left->id(), BookingEvent::kCheckIn));
  AdvanceTo(At(12 + 48) + std::chrono::minutes(1));  // the check-out came a moment after 12
  Fire();
  v1::Booking deemed = Get(buyer, silent->id());
  EXPECT_EQ(deemed.state(), v1::Booking::CLOSED);
  EXPECT_TRUE(deemed.deemed_accepted());
  EXPECT_EQ(Get(buyer, left->id()).state(), v1::Booking::CHECKED_OUT);  // by itself, 24 h after its window
  AdvanceTo(Now() + hours(49));
  Fire();
  Fire();
  EXPECT_EQ(Get(buyer, left->id()).state(), v1::Booking::CLOSED);
  EXPECT_EQ(escrow_.escrows.at(IdOrNil(missed->id())).captured, 20000);  // half: the no-show share
  EXPECT_EQ(escrow_.escrows.at(IdOrNil(silent->id())).captured, 40000);
  EXPECT_EQ(Count("SELECT count(*) FROM task"), 0);
  EXPECT_EQ(Count("SELECT count(*) FROM reservation WHERE release_time IS NULL"), 0);
}

TEST_F(OperationsTest, AProposalKeepsNoCapacityAndIsCheckedAfresh) {
  Offered machine;
  machine.approval = true;
  Publish(machine);
  Uuid one = Uuid::New(), two = Uuid::New();
  auto first = Book(one, machine, 0, 4), second = Book(two, machine, 2, 4), third = Book(one, machine, 20, 4);
  ASSERT_TRUE(first && second && third);
  EXPECT_EQ(first->state(), v1::Booking::PROPOSED);
  EXPECT_EQ(escrow_.holds, 0);
  EXPECT_EQ(Act(one, first->id(), BookingEvent::kApprove).error().code, ErrorCode::kInsufficientScope);
  auto approved = Act(machine.provider, first->id(), BookingEvent::kApprove);
  ASSERT_TRUE(approved) << approved.error().cause;
  EXPECT_EQ(approved->state(), v1::Booking::HELD);
  EXPECT_EQ(Act(machine.provider, second->id(), BookingEvent::kApprove).error().code, ErrorCode::kBookingConflict);
  Fire();
  EXPECT_EQ(Get(one, first->id()).state(), v1::Booking::CONFIRMED);
  ASSERT_TRUE(Act(machine.provider, second->id(), BookingEvent::kDecline));
  AdvanceTo(Now() + hours(6 * 24));
  Fire();
  EXPECT_EQ(Get(one, third->id()).state(), v1::Booking::EXPIRED);
}

TEST_F(OperationsTest, AKeyActsOnlyOnTheSideOfItsRoles) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New();
  auto booked = Book(buyer, machine, 0, 4);
  ASSERT_TRUE(booked);
  v1::BookingVerbRequest request;
  request.set_id(booked->id());
  CallContext buying_alone = As(machine.provider, "");
  buying_alone.roles = {"buyer"};
  auto refused = Await(operations().ActOnBooking(buying_alone, request, BookingEvent::kCancel, "Verb"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(Get(buyer, booked->id()).state(), v1::Booking::CONFIRMED);
  EXPECT_TRUE(Act(machine.provider, booked->id(), BookingEvent::kCancel));
}

TEST_F(OperationsTest, KnowsListingsByEventOrByAsking) {
  Offered machine;
  EXPECT_EQ(Book(Uuid::New(), machine, 0, 4).error().code, ErrorCode::kNotFound);
  listing_.listings[machine.listing] = Payload(machine);
  EXPECT_TRUE(Book(Uuid::New(), machine, 0, 4));
  const int asked = listing_.asked;
  EXPECT_TRUE(Book(Uuid::New(), machine, 4, 4));
  EXPECT_EQ(listing_.asked, asked);
  Offered changed = machine;
  changed.version = 2;
  listing_.listings[machine.listing] = Payload(changed);
  auto wish = Wish(machine, 8, 4);
  wish.mutable_booking()->set_listing_version(2);
  EXPECT_TRUE(Create(As(Uuid::New()), wish));  // newer than ours: asked
  auto stale = Wish(machine, 12, 4);
  stale.mutable_booking()->set_listing_version(1);
  auto refused = Create(As(Uuid::New()), stale);
  EXPECT_EQ(refused.error().code, ErrorCode::kListingChanged);
  EXPECT_EQ(refused.error().params.at("version"), "2");
  Publish(machine);  // an old event comes late
  EXPECT_EQ(Count("SELECT version FROM bookable"), 2);
  EXPECT_EQ(Book(machine.provider, machine, 12, 4).error().code, ErrorCode::kOwnResource);
}

TEST_F(OperationsTest, TiersAndSuspensionsLimitTheBuyer) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New();
  credit::v1::RiskTier tier;
  tier.set_organization_id(FormatId("org", buyer));
  tier.set_role(credit::v1::BUYER);
  tier.set_tier(4);
  tier.set_version(2);
  Tell("credit", "risk_tier.changed", tier.organization_id() + "/buyer", tier);
  auto risky = Book(buyer, machine, 0, 4);
  ASSERT_TRUE(risky);
  EXPECT_EQ(risky->price().deposit().amount(), 100000);  // twice
  // Tier 4 may have 100,000.00 outstanding.
  EXPECT_EQ(Book(buyer, machine, 10, 1000).error().code, ErrorCode::kExposureLimit);
  identity::v1::Organization organization;
  organization.set_id(FormatId("org", buyer));
  organization.set_state(identity::v1::Organization::SUSPENDED);
  Tell("identity", "organization.suspended", organization.id(), organization);
  EXPECT_EQ(Book(buyer, machine, 10, 4).error().code, ErrorCode::kOrganizationNotVerified);
  Tell("identity", "organization.changed", organization.id(), organization);
  EXPECT_EQ(Book(buyer, machine, 10, 4).error().code, ErrorCode::kOrganizationNotVerified);
  organization.set_state(identity::v1::Organization::VERIFIED);
  Tell("identity", "organization.reinstated", organization.id(), organization);
  EXPECT_TRUE(Book(buyer, machine, 10, 4));
}

TEST_F(OperationsTest, ACheckOnlyLeavesNothing) {
  Offered machine;
  Publish(machine);
  auto wish = Wish(machine, 0, 4);
  wish.set_validate_only(true);
  auto checked = Create(As(Uuid::New()), wish);
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->state(), v1::Booking::HELD);
  EXPECT_EQ(
      Count("SELECT (SELECT count(*) FROM booking) + (SELECT count(*) FROM task) + (SELECT count(*) FROM idempotency)"),
      0);
  EXPECT_EQ(escrow_.holds, 0);
}

TEST_F(OperationsTest, TimesAtTheEndsOfTheYearsAreRefusedNotFailed) {
  Offered machine;
  Publish(machine);
  constexpr int64_t kYear1 = -62135596800, kYear10000 = 253402300800;
  for (auto [start, end, code] : {std::tuple(kYear1, kYear1 + 1, ErrorCode::kWindowInPast),
                                  std::tuple(kYear1 + 86400, kYear1 + 100'000, ErrorCode::kWindowInPast),
                                  std::tuple(kYear10000 - 7200, kYear10000 - 1, ErrorCode::kOutOfRange),
                                  std::tuple(kYear10000 - 1'000'000, kYear10000 - 900'000, ErrorCode::kOutOfRange),
                                  std::tuple(kYear1, kYear10000 - 1, ErrorCode::kOutOfRange)}) {
    auto wish = Wish(machine, 0, 4);
    wish.mutable_booking()->mutable_window()->mutable_start_time()->set_seconds(start);
    wish.mutable_booking()->mutable_window()->mutable_end_time()->set_seconds(end);
    auto refused = Create(As(Uuid::New()), wish);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, code) << start << " " << refused.error().cause;
  }
}

TEST_F(OperationsTest, ReadersSeeTheirOwnAlone) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New(), stranger = Uuid::New();
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    auto booking = Book(buyer, machine, i * 4, 4, "work");
    ASSERT_TRUE(booking);
    ids.push_back(booking->id());
  }
  v1::GetBookingRequest get;
  get.set_id(ids[0]);
  EXPECT_EQ(Await(operations().GetBooking(As(stranger), get)).error().code, ErrorCode::kNotFound);
  for (const Uuid& party : {buyer, machine.provider}) {
    v1::ListBookingsRequest list;
    list.set_page_size(2);
    std::vector<std::string> seen;
    do {
      auto page = Await(operations().ListBookings(As(party), list));
      ASSERT_TRUE(page);
      for (const auto& booking : page->data()) seen.push_back(booking.id());
      list.set_page_token(page->next_page_token());
    } while (!list.page_token().empty());
    EXPECT_EQ(seen, std::vector<std::string>(ids.rbegin(), ids.rend()));
    EXPECT_EQ(Await(operations().ListWorkOrders(As(party), {}))->data_size(), 5);
  }
  EXPECT_EQ(Await(operations().ListBookings(As(stranger), {}))->data_size(), 0);
  CallContext overseer = As(stranger);
  overseer.roles = {"operator"};
  EXPECT_EQ(Await(operations().ListBookings(overseer, {}))->data_size(), 5);
  // Straight at the tables, past every function.
  auto raw = [&](const std::string& asking) {
    int64_t rows = -1;
    EXPECT_TRUE(instance_->reader->RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("SELECT set_config('millrace.organization', '" + asking + "', true)");
      rows = tx.ExecuteText("SELECT (SELECT count(*) FROM booking) + (SELECT count(*) FROM work_order)")[0].Int(0);
    }));
    return rows;
  };
  EXPECT_EQ(raw(""), 0);
  EXPECT_EQ(raw(stranger.Hex()), 0);
  EXPECT_EQ(raw(buyer.Hex()), 10);

  v1::SnapshotReservationsRequest snapshot;
  snapshot.set_limit(3);
  auto page = Await(operations().SnapshotReservations(CallContext::ForService("matching"), snapshot));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->data_size(), 3);
  EXPECT_TRUE(page->more());
  snapshot.set_after_id(page->data(2).id());
  page = Await(operations().SnapshotReservations(CallContext::ForService("matching"), snapshot));
  EXPECT_EQ(page->data_size(), 2);
  EXPECT_FALSE(page->more());
}

TEST_F(OperationsTest, AnUnknownOutcomeIsAskedAgainAndNothingIsUndone) {
  Offered machine;
  Publish(machine);
  Uuid buyer = Uuid::New();
  std::mt19937 random(1);
  escrow_.random = &random;
  escrow_.lose = 100;
  auto held = Book(buyer, machine, 0, 4);
  ASSERT_TRUE(held);
  EXPECT_EQ(held->state(), v1::Booking::HELD);
  escrow_.lose = 0;
  AdvanceTo(Now() + minutes(10));
  Fire();
  EXPECT_EQ(Get(buyer, held->id()).state(), v1::Booking::CONFIRMED);
  EXPECT_EQ(escrow_.holds, 1);
}

TEST_F(OperationsTest, TheModuleServesEveryMethodOfItsContract) {
  runtime::Settings settings;
  settings.Set("database_url", url_, "test");
  runtime::WakeupBus wakeups;
  runtime::Environment environment;
  environment.executor = loop_.executor();
  environment.settings = &settings;
  environment.wakeups = &wakeups;
  environment.channel = [this](std::string_view) -> rpc::Channel& { return escrow_; };
  auto module = MakeModule(environment);
  const auto* contract = rpc::FindMethod("millrace.operations.v1.Operations.CreateBooking")->service();
  for (int i = 0; i < contract->method_count(); ++i) {
    EXPECT_TRUE(module->service().Has(contract->method(i))) << contract->method(i)->name();
  }
  // Through the front door: rules of the method and of its fields hold.
  auto channel = rpc::LocalChannel(module->service());
  Offered machine;
  Publish(machine);
  CallContext context = As(Uuid::New());
  context.roles = {"provider"};
  auto refused = Await(rpc::Call<v1::Booking>(*channel, "millrace.operations.v1.Operations.CreateBooking", context,
                                              Wish(machine, 0, 4)));
  EXPECT_EQ(refused.error().code, ErrorCode::kInsufficientScope);
  context.roles = {"buyer"};
  auto booked = Await(rpc::Call<v1::Booking>(*channel, "millrace.operations.v1.Operations.CreateBooking", context,
                                             Wish(machine, 0, 4)));
  ASSERT_TRUE(booked) << Name(booked.error().code) << booked.error().cause;
  EXPECT_EQ(booked->state(), v1::Booking::CONFIRMED);
}

}  // namespace
}  // namespace millrace::operations
