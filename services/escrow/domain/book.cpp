// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/domain/book.h"

#include <algorithm>
#include <tuple>

#include "common/base/risk_tier.h"

namespace millrace::escrow::domain {
namespace {

Result<void> CheckAmount(const Money& money, const std::string& field) {
  if (money.amount >= 0 && money.amount < kMaxMoneyAmount) return {};
  return Fail(Error::At("#/" + field + "/amount", ErrorCode::kOutOfRange,
                        {{"min", "0"}, {"max", std::to_string(kMaxMoneyAmount - 1)}}));
}

bool SameTerms(const Escrow& escrow, const HoldTerms& terms) {
  return escrow.buyer == terms.buyer && escrow.provider == terms.provider && escrow.price == terms.price.amount &&
         escrow.deposit == terms.deposit.amount && escrow.currency == terms.price.currency;
}

}  // namespace

Error Conflict(const Escrow& escrow, std::string_view action) {
  return Error(ErrorCode::kStateConflict, {{"state", std::string(StateName(escrow.state))},
                                           {"action", std::string(action)},
                                           {"allowed", EscrowStates().Allowed(escrow.state, kAnyActor)}});
}

Result<void> Book::Post(std::string kind, const Escrow& escrow, std::vector<Entry> entries) {
  Transfer transfer;
  transfer.id = new_id();
  transfer.kind = std::move(kind);
  transfer.escrow = escrow.id;
  transfer.buyer = escrow.buyer;
  transfer.provider = escrow.provider;
  transfer.entries = std::move(entries);
  transfer.time = now;
  return ledger.Post(std::move(transfer));
}

void Book::Touch(Escrow& escrow) {
  ++escrow.version;
  escrow.update_time = now;
  changed_escrows.insert(escrow.id);
}

void Book::Move(Escrow& escrow, State to, const char* fact) {
  escrow.state = to;
  if (to != State::kAwaiting) escrow.missing = 0;
  Touch(escrow);
  if (!escrow.IsTombstone()) facts.push_back({fact, escrow});
}

void Book::Settle(const Uuid& buyer, const std::string& currency) {
  std::vector<Escrow*> waiting;
  for (auto& [id, escrow] : escrows) {
    if (escrow.state == State::kAwaiting && escrow.buyer == buyer && escrow.currency == currency) {
      waiting.push_back(&escrow);
    }
  }
  std::sort(waiting.begin(), waiting.end(), [](const Escrow* a, const Escrow* b) {
    return std::tie(a->create_time, a->id) < std::tie(b->create_time, b->id);
  });
  for (Escrow* escrow : waiting) {
    int64_t total = escrow->Total();
    if (ledger.Balance(Available(*escrow)) < total) continue;
    if (Post("hold", *escrow, {{Available(*escrow), -total}, {Held(*escrow), total}})) {
      Move(*escrow, State::kHeld, "escrow.held");
    }
  }
  for (Escrow* escrow : waiting) {
    if (escrow->state != State::kAwaiting) continue;
    int64_t missing = escrow->Total() - ledger.Balance(Available(*escrow));
    if (missing == escrow->missing) continue;
    escrow->missing = missing;
    Touch(*escrow);
  }
}

Result<const Escrow*> Book::Hold(const HoldTerms& terms) {
  if (terms.deposit.currency != terms.price.currency) {
    return Fail(Error::At("#/deposit/currency", ErrorCode::kCurrencyMismatch, {{"expected", terms.price.currency}}));
  }
  MILLRACE_CHECK(CheckAmount(terms.price, "price"));
  MILLRACE_CHECK(CheckAmount(terms.deposit, "deposit"));
  if (auto found = escrows.find(terms.escrow); found != escrows.end()) {
    const Escrow& known = found->second;
    if (known.state == State::kVoided) return Fail(ErrorCode::kHoldVoided);
    if (known.state == State::kExpired) return Fail(ErrorCode::kHoldExpired);
    if (!SameTerms(known, terms)) return Fail(ErrorCode::kIdempotencyKeyReused);
    return &known;
  }
  Escrow escrow;
  escrow.id = terms.escrow;
  escrow.booking = terms.booking;
  escrow.buyer = terms.buyer;
  escrow.provider = terms.provider;
  escrow.currency = terms.price.currency;
  escrow.price = terms.price.amount;
  escrow.deposit = terms.deposit.amount;
  escrow.expire_time = terms.expire_time;
  escrow.create_time = now;
  Escrow& kept = escrows[escrow.id] = escrow;
  int64_t available = ledger.Balance(Available(kept));
  if (available < kept.Total()) {
    kept.missing = kept.Total() - available;
    Move(kept, State::kAwaiting, "escrow.awaiting");
    return &kept;
  }
  Result<void> posted = Post("hold", kept, {{Available(kept), -kept.Total()}, {Held(kept), kept.Total()}});
  if (!posted) {
    escrows.erase(terms.escrow);
    return Fail(std::move(posted).error());
  }
  Move(kept, State::kHeld, "escrow.held");
  Settle(kept.buyer, kept.currency);
  return &kept;
}

Result<const Escrow*> Book::Void(const Uuid& id, const Uuid& booking, bool only_unfunded) {
  auto found = escrows.find(id);
  if (found == escrows.end()) {
    Escrow& tombstone = escrows[id];
    tombstone.id = id;
    tombstone.booking = booking;
    tombstone.create_time = tombstone.expire_time = now;
    Move(tombstone, only_unfunded ? State::kExpired : State::kVoided, "");
    return &tombstone;
  }
  Escrow& escrow = found->second;
  switch (escrow.state) {
    case State::kVoided:
    case State::kExpired:
      return &escrow;
    case State::kAwaiting:
      if (only_unfunded) {
        Move(escrow, State::kExpired, "escrow.expired");
      } else {
        Move(escrow, State::kVoided, "escrow.voided");
      }
      return &escrow;
    case State::kHeld: {
      if (only_unfunded) return &escrow;
      int64_t total = escrow.Total();
      MILLRACE_CHECK(Post("void", escrow, {{Held(escrow), -total}, {Available(escrow), total}}));
      escrow.returned = total;
      Move(escrow, State::kVoided, "escrow.voided");
      Settle(escrow.buyer, escrow.currency);
      return &escrow;
    }
    default:
      return Fail(Conflict(escrow, "void"));
  }
}

void Book::Expire(const Uuid& id) {
  auto found = escrows.find(id);
  if (found == escrows.end() || found->second.state != State::kAwaiting) return;
  Move(found->second, State::kExpired, "escrow.expired");
}

Result<const Escrow*> Book::Capture(const Uuid& id, const Money& amount, const std::string& reason) {
  auto found = escrows.find(id);
  if (found == escrows.end()) return Fail(ErrorCode::kNotFound);
  Escrow& escrow = found->second;
  MILLRACE_CHECK(CheckAmount(amount, "amount"));
  bool settled = escrow.state == State::kCaptured || escrow.state == State::kPaidOut;
  if (settled && escrow.captured == amount.amount && escrow.currency == amount.currency) return &escrow;
  if (escrow.state != State::kHeld) return Fail(Conflict(escrow, "capture"));
  if (amount.currency != escrow.currency) {
    return Fail(Error::At("#/amount/currency", ErrorCode::kCurrencyMismatch, {{"expected", escrow.currency}}));
  }
  if (amount.amount > escrow.price) {
    return Fail(ErrorCode::kCaptureExceedsHold,
                {{"requested", std::to_string(amount.amount)}, {"remaining", std::to_string(escrow.price)}});
  }
  int64_t fee = BasisPoints(amount.amount, fee_basis_points);
  int64_t payout = amount.amount - fee, returned = escrow.Total() - amount.amount;
  AccountKey fees{AccountKind::kFee, {}, escrow.currency};
  MILLRACE_CHECK(
      Post("capture", escrow,
           {{Held(escrow), -escrow.Total()}, {Payable(escrow), payout}, {fees, fee}, {Available(escrow), returned}}));
  escrow.captured = amount.amount;
  escrow.fee = fee;
  escrow.payout = payout;
  escrow.returned = returned;
  escrow.reason = reason;
  escrow.payout_time = now + std::chrono::minutes(EffectsOf(parties[escrow.provider].tier).release_delay_minutes);
  Move(escrow, State::kCaptured, "escrow.captured");
  if (payout == 0) Move(escrow, State::kPaidOut, "escrow.paid_out");
  Settle(escrow.buyer, escrow.currency);
  return &escrow;
}

Result<void> Book::Credit(PayIn pay_in) {
  if (pay_ins.contains(pay_in.id)) return {};
  if (pay_in.id.empty() || pay_in.amount <= 0 || pay_in.amount >= kMaxMoneyAmount || pay_in.currency.size() != 3) {
    return Fail(
        Error::Internal("the custodian tells a pay-in of " + std::to_string(pay_in.amount) + " " + pay_in.currency));
  }
  Transfer transfer;
  transfer.id = pay_in.transfer = new_id();
  transfer.kind = "pay_in";
  transfer.buyer = pay_in.organization;
  transfer.time = now;
  AccountKey target{pay_in.organization.IsNil() ? AccountKind::kSuspense : AccountKind::kAvailable, pay_in.organization,
                    pay_in.currency};
  AccountKey custodian{AccountKind::kCustodian, {}, pay_in.currency};
  transfer.entries = {{custodian, -pay_in.amount}, {target, pay_in.amount}};
  MILLRACE_CHECK(ledger.Post(std::move(transfer)));
  Uuid organization = pay_in.organization;
  std::string currency = pay_in.currency;
  new_pay_ins.insert(pay_in.id);
  pay_ins.emplace(pay_in.id, std::move(pay_in));
  if (!organization.IsNil()) Settle(organization, currency);
  return {};
}

PayOut* Book::CurrentPayOut(const Escrow& escrow) {
  for (auto& [id, pay_out] : pay_outs) {
    if (pay_out.escrow == escrow.id && pay_out.attempt == escrow.payout_attempt) return &pay_out;
  }
  return nullptr;
}

PayOutStep Book::BeginPayOut(const Uuid& id, const Uuid& next, PayOut* instruction) {
  auto found = escrows.find(id);
  if (found == escrows.end() || found->second.state != State::kCaptured) return PayOutStep::kNothing;
  Escrow& escrow = found->second;
  if (escrow.payout_state == PayOutState::kSent || escrow.payout_state == PayOutState::kUnknown) {
    PayOut* current = CurrentPayOut(escrow);
    if (!current) return PayOutStep::kNothing;
    *instruction = *current;
    instruction->held_back = parties[escrow.provider].suspended;
    return PayOutStep::kAsk;
  }
  // A notice may wake this before its time: not a reason to instruct earlier.
  if (now < escrow.payout_time) return PayOutStep::kWait;
  const Party& provider = parties[escrow.provider];
  if (provider.suspended) {
    if (escrow.payout_detail != "provider_suspended") {
      escrow.payout_detail = "provider_suspended";
      Touch(escrow);
    }
    return PayOutStep::kWait;
  }
  PayOut pay_out;
  pay_out.id = next;
  pay_out.escrow = escrow.id;
  pay_out.attempt = ++escrow.payout_attempt;
  pay_out.amount = escrow.payout;
  pay_out.currency = escrow.currency;
  pay_out.beneficiary_name = provider.name.empty() ? FormatId("org", escrow.provider) : provider.name;
  pay_out.send_time = now;
  escrow.payout_state = PayOutState::kSent;
  escrow.payout_detail.clear();
  Touch(escrow);
  changed_pay_outs.insert(pay_out.id);
  *instruction = pay_outs[pay_out.id] = pay_out;
  return PayOutStep::kSend;
}

Result<void> Book::PaidOut(const Uuid& instruction) {
  auto found = pay_outs.find(instruction);
  if (found == pay_outs.end()) return Fail(Error::Internal("no such pay-out instruction"));
  PayOut& pay_out = found->second;
  Escrow& escrow = escrows[pay_out.escrow];
  if (pay_out.state == PayOutState::kDone) return {};
  if (escrow.state != State::kCaptured) return Fail(Error::Internal("paid out twice: " + FormatId("esc", escrow.id)));
  AccountKey custodian{AccountKind::kCustodian, {}, escrow.currency};
  MILLRACE_CHECK(Post("pay_out", escrow, {{Payable(escrow), -pay_out.amount}, {custodian, pay_out.amount}}));
  pay_out.state = PayOutState::kDone;
  pay_out.reason.clear();
  changed_pay_outs.insert(instruction);
  escrow.payout_state = PayOutState::kDone;
  escrow.payout_detail.clear();
  Move(escrow, State::kPaidOut, "escrow.paid_out");
  return {};
}

void Book::PayOutFailed(const Uuid& instruction, const std::string& reason, Duration retry_after) {
  auto found = pay_outs.find(instruction);
  if (found == pay_outs.end()) return;
  PayOut& pay_out = found->second;
  Escrow& escrow = escrows[pay_out.escrow];
  if (escrow.state != State::kCaptured || pay_out.attempt != escrow.payout_attempt) return;
  if (pay_out.state == PayOutState::kFailed || pay_out.state == PayOutState::kDone) return;
  pay_out.state = escrow.payout_state = PayOutState::kFailed;
  pay_out.reason = escrow.payout_detail = reason;
  escrow.payout_time = now + retry_after;
  changed_pay_outs.insert(instruction);
  Touch(escrow);
}

void Book::PayOutUnknown(const Uuid& instruction) {
  auto found = pay_outs.find(instruction);
  if (found == pay_outs.end() || found->second.state != PayOutState::kSent) return;
  Escrow& escrow = escrows[found->second.escrow];
  if (escrow.state != State::kCaptured || found->second.attempt != escrow.payout_attempt) return;
  found->second.state = escrow.payout_state = PayOutState::kUnknown;
  changed_pay_outs.insert(instruction);
  Touch(escrow);
}

Result<const Escrow*> Book::Release(const Uuid& id, const Uuid& buyer) const {
  auto found = escrows.find(id);
  if (found == escrows.end() || found->second.IsTombstone() || found->second.buyer != buyer) {
    return Fail(ErrorCode::kNotFound);
  }
  const Escrow& escrow = found->second;
  switch (escrow.state) {
    case State::kAwaiting:
    case State::kHeld:
      return Fail(ErrorCode::kNotAcceptedYet);
    case State::kCaptured:
    case State::kPaidOut:
      return &escrow;
    default:
      return Fail(Conflict(escrow, "release"));
  }
}

}  // namespace millrace::escrow::domain
