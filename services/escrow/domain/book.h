// SPDX-License-Identifier: Apache-2.0
// The book of one batch: the escrows, parties and balances that its commands need, and the decisions on them.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/money.h"
#include "common/base/time.h"
#include "services/escrow/domain/escrow_states.h"
#include "services/escrow/domain/ledger.h"

namespace millrace::escrow::domain {

// Amounts in minor units of `currency`. A tombstone (a hold that was voided before it came) has no parties and no
// amounts.
struct Escrow {
  Uuid id, booking, buyer, provider;
  State state = State::kAwaiting;
  std::string currency = "CNY";
  int64_t price = 0, deposit = 0;
  int64_t captured = 0;  // fee included
  int64_t fee = 0, payout = 0;
  int64_t returned = 0;  // rest of the price and deposit
  int64_t missing = 0;   // while AWAITING
  std::string reason;    // of the capture
  PayOutState payout_state = PayOutState::kNone;
  int payout_attempt = 0;     // number of the instruction; 0: none yet
  std::string payout_detail;  // provider_suspended, or the custodian's reason
  Time payout_time;           // when the next instruction is due
  Time expire_time, create_time, update_time;
  int64_t version = 0;

  int64_t Total() const { return price + deposit; }
  bool IsTombstone() const { return buyer.IsNil(); }
};

// What escrow knows of an organization from other services.
struct Party {
  int tier = 3;
  bool suspended = false;
  std::string name;
};

// A transfer into the custodian's account, as the custodian tells it.
struct PayIn {
  std::string id;  // the custodian's
  int64_t amount = 0;
  std::string currency;
  std::string reference;  // as it came
  std::string payer_name;
  Time value_time;
  Uuid organization;  // credited to; nil: suspense
  Uuid transfer;
};

struct HoldTerms {
  Uuid escrow, booking, buyer, provider;
  Money price, deposit;
  Time expire_time;
};

// An instruction to the custodian to pay a provider.
struct PayOut {
  Uuid id, escrow;
  int attempt = 0;
  int64_t amount = 0;
  std::string currency;
  std::string beneficiary_name;
  PayOutState state = PayOutState::kSent;
  std::string reason;  // the custodian's
  Time send_time;
  bool held_back = false;  // the provider is suspended: ask for it, but do not send it
};

// What to do for a pay-out. kWait: it is not due, or the provider is suspended.
enum class PayOutStep { kNothing, kWait, kSend, kAsk };

// A change that others hear of: the event's type and the escrow as it was then.
struct Fact {
  std::string type;  // "escrow.held"
  Escrow escrow;
};

class Book {
 public:
  Time now;
  int64_t fee_basis_points = 0;
  std::function<Uuid()> new_id;

  Ledger ledger;
  std::map<Uuid, Escrow> escrows;
  std::map<Uuid, Party> parties;
  std::map<std::string, Uuid> references;  // payment reference -> organization
  std::map<std::string, PayIn> pay_ins;    // by the custodian's id
  std::map<Uuid, PayOut> pay_outs;         // by id

  // What the commands changed.
  std::set<Uuid> changed_escrows, changed_pay_outs;
  std::set<std::string> new_pay_ins;
  std::vector<Fact> facts;

  // Sets aside, or waits. The same terms again answer the escrow as it is. Errors: CURRENCY_MISMATCH, OUT_OF_RANGE,
  // HOLD_VOIDED, HOLD_EXPIRED, IDEMPOTENCY_KEY_REUSED (the booking has other terms).
  Result<const Escrow*> Hold(const HoldTerms& terms);
  // Gives back. With `only_unfunded` a held one is answered untouched and an awaiting one expires. Errors:
  // STATE_CONFLICT.
  Result<const Escrow*> Void(const Uuid& escrow, const Uuid& booking, bool only_unfunded);
  // Ends an escrow that still waits; any other is left as it is.
  void Expire(const Uuid& escrow);
  // Takes `amount` and returns the rest. Errors: NOT_FOUND, CURRENCY_MISMATCH, OUT_OF_RANGE, CAPTURE_EXCEEDS_HOLD,
  // STATE_CONFLICT.
  Result<const Escrow*> Capture(const Uuid& escrow, const Money& amount, const std::string& reason);
  // Credits whom the reference names, or suspense; one that is known already has no effect. Errors: INTERNAL.
  Result<void> Credit(PayIn pay_in);

  // Decides on a due pay-out; kSend and kAsk leave the instruction in `*instruction`, recorded as sent. `next` is the
  // id of a new one.
  PayOutStep BeginPayOut(const Uuid& escrow, const Uuid& next, PayOut* instruction);
  // The custodian has paid. Errors: INTERNAL.
  Result<void> PaidOut(const Uuid& instruction);
  // It refused: money stays payable and a new instruction is due after `retry_after`.
  void PayOutFailed(const Uuid& instruction, const std::string& reason, Duration retry_after);
  // It did not answer.
  void PayOutUnknown(const Uuid& instruction);

  // 404 for the buyer of another escrow, NOT_ACCEPTED_YET before its capture, STATE_CONFLICT after a void.
  Result<const Escrow*> Release(const Uuid& escrow, const Uuid& buyer) const;

  static AccountKey Available(const Escrow& e) { return {AccountKind::kAvailable, e.buyer, e.currency}; }
  static AccountKey Held(const Escrow& e) { return {AccountKind::kHeld, e.id, e.currency}; }
  static AccountKey Payable(const Escrow& e) { return {AccountKind::kPayable, e.provider, e.currency}; }

 private:
  Result<void> Post(std::string kind, const Escrow& escrow, std::vector<Entry> entries);
  void Touch(Escrow& escrow);
  void Move(Escrow& escrow, State to, const char* fact);
  // Tries the buyer's waiting escrows in the order of their creation, and says anew what the others miss.
  void Settle(const Uuid& buyer, const std::string& currency);
  PayOut* CurrentPayOut(const Escrow& escrow);
};

// STATE_CONFLICT of `action` in the escrow's state.
Error Conflict(const Escrow& escrow, std::string_view action);

}  // namespace millrace::escrow::domain
