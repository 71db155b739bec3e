// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/domain/book.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "services/escrow/domain/reference.h"
#include "tests/support/rounds.h"

namespace millrace::escrow::domain {
namespace {

Uuid Number(int kind, int n) {
  Uuid id;
  id.bytes[0] = static_cast<uint8_t>(kind);
  id.bytes[14] = static_cast<uint8_t>(n >> 8);
  id.bytes[15] = static_cast<uint8_t>(n);
  return id;
}

const Uuid kBuyer = Number(1, 1), kProvider = Number(2, 1);

struct BookTest : ::testing::Test {
  BookTest() {
    book.fee_basis_points = 300;
    book.now = FromMicros(1'000'000);
    book.new_id = [this] { return Number(9, ++ids); };
  }
  HoldTerms Terms(int n, int64_t price, int64_t deposit) {
    return {Number(3, n), Number(4, n), kBuyer, kProvider, {price, "CNY"}, {deposit, "CNY"}, FromMicros(9'000'000)};
  }
  void PayIn(const std::string& id, int64_t amount, Uuid organization = kBuyer) {
    domain::PayIn pay_in;
    pay_in.id = id;
    pay_in.amount = amount;
    pay_in.currency = "CNY";
    pay_in.organization = organization;
    ASSERT_TRUE(book.Credit(pay_in));
  }
  int64_t Available(Uuid organization = kBuyer) {
    return book.ledger.Balance({AccountKind::kAvailable, organization, "CNY"});
  }
  int64_t Fee() { return book.ledger.Balance({AccountKind::kFee, {}, "CNY"}); }
  Book book;
  int ids = 0;
};

TEST_F(BookTest, HoldsAtOnceWhenCoveredAndWaitsOtherwise) {
  PayIn("a", 1000);
  auto held = book.Hold(Terms(1, 700, 200));
  ASSERT_TRUE(held);
  EXPECT_EQ((*held)->state, State::kHeld);
  EXPECT_EQ(Available(), 100);
  auto waiting = book.Hold(Terms(2, 150, 0));
  ASSERT_TRUE(waiting);
  EXPECT_EQ((*waiting)->state, State::kAwaiting);
  EXPECT_EQ((*waiting)->missing, 50);
  PayIn("b", 49);
  EXPECT_EQ(book.escrows[Number(3, 2)].missing, 1);
  PayIn("c", 1);
  EXPECT_EQ(book.escrows[Number(3, 2)].state, State::kHeld);
  EXPECT_EQ(Available(), 0);
}

TEST_F(BookTest, APayInFundsInTheOrderOfCreation) {
  for (int n : {2, 1, 3}) {
    book.now += Duration(1);
    ASSERT_TRUE(book.Hold(Terms(n, 100, 0)));
  }
  PayIn("a", 250);
  EXPECT_EQ(book.escrows[Number(3, 2)].state, State::kHeld);
  EXPECT_EQ(book.escrows[Number(3, 1)].state, State::kHeld);
  EXPECT_EQ(book.escrows[Number(3, 3)].state, State::kAwaiting);
  EXPECT_EQ(book.escrows[Number(3, 3)].missing, 50);
  // Money that comes back is money that came in.
  ASSERT_TRUE(book.Void(Number(3, 1), Number(4, 1), false));
  EXPECT_EQ(book.escrows[Number(3, 3)].state, State::kHeld);
  EXPECT_EQ(Available(), 50);
}

TEST_F(BookTest, ALateHoldFailsByTheTombstone) {
  ASSERT_TRUE(book.Void(Number(3, 1), Number(4, 1), false));
  EXPECT_EQ(book.Hold(Terms(1, 5, 0)).error().code, ErrorCode::kHoldVoided);
  ASSERT_TRUE(book.Void(Number(3, 2), Number(4, 2), true));
  EXPECT_EQ(book.Hold(Terms(2, 5, 0)).error().code, ErrorCode::kHoldExpired);
  EXPECT_TRUE(book.facts.empty()) << "a tombstone has nobody to tell";
}

TEST_F(BookTest, OtherTermsForOneBookingAreRefused) {
  ASSERT_TRUE(book.Hold(Terms(1, 5, 0)));
  EXPECT_EQ(book.Hold(Terms(1, 6, 0)).error().code, ErrorCode::kIdempotencyKeyReused);
  HoldTerms mixed = Terms(2, 5, 0);
  mixed.deposit.currency = "EUR";
  EXPECT_EQ(book.Hold(mixed).error().code, ErrorCode::kCurrencyMismatch);
  EXPECT_EQ(book.Hold(Terms(2, -1, 0)).error().code, ErrorCode::kOutOfRange);
}

TEST_F(BookTest, OnlyUnfundedLeavesTheFunded) {
  PayIn("a", 10);
  ASSERT_TRUE(book.Hold(Terms(1, 10, 0)));
  EXPECT_EQ((*book.Void(Number(3, 1), Number(4, 1), true))->state, State::kHeld);
  ASSERT_TRUE(book.Hold(Terms(2, 10, 0)));
  EXPECT_EQ((*book.Void(Number(3, 2), Number(4, 2), true))->state, State::kExpired);
  EXPECT_EQ((*book.Void(Number(3, 1), Number(4, 1), false))->state, State::kVoided);
  EXPECT_EQ(Available(), 10);
}

TEST_F(BookTest, CapturesToTheFen) {
  struct Case {
    int64_t price, deposit, amount, fee;
  };
  int n = 0;
  // Half to even: 3 % of 50 fen is 1.5 → 2, of 150 is 4.5 → 4, of 16 is 0.48 → 0.
  for (const Case& c : {Case{50, 0, 50, 2}, Case{150, 7, 150, 4}, Case{16, 1, 16, 0}, Case{100000, 20000, 33333, 1000},
                        Case{10, 10, 0, 0}}) {
    ++n;
    PayIn("p" + std::to_string(n), c.price + c.deposit);
    ASSERT_TRUE(book.Hold(Terms(n, c.price, c.deposit)));
    int64_t fee = Fee(), available = Available();
    int64_t payable = book.ledger.Balance({AccountKind::kPayable, kProvider, "CNY"});
    EXPECT_EQ(book.Capture(Number(3, n), {c.price + 1, "CNY"}, "x").error().code, ErrorCode::kCaptureExceedsHold);
    EXPECT_EQ(book.Capture(Number(3, n), {c.amount, "EUR"}, "x").error().code, ErrorCode::kCurrencyMismatch);
    auto captured = book.Capture(Number(3, n), {c.amount, "CNY"}, "acceptance");
    ASSERT_TRUE(captured);
    EXPECT_EQ((*captured)->fee, c.fee);
    EXPECT_EQ((*captured)->payout, c.amount - c.fee);
    EXPECT_EQ(Fee() - fee, c.fee);
    EXPECT_EQ(book.ledger.Balance({AccountKind::kPayable, kProvider, "CNY"}) - payable, c.amount - c.fee);
    EXPECT_EQ(Available() - available, c.price + c.deposit - c.amount);
    EXPECT_EQ((*captured)->state, c.amount == 0 ? State::kPaidOut : State::kCaptured);
    ASSERT_TRUE(book.Capture(Number(3, n), {c.amount, "CNY"}, "again"));
    EXPECT_EQ(book.Capture(Number(3, n), {c.amount + 1, "CNY"}, "x").error().code, ErrorCode::kStateConflict);
    EXPECT_EQ(book.Void(Number(3, n), Number(4, n), false).error().code, ErrorCode::kStateConflict);
  }
}

TEST_F(BookTest, PaysOutOnceAndNeverGuesses) {
  PayIn("a", 1000);
  ASSERT_TRUE(book.Hold(Terms(1, 1000, 0)));
  EXPECT_EQ(book.Release(Number(3, 1), kBuyer).error().code, ErrorCode::kNotAcceptedYet);
  EXPECT_EQ(book.Release(Number(3, 1), kProvider).error().code, ErrorCode::kNotFound);
  book.parties[kProvider] = {4, true, "厂"};
  ASSERT_TRUE(book.Capture(Number(3, 1), {1000, "CNY"}, "acceptance"));
  EXPECT_EQ(book.escrows[Number(3, 1)].payout_time, book.now + std::chrono::hours(72));
  PayOut instruction;
  EXPECT_EQ(book.BeginPayOut(Number(3, 1), Number(5, 1), &instruction), PayOutStep::kWait);
  EXPECT_EQ(book.escrows[Number(3, 1)].payout_detail, "") << "the release delay runs";
  book.now += std::chrono::hours(72);
  EXPECT_EQ(book.BeginPayOut(Number(3, 1), Number(5, 1), &instruction), PayOutStep::kWait);
  EXPECT_EQ(book.escrows[Number(3, 1)].payout_detail, "provider_suspended");
  book.parties[kProvider].suspended = false;
  EXPECT_EQ(book.BeginPayOut(Number(3, 1), Number(5, 1), &instruction), PayOutStep::kSend);
  EXPECT_EQ(instruction.amount, 970);
  book.PayOutUnknown(Number(5, 1));
  EXPECT_EQ(book.escrows[Number(3, 1)].payout_state, PayOutState::kUnknown);
  EXPECT_EQ(book.BeginPayOut(Number(3, 1), Number(5, 2), &instruction), PayOutStep::kAsk);
  EXPECT_EQ(instruction.id, Number(5, 1)) << "an unknown outcome keeps its instruction";
  book.PayOutFailed(Number(5, 1), "account closed", std::chrono::hours(24));
  EXPECT_EQ(book.ledger.Balance({AccountKind::kPayable, kProvider, "CNY"}), 970);
  EXPECT_EQ(book.BeginPayOut(Number(3, 1), Number(5, 2), &instruction), PayOutStep::kWait) << "not before a day";
  book.now += std::chrono::hours(24);
  EXPECT_EQ(book.BeginPayOut(Number(3, 1), Number(5, 2), &instruction), PayOutStep::kSend);
  EXPECT_EQ(instruction.id, Number(5, 2));
  ASSERT_TRUE(book.PaidOut(Number(5, 2)));
  ASSERT_TRUE(book.PaidOut(Number(5, 2)));
  EXPECT_EQ(book.ledger.Balance({AccountKind::kPayable, kProvider, "CNY"}), 0);
  EXPECT_EQ(book.escrows[Number(3, 1)].state, State::kPaidOut);
  EXPECT_EQ(book.BeginPayOut(Number(3, 1), Number(5, 3), &instruction), PayOutStep::kNothing);
}

TEST_F(BookTest, RefusesWhatDoesNotSumToZeroOrOverdraws) {
  AccountKey a{AccountKind::kAvailable, kBuyer, "CNY"}, c{AccountKind::kCustodian, {}, "CNY"};
  AccountKey euro{AccountKind::kCustodian, {}, "EUR"};
  Transfer transfer;
  transfer.entries = {{a, 5}, {c, -4}};
  EXPECT_EQ(book.ledger.Post(transfer).error().code, ErrorCode::kInternal);
  transfer.entries = {{a, 5}, {euro, -5}};
  EXPECT_EQ(book.ledger.Post(transfer).error().code, ErrorCode::kInternal);
  transfer.entries = {{a, -5}, {c, 5}};
  EXPECT_EQ(book.ledger.Post(transfer).error().code, ErrorCode::kInsufficientFunds);
  EXPECT_TRUE(book.ledger.posted().empty());
  EXPECT_EQ(Available(), 0);
}

TEST(States, EachIsReachedFromAwaitingAndOnlyKnownRowsExist) {
  std::set<State> reached = {State::kAwaiting};
  for (int round = 0; round < 6; ++round) {
    for (State state : std::set<State>(reached)) {
      for (const auto* row : EscrowStates().From(state)) reached.insert(row->to);
    }
  }
  EXPECT_EQ(reached.size(), 6u);
  for (State end : {State::kPaidOut, State::kVoided, State::kExpired}) EXPECT_TRUE(EscrowStates().From(end).empty());
}

TEST(Reference, IsFoundAsPeopleTypeIt) {
  std::string digest(32, '\0');
  for (size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<char>(i * 37 + 11);
  std::string reference = MakeReference(digest);
  ASSERT_EQ(reference.size(), 15u);
  EXPECT_EQ(FindReferences(reference), std::vector<std::string>{reference});
  std::string typed = "设备租赁 mr";
  for (size_t i = 2; i < reference.size(); ++i) {
    char c = reference[i] == '0' ? 'o' : reference[i] == '1' ? 'l' : static_cast<char>(std::tolower(reference[i]));
    typed += c;
    if (i % 4 == 0) typed += i % 8 ? " " : "-";
  }
  EXPECT_EQ(FindReferences(typed + " 谢谢"), std::vector<std::string>{reference});
  EXPECT_TRUE(FindReferences(reference.substr(0, 14)).empty());
  EXPECT_TRUE(FindReferences("").empty());
  digest[0] ^= 1;
  EXPECT_NE(MakeReference(digest), reference);
}

// The plainest book that could be: what each command should come to, told once more without ledger, transfers or
// states' table.
struct Naive {
  struct Hold {
    int buyer = 0;
    int64_t price = 0, deposit = 0, payout = 0;
    char state = 'A';  // Awaiting Held Captured Paid Voided eXpired
    int64_t order = 0;
  };
  std::map<int, Hold> holds;
  std::map<int, int64_t> available;
  int64_t fee = 0, suspense = 0, in = 0, out = 0, order = 0;

  void Try(int buyer) {
    std::map<int64_t, Hold*> waiting;
    for (auto& [n, hold] : holds) {
      if (hold.buyer == buyer && hold.state == 'A') waiting[hold.order] = &hold;
    }
    for (auto& [at, hold] : waiting) {
      if (available[buyer] < hold->price + hold->deposit) continue;
      available[buyer] -= hold->price + hold->deposit;
      hold->state = 'H';
    }
  }
};

class Fuzz {
 public:
  explicit Fuzz(uint64_t seed) : random_(seed) {
    book_.fee_basis_points = Pick(0, 1000);
    book_.now = FromMicros(1);
    book_.new_id = [this] { return Number(9, ++ids_); };
  }
  void Run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) {
      book_.now += Duration(1);
      Step();
      Check();
    }
  }

 private:
  int64_t Pick(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(random_); }

  void Step() {
    int n = static_cast<int>(Pick(1, 24));
    switch (Pick(0, 6)) {
      case 0:
        return PayIn();
      case 1:
      case 2:
        return Hold(n);
      case 3:
        return Void(n, Pick(0, 1) == 1);
      case 4:
        return Capture(n);
      case 5:
        return PayOut(n);
      default:
        book_.Expire(Number(3, n));
        if (auto found = naive_.holds.find(n); found != naive_.holds.end() && found->second.state == 'A') {
          found->second.state = 'X';
        }
    }
  }

  void PayIn() {
    int buyer = static_cast<int>(Pick(0, 3));
    domain::PayIn pay_in;
    pay_in.id = "cpi_" + std::to_string(Pick(1, 60));
    pay_in.amount = Pick(1, 3000);
    pay_in.currency = "CNY";
    if (buyer) pay_in.organization = Number(1, buyer);
    bool known = !paid_in_.insert(pay_in.id).second;
    ASSERT_TRUE(book_.Credit(pay_in));
    if (known) return;
    naive_.in += pay_in.amount;
    (buyer ? naive_.available[buyer] : naive_.suspense) += pay_in.amount;
    naive_.Try(buyer);
  }

  void Hold(int n) {
    int buyer = n % 3 + 1;
    int64_t price = n * 37, deposit = n % 4 * 10;
    auto result = book_.Hold({Number(3, n),
                              Number(4, n),
                              Number(1, buyer),
                              Number(2, n % 2 + 1),
                              {price, "CNY"},
                              {deposit, "CNY"},
                              book_.now});
    auto found = naive_.holds.find(n);
    if (found != naive_.holds.end() && (found->second.state == 'V' || found->second.state == 'X')) {
      EXPECT_FALSE(result);
      return;
    }
    ASSERT_TRUE(result);
    if (found != naive_.holds.end()) return;
    naive_.holds[n] = {buyer, price, deposit, 0, 'A', ++naive_.order};
    if (naive_.available[buyer] >= price + deposit) naive_.Try(buyer);
  }

  void Void(int n, bool only_unfunded) {
    auto result = book_.Void(Number(3, n), Number(4, n), only_unfunded);
    auto [found, fresh] = naive_.holds.try_emplace(n);
    Naive::Hold& hold = found->second;
    if (hold.state == 'C' || hold.state == 'P') {
      EXPECT_FALSE(result);
    } else if (hold.state == 'A') {
      hold.state = only_unfunded ? 'X' : 'V';
    } else if (hold.state == 'H' && !only_unfunded) {
      hold.state = 'V';
      naive_.available[hold.buyer] += hold.price + hold.deposit;
      naive_.Try(hold.buyer);
    }
  }

  void Capture(int n) {
    auto found = naive_.holds.find(n);
    int64_t price = found == naive_.holds.end() ? 10 : found->second.price;
    int64_t amount = Pick(0, price + price / 4);
    auto result = book_.Capture(Number(3, n), {amount, "CNY"}, "acceptance");
    if (found == naive_.holds.end() || found->second.state != 'H' || amount > price) {
      bool repeated = found != naive_.holds.end() && (found->second.state == 'C' || found->second.state == 'P');
      if (!repeated) EXPECT_FALSE(result);
      return;
    }
    ASSERT_TRUE(result);
    Naive::Hold& hold = found->second;
    // Half to even, by whole numbers in the way of a school book.
    int64_t product = amount * book_.fee_basis_points, fee = product / 10000, rest = product % 10000;
    if (rest > 5000 || (rest == 5000 && fee % 2 == 1)) ++fee;
    hold.payout = amount - fee;
    hold.state = hold.payout == 0 ? 'P' : 'C';
    naive_.fee += fee;
    naive_.available[hold.buyer] += hold.price + hold.deposit - amount;
    naive_.Try(hold.buyer);
  }

  void PayOut(int n) {
    domain::PayOut instruction;
    PayOutStep step = book_.BeginPayOut(Number(3, n), Number(5, ++ids_), &instruction);
    auto found = naive_.holds.find(n);
    bool due = found != naive_.holds.end() && found->second.state == 'C';
    EXPECT_EQ(step != PayOutStep::kNothing, due);
    if (!due || step == PayOutStep::kWait) return;
    switch (Pick(0, 3)) {
      case 0:
        return book_.PayOutFailed(instruction.id, "no such account", Duration(5));
      case 1:
        return book_.PayOutUnknown(instruction.id);
      case 2:
        return;  // crashed between
      default:
        ASSERT_TRUE(book_.PaidOut(instruction.id));
        found->second.state = 'P';
        naive_.out += found->second.payout;
    }
  }

  void Check() {
    int64_t sum = 0;
    for (const auto& [account, balance] : book_.ledger.balances()) {
      sum += balance;
      if (IsBounded(account.kind)) EXPECT_GE(balance, 0) << AccountName(account);
    }
    EXPECT_EQ(sum, 0);
    for (; seen_ < book_.ledger.posted().size(); ++seen_) {
      int64_t one = 0;
      for (const Entry& entry : book_.ledger.posted()[seen_].entries) one += entry.amount;
      EXPECT_EQ(one, 0);
    }
    EXPECT_EQ(book_.ledger.Balance({AccountKind::kCustodian, {}, "CNY"}), naive_.out - naive_.in);
    EXPECT_EQ(book_.ledger.Balance({AccountKind::kFee, {}, "CNY"}), naive_.fee);
    EXPECT_EQ(book_.ledger.Balance({AccountKind::kSuspense, {}, "CNY"}), naive_.suspense);
    for (int buyer = 1; buyer <= 3; ++buyer) {
      EXPECT_EQ(book_.ledger.Balance({AccountKind::kAvailable, Number(1, buyer), "CNY"}), naive_.available[buyer]);
    }
    EXPECT_EQ(book_.escrows.size(), naive_.holds.size());
    for (const auto& [n, hold] : naive_.holds) {
      const Escrow& escrow = book_.escrows[Number(3, n)];
      EXPECT_EQ("AHCPVX"[static_cast<int>(escrow.state) - 1], hold.state) << n;
      EXPECT_EQ(book_.ledger.Balance(Book::Held(escrow)), hold.state == 'H' ? hold.price + hold.deposit : 0) << n;
      int64_t missing = hold.state == 'A' ? hold.price + hold.deposit - naive_.available[hold.buyer] : 0;
      EXPECT_EQ(escrow.missing, missing) << n;
      if (escrow.state == State::kPaidOut && escrow.payout > 0) EXPECT_EQ(escrow.payout_state, PayOutState::kDone);
      // Ended is ended.
      auto [ended, fresh] = ended_.try_emplace(n, hold.state);
      if (!fresh && std::string("PVX").contains(ended->second)) EXPECT_EQ(hold.state, ended->second);
      ended->second = hold.state;
    }
  }

  std::mt19937_64 random_;
  Book book_;
  Naive naive_;
  std::set<std::string> paid_in_;
  std::map<int, char> ended_;
  size_t seen_ = 0;
  int ids_ = 0;
};

TEST(BookFuzz, AgreesWithTheNaiveModel) {
  const char* given = std::getenv("MILLRACE_SEED");
  uint64_t first = given ? std::strtoull(given, nullptr, 10) : std::random_device()();
  for (uint64_t seed = first; seed < first + static_cast<uint64_t>(given ? 1 : Rounds(60)) && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("MILLRACE_SEED=" + std::to_string(seed));
    Fuzz(seed).Run(300);
  }
  std::printf("seeds from %llu\n", static_cast<unsigned long long>(first));
}

}  // namespace
}  // namespace millrace::escrow::domain
