// SPDX-License-Identifier: Apache-2.0
// Holds, races, and the walls that the database is.
#include "tests/integration/escrow_world.h"

namespace millrace::escrow {
namespace {

class EscrowLedger : public EscrowWorld {
 protected:
  // The error of a statement that a role runs.
  static std::string Refusal(postgres::Database& database, const std::string& sql) {
    Result<void> done = database.RunHere([&](Transaction& tx) { tx.ExecuteText(sql); });
    return done ? "" : done.error().cause;
  }
};

TEST_F(EscrowLedger, TwoWaitingEscrowsAreFundedInOrder) {
  Uuid first = Uuid::New(), second = Uuid::New();
  std::string a = Hold(first, 300)->id(), b = Hold(second, 300)->id();
  PayIn(400, Balance(AsBuyer()).payment_reference());
  ASSERT_TRUE(Until([&] { return Get(a).state() == v1::Escrow::HELD; }));
  EXPECT_EQ(Get(b).state(), v1::Escrow::AWAITING);
  EXPECT_EQ(Get(b).missing().amount(), 200);
  EXPECT_EQ(Void(first, true)->state(), v1::Escrow::HELD) << "what is funded is not touched";
  EXPECT_EQ(Void(first)->state(), v1::Escrow::VOIDED);
  EXPECT_EQ(Get(b).state(), v1::Escrow::HELD) << "what comes back funds the next";
  EXPECT_EQ(Available(), 100);
  EXPECT_TRUE(Verify().passed());
}

TEST_F(EscrowLedger, ALateHoldFailsAndARepeatedOneAnswersTheSame) {
  Fund(100);
  Uuid booking = Uuid::New();
  EXPECT_EQ(Void(booking)->state(), v1::Escrow::VOIDED);
  EXPECT_EQ(Void(booking)->state(), v1::Escrow::VOIDED);
  EXPECT_EQ(Hold(booking, 10).error().code, ErrorCode::kHoldVoided);
  Uuid late = Uuid::New();
  EXPECT_EQ(Void(late, true)->state(), v1::Escrow::EXPIRED);
  EXPECT_EQ(Hold(late, 10).error().code, ErrorCode::kHoldExpired);
  Uuid good = Uuid::New();
  v1::Escrow once = *Hold(good, 10), again = *Hold(good, 10);
  EXPECT_EQ(once.SerializeAsString(), again.SerializeAsString());
  EXPECT_EQ(Hold(good, 11).error().code, ErrorCode::kIdempotencyKeyReused);
  EXPECT_EQ(Available(), 90);
  EXPECT_EQ(Capture(Uuid::New(), 1).error().code, ErrorCode::kNotFound);
}

TEST_F(EscrowLedger, WaitingEndsByItselfADayAfterItsTime) {
  Uuid booking = Uuid::New();
  std::string id = Hold(booking, 10)->id();
  Advance("2 hours");
  Wait(Rest(std::chrono::milliseconds(700)));
  EXPECT_EQ(Get(id).state(), v1::Escrow::AWAITING) << "operations' business until then";
  Advance("24 hours");
  ASSERT_TRUE(Until([&] { return Get(id).state() == v1::Escrow::EXPIRED; }));
  EXPECT_EQ(Hold(booking, 10).error().code, ErrorCode::kHoldExpired);
  EXPECT_EQ(Number("SELECT count(*) FROM event WHERE type = 'escrow.expired'"), 1);
  Fund(10);  // late money is the buyer's
  EXPECT_EQ(Available(), 10);
}

TEST_F(EscrowLedger, HoldsAndVoidsOfTwoProcessesRaceWithoutALoss) {
  size_t second = StartModule();
  constexpr int kBookings = 24;
  Fund(kBookings * 100);
  int done = 0;
  std::vector<Uuid> bookings;
  auto one = [](EscrowLedger* test, Uuid booking, size_t module, bool hold, int* count) -> Task<void> {
    v1::HoldRequest holds = test->HoldOf(booking, 100);
    v1::VoidRequest voids;
    voids.set_booking_id(FormatId("bkg", booking));
    if (hold) {
      Result<v1::Escrow> held = co_await test->Send<v1::Escrow>("Hold", test->AsService(), std::move(holds), module);
      EXPECT_TRUE(held || held.error().code == ErrorCode::kHoldVoided) << held.error().cause;
    } else {
      Result<v1::Escrow> given = co_await test->Send<v1::Escrow>("Void", test->AsService(), std::move(voids), module);
      EXPECT_TRUE(given) << given.error().cause;
    }
    ++*count;
  };
  for (int i = 0; i < kBookings; ++i) {
    bookings.push_back(Uuid::New());
    // Half of them are voided by the other process; each hold is sent twice.
    Spawn(context_.get_executor(), one(this, bookings[i], 1, true, &done), "hold");
    Spawn(context_.get_executor(), one(this, bookings[i], second, true, &done), "hold");
    Spawn(context_.get_executor(), one(this, bookings[i], i % 2 ? second : 1, i % 2 == 0, &done), "void");
  }
  ASSERT_TRUE(Until([&] { return done == 3 * kBookings; }));
  EXPECT_EQ(Number("SELECT count(*) FROM escrow WHERE state = 'HELD'"), kBookings / 2);
  EXPECT_EQ(Number("SELECT count(*) FROM escrow WHERE state = 'VOIDED'"), kBookings / 2);
  EXPECT_EQ(Available(), kBookings / 2 * 100);
  v1::VerifyLedgerResponse verified = Verify();
  EXPECT_TRUE(verified.passed()) << verified.DebugString();
}

TEST_F(EscrowLedger, CapturesOfTwoProcessesMeetInTheFeeAccountWithoutADeadlock) {
  size_t second = StartModule();
  constexpr int kPairs = 12;
  std::vector<v1::CaptureRequest> captures;
  for (int i = 0; i < kPairs; ++i) {
    // Buyer and provider of its own for each: they share the fee's and the custodian's account alone.
    buyer_ = Uuid::New();
    provider_ = Uuid::New();
    Fund(1000);
    Uuid booking = Uuid::New();
    ASSERT_EQ(Hold(booking, 1000)->state(), v1::Escrow::HELD);
    v1::CaptureRequest request;
    request.set_booking_id(FormatId("bkg", booking));
    request.mutable_amount()->set_amount(1000);
    request.mutable_amount()->set_currency("CNY");
    request.set_reason("acceptance");
    captures.push_back(std::move(request));
  }
  int done = 0;
  auto one = [](EscrowLedger* test, v1::CaptureRequest request, size_t module, int* count) -> Task<void> {
    Result<v1::Escrow> captured =
        co_await test->Send<v1::Escrow>("Capture", test->AsService(), std::move(request), module);
    EXPECT_TRUE(captured) << captured.error().cause;
    ++*count;
  };
  for (int i = 0; i < kPairs; ++i) {
    Spawn(context_.get_executor(), one(this, captures[static_cast<size_t>(i)], i % 2 == 0 ? 1 : second, &done), "test");
  }
  ASSERT_TRUE(Until([&] { return done == kPairs; }));
  // A backend tells its deadlocks when it has been idle for a second.
  Wait(Rest(std::chrono::milliseconds(1500)));
  EXPECT_EQ(Number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
  EXPECT_EQ(Number("SELECT balance FROM account WHERE kind = 'fee'"), kPairs * 30);
  EXPECT_TRUE(Verify().passed());
}

TEST_F(EscrowLedger, NothingIsRewritten) {
  Fund(100);
  for (const char* sql :
       {"UPDATE entry SET amount = amount + 1", "DELETE FROM entry", "UPDATE transfer SET kind = 'void'",
        "DELETE FROM transfer", "TRUNCATE entry", "UPDATE pay_in SET amount = 1"}) {
    EXPECT_NE(Refusal(*worker_, sql).find("42501"), std::string::npos) << sql << ": " << Refusal(*worker_, sql);
  }
  // Not even by the owner.
  EXPECT_NE(Refusal(*admin_, "UPDATE escrow.entry SET amount = amount + 1").find("append only"), std::string::npos);
  EXPECT_NE(Refusal(*admin_, "DELETE FROM escrow.transfer").find("append only"), std::string::npos);
}

TEST_F(EscrowLedger, TheDatabaseRefusesWhatDoesNotBalanceAndWhatOverdraws) {
  Fund(100);
  std::string owner = buyer_.Hex();
  std::string transfer =
      "INSERT INTO transfer (id, kind, time) VALUES ('00000000-0000-4000-8000-000000000001', 'hold', now());"
      "INSERT INTO entry (transfer, position, kind, owner, currency, amount) VALUES "
      "('00000000-0000-4000-8000-000000000001', 0, 'available', '" +
      owner + "', 'CNY', ";
  std::string unbalanced = transfer + "5)";
  EXPECT_NE(Refusal(*worker_, unbalanced).find("does not sum to zero"), std::string::npos)
      << Refusal(*worker_, unbalanced);
  std::string overdraw =
      "UPDATE account SET balance = balance - 101 WHERE kind = 'available' AND owner = '" + owner + "'";
  EXPECT_NE(Refusal(*worker_, overdraw).find("account_not_negative"), std::string::npos);
  EXPECT_EQ(Available(), 100);
  EXPECT_TRUE(Verify().passed());
  // And the check sees a balance that was changed beside the entries.
  ASSERT_EQ(
      Refusal(*admin_, "SET ROLE escrow_worker; UPDATE escrow.account SET balance = 101 WHERE kind = 'available'"), "");
  v1::VerifyLedgerResponse verified = Verify();
  EXPECT_FALSE(verified.passed());
  EXPECT_FALSE(verified.checks(1).passed()) << verified.DebugString();
}

TEST_F(EscrowLedger, PartiesSeeTheirOwnAndNobodyElseSeesAnything) {
  Uuid booking = Uuid::New();
  Fund(100);
  v1::Escrow held = *Hold(booking, 60, 20);
  v1::Escrow waiting = *Hold(Uuid::New(), 60);
  for (const char* table : {"account", "transfer", "entry", "escrow", "pay_in", "payment_reference"}) {
    EXPECT_GT(Visible(table, buyer_), 0) << table;
    EXPECT_EQ(Visible(table, stranger_), 0) << table;
    EXPECT_EQ(Visible(table, Uuid()), 0) << table;
  }
  EXPECT_EQ(Visible("escrow", provider_), 2);
  EXPECT_EQ(Visible("pay_in", provider_), 0);
  EXPECT_EQ(Get(held.id(), As(stranger_, {"buyer"})).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Get(FormatId("esc", Uuid::New()), AsBuyer()).error().code, ErrorCode::kNotFound);
  CallContext buyer = AsBuyer();
  EXPECT_EQ(Get(waiting.id(), buyer)->missing().amount(), 40);
  EXPECT_EQ(buyer.reply->etag, std::to_string(waiting.version()));
  EXPECT_FALSE(Get(waiting.id(), AsProvider())->has_missing()) << "it would tell the buyer's balance";
  EXPECT_EQ(Get(waiting.id(), AsProvider())->payment_reference(), "");
  EXPECT_EQ(Balance(AsProvider()).available().amount(), 0);

  v1::ListEscrowsRequest request;
  request.set_page_size(1);
  auto first = Call<v1::ListEscrowsResponse>("ListEscrows", AsBuyer(), request);
  ASSERT_TRUE(first);
  ASSERT_EQ(first->data_size(), 1);
  EXPECT_EQ(first->data(0).id(), waiting.id()) << "newest first";
  request.set_page_token(first->next_page_token());
  auto second = Call<v1::ListEscrowsResponse>("ListEscrows", AsBuyer(), request);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->data(0).id(), held.id());
  EXPECT_EQ(second->next_page_token(), "");
  EXPECT_EQ(Call<v1::ListEscrowsResponse>("ListEscrows", AsProvider(), request).error().code,
            ErrorCode::kInvalidPageToken);
  v1::ListEscrowsRequest filtered;
  filtered.set_booking_id(FormatId("bkg", booking));
  EXPECT_EQ(Call<v1::ListEscrowsResponse>("ListEscrows", AsOperator(), filtered)->data_size(), 1);
  filtered.set_state(v1::Escrow::AWAITING);
  EXPECT_EQ(Call<v1::ListEscrowsResponse>("ListEscrows", AsOperator(), filtered)->data_size(), 0);
  EXPECT_EQ(Call<v1::VerifyLedgerResponse>("VerifyLedger", AsBuyer(), v1::VerifyLedgerRequest()).error().code,
            ErrorCode::kInsufficientScope);
}

}  // namespace
}  // namespace millrace::escrow
