// SPDX-License-Identifier: Apache-2.0
// Money in and out, through the bank's interface and its faults.
#include "tests/integration/escrow_world.h"

namespace millrace::escrow {
namespace {

class EscrowCustodian : public EscrowWorld {};

TEST_F(EscrowCustodian, PayInsGoToBalanceOrSuspenseAndAreNeverLost) {
  v1::Balance balance = Balance(AsBuyer());
  std::string reference = balance.payment_reference();
  ASSERT_EQ(reference.size(), 15u);
  EXPECT_EQ(balance.custodian_account(), "6217-1");
  v1::Escrow waiting = Hold(Uuid::New(), 1000, 200).value_or(v1::Escrow());
  EXPECT_EQ(waiting.state(), v1::Escrow::AWAITING);
  EXPECT_EQ(waiting.missing().amount(), 1200);
  EXPECT_EQ(waiting.payment_reference(), reference);
  ASSERT_EQ(waiting.actions_size(), 1);
  EXPECT_EQ(waiting.actions(0).action(), "expire");

  PayIn(1199, reference);  // short by one fen
  ASSERT_TRUE(Until([&] { return Available() == 1199; }));
  EXPECT_EQ(Get(waiting.id()).missing().amount(), 1);
  EXPECT_GT(Get(waiting.id()).version(), waiting.version()) << "what is missing is part of the ETag";
  PayIn(51, "  mr" + reference.substr(2, 5) + "-" + reference.substr(7) + " 租赁");  // surplus, as people type it
  ASSERT_TRUE(Until([&] { return Get(waiting.id()).state() == v1::Escrow::HELD; }));
  EXPECT_EQ(Available(), 50);
  EXPECT_EQ(Balance(AsBuyer()).held().amount(), 1200);

  PayIn(77, "MR0000000000000");  // nobody's
  PayIn(23, "rent");
  ASSERT_TRUE(
      Until([&] { return Number("SELECT coalesce(sum(balance), 0) FROM account WHERE kind = 'suspense'") == 100; }));

  // The last notice again, with a new signature or not: taken, without effect.
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Wait(Deliver(last_notice_)));
  Wait(Rest(std::chrono::milliseconds(300)));
  EXPECT_EQ(Number("SELECT count(*) FROM pay_in"), 4);
  v1::VerifyLedgerResponse verified = Verify();
  EXPECT_TRUE(verified.passed()) << verified.DebugString();
  EXPECT_EQ(verified.checks_size(), 5);
}

TEST_F(EscrowCustodian, ANoticeIsAHintAndMustBeSigned) {
  std::string reference = Balance(AsBuyer()).payment_reference();
  PayIn(10, reference);
  ASSERT_TRUE(Until([&] { return Available() == 10; }));
  http::Request forged = last_notice_;
  forged.body.back() = ' ';
  forged.body += "}";
  EXPECT_EQ(Wait(Deliver(forged)).error().code, ErrorCode::kSignatureInvalid);
  forged = last_notice_;
  forged.fields.Set("webhook-timestamp", "1614265330");
  EXPECT_EQ(Wait(Deliver(forged)).error().code, ErrorCode::kSignatureInvalid);
  EXPECT_EQ(Available(), 10);

  // Notices that get lost cost time only: whoever asks next finds the money.
  deaf_ = true;
  PayIn(90, reference);
  EXPECT_TRUE(Verify().passed());
  EXPECT_EQ(Available(), 100);

  // The bank is silent after its notice: the note of it stands, and the money comes when the bank speaks.
  deaf_ = false;
  Fault("silent", 1);
  PayIn(1, reference);
  ASSERT_TRUE(Until([&] { return Available() == 101; }));
  EXPECT_EQ(Number("SELECT count(*) FROM pay_in"), 3);
}

TEST_F(EscrowCustodian, CapturesPaysOutAndShowsEachEntry) {
  Uuid booking = Uuid::New();
  Fund(150000);
  v1::Escrow held = Hold(booking, 100000, 20000).value_or(v1::Escrow());
  ASSERT_EQ(held.state(), v1::Escrow::HELD);
  EXPECT_EQ(Available(), 30000);
  v1::ReleaseEscrowRequest release;
  release.set_id(held.id());
  EXPECT_EQ(Call<v1::Escrow>("ReleaseEscrow", AsBuyer(), release).error().code, ErrorCode::kNotAcceptedYet);
  EXPECT_EQ(Capture(booking, 100001).error().code, ErrorCode::kCaptureExceedsHold);
  v1::Escrow captured = Capture(booking, 33350).value_or(v1::Escrow());
  EXPECT_EQ(captured.state(), v1::Escrow::CAPTURED);
  EXPECT_EQ(captured.fee().amount(), 1000) << "3 % of 33,350 is 1,000.5: to the even fen";
  EXPECT_EQ(captured.payout().amount(), 32350);
  EXPECT_EQ(captured.returned().amount(), 86650);
  EXPECT_EQ(Available(), 30000 + 86650);
  ASSERT_TRUE(Until([&] { return Get(held.id()).state() == v1::Escrow::PAID_OUT; }));
  EXPECT_EQ(Get(held.id()).payout_state(), "DONE");
  EXPECT_EQ(Bank("GET", "/v1/account").value("balance", ""), std::to_string(150000 - 32350));
  EXPECT_EQ(Capture(booking, 33350).value_or(v1::Escrow()).state(), v1::Escrow::PAID_OUT) << "the same command";
  EXPECT_EQ(Capture(booking, 33351).error().code, ErrorCode::kStateConflict);
  EXPECT_EQ(Void(booking).error().code, ErrorCode::kStateConflict);
  EXPECT_EQ(Call<v1::Escrow>("ReleaseEscrow", AsBuyer(), release).value_or(v1::Escrow()).state(), v1::Escrow::PAID_OUT);
  EXPECT_EQ(Call<v1::Escrow>("ReleaseEscrow", As(stranger_, {"buyer"}), release).error().code, ErrorCode::kNotFound);

  v1::ListTransfersRequest request;
  request.set_page_size(2);
  std::vector<std::string> kinds;
  do {
    auto page = Call<v1::ListTransfersResponse>("ListTransfers", AsBuyer(), request);
    ASSERT_TRUE(page);
    for (const v1::Transfer& transfer : page->data()) {
      kinds.push_back(transfer.kind());
      int64_t sum = 0;
      for (const v1::Entry& entry : transfer.entries()) sum += entry.amount().amount();
      EXPECT_EQ(sum, 0) << transfer.DebugString();
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(kinds, (std::vector<std::string>{"pay_out", "capture", "hold", "pay_in"}));
  EXPECT_EQ(Call<v1::ListTransfersResponse>("ListTransfers", AsProvider(), v1::ListTransfersRequest())->data_size(), 3)
      << "the buyer's pay-in is not the provider's to see";
  EXPECT_TRUE(Verify().passed());
  EXPECT_EQ(Number("SELECT count(*) FROM event WHERE type IN ('escrow.held', 'escrow.captured', 'escrow.paid_out')"),
            3);
}

TEST_F(EscrowCustodian, ALostAnswerIsAskedForAndPaysOnce) {
  Fund(1000);
  Uuid booking = Uuid::New();
  std::string id = Hold(booking, 1000)->id();
  Fault("lose_answer", 1);
  ASSERT_TRUE(Capture(booking, 1000));
  ASSERT_TRUE(Until([&] { return Get(id).state() == v1::Escrow::PAID_OUT; })) << Get(id).DebugString();
  EXPECT_EQ(Bank("GET", "/v1/account").value("balance", ""), "30");
  EXPECT_EQ(Number("SELECT count(*) FROM pay_out"), 1);
  EXPECT_TRUE(Verify().passed());
}

TEST_F(EscrowCustodian, ASilentBankLeavesItUnknownUntilItSpeaks) {
  Fund(1000);
  Uuid booking = Uuid::New();
  std::string id = Hold(booking, 1000)->id();
  Fault("silent", 0);
  ASSERT_TRUE(Capture(booking, 1000));
  ASSERT_TRUE(Until([&] { return Get(id).payout_state() == "UNKNOWN"; }));
  EXPECT_EQ(Get(id).state(), v1::Escrow::CAPTURED);
  EXPECT_EQ(Balance(AsProvider()).payable().amount(), 970);
  Fault("none", 0);
  ASSERT_TRUE(Until([&] { return Get(id).state() == v1::Escrow::PAID_OUT; })) << Get(id).DebugString();
  EXPECT_EQ(Number("SELECT count(*) FROM pay_out"), 1);
  EXPECT_EQ(Balance(AsProvider()).payable().amount(), 0);
  EXPECT_TRUE(Verify().passed());
}

TEST_F(EscrowCustodian, AFailedPayOutStaysPayableAndIsTriedTheNextDay) {
  Fund(1000);
  Uuid booking = Uuid::New();
  std::string id = Hold(booking, 1000)->id();
  // Somebody empties the account behind our back.
  Bank("POST", "/v1/pay_outs",
       {{"id", "theft"},
        {"amount", "1000"},
        {"currency", "CNY"},
        {"beneficiary_name", "x"},
        {"beneficiary_account", "1"},
        {"purpose", "x"}});
  v1::VerifyLedgerResponse robbed = Verify();
  EXPECT_FALSE(robbed.passed());
  EXPECT_FALSE(robbed.checks(4).passed());
  EXPECT_NE(robbed.checks(4).detail().find("difference -10.00 CNY"), std::string::npos) << robbed.checks(4).detail();
  ASSERT_TRUE(Capture(booking, 1000));
  ASSERT_TRUE(Until([&] { return Get(id).payout_state() == "FAILED"; }));
  EXPECT_FALSE(Get(id).payout_detail().empty());
  EXPECT_EQ(Balance(AsProvider()).payable().amount(), 970);
  PayIn(1000, "back");
  Wait(Rest(std::chrono::milliseconds(700)));
  EXPECT_EQ(Get(id).payout_state(), "FAILED") << "not before a day has passed";
  Advance("25 hours");
  ASSERT_TRUE(Until([&] { return Get(id).state() == v1::Escrow::PAID_OUT; })) << Get(id).DebugString();
  EXPECT_EQ(Number("SELECT max(attempt) FROM pay_out"), 2);
  EXPECT_TRUE(Get(id).payout_detail().empty());
}

TEST_F(EscrowCustodian, ADefiniteRefusalFailsThePayOutAndIsNotAskedForEver) {
  identity::v1::Organization organization;
  organization.set_id(FormatId("org", provider_));
  organization.set_display_name("乙\x01厂");  // the bank takes no control characters
  organization.set_state(identity::v1::Organization::VERIFIED);
  Tell("identity", "organization.verified", organization.id(), 1, organization);
  ASSERT_TRUE(Until([&] { return Number("SELECT count(*) FROM party WHERE name <> ''") == 1; }));
  Fund(1000);
  Uuid booking = Uuid::New();
  std::string id = Hold(booking, 1000)->id();
  ASSERT_TRUE(Capture(booking, 1000));
  ASSERT_TRUE(Until([&] { return Get(id).payout_state() == "FAILED"; })) << Get(id).DebugString();
  EXPECT_NE(Get(id).payout_detail().find("control character"), std::string::npos) << Get(id).payout_detail();
  EXPECT_EQ(Balance(AsProvider()).payable().amount(), 970);
  TellOrganization("changed", 2, identity::v1::Organization::VERIFIED);
  ASSERT_TRUE(Until([&] { return Number("SELECT count(*) FROM party WHERE name = '乙厂'") == 1; }));
  Advance("25 hours");
  ASSERT_TRUE(Until([&] { return Get(id).state() == v1::Escrow::PAID_OUT; })) << Get(id).DebugString();
}

TEST_F(EscrowCustodian, WaitsForTheTiersDelayAndForAReinstatement) {
  credit::v1::RiskTier tier;
  tier.set_organization_id(FormatId("org", provider_));
  tier.set_role(credit::v1::PROVIDER);
  tier.set_tier(4);
  tier.set_version(1);
  Tell("credit", "risk_tier.changed", tier.organization_id() + "/provider", 1, tier);
  TellOrganization("suspended", 2, identity::v1::Organization::SUSPENDED);
  ASSERT_TRUE(Until([&] { return Number("SELECT count(*) FROM party WHERE tier = 4 AND suspended") == 1; }));
  Fund(1000);
  Uuid booking = Uuid::New();
  std::string id = Hold(booking, 1000)->id();
  ASSERT_TRUE(Capture(booking, 1000));
  Wait(Rest(std::chrono::milliseconds(700)));
  EXPECT_EQ(Get(id).payout_state(), "NONE");
  EXPECT_EQ(Get(id).payout_detail(), "") << "the release delay runs";
  Advance("3 days");
  ASSERT_TRUE(Until([&] { return Get(id).payout_detail() == "provider_suspended"; }));
  EXPECT_EQ(Number("SELECT count(*) FROM pay_out"), 0);
  TellOrganization("reinstated", 3, identity::v1::Organization::VERIFIED);
  ASSERT_TRUE(Until([&] { return Get(id).state() == v1::Escrow::PAID_OUT; })) << Get(id).DebugString();
}

}  // namespace
}  // namespace millrace::escrow
