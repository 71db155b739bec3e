// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/app/messages.h"

#include <google/protobuf/timestamp.pb.h>

#include "common/crypto/crypto.h"
#include "services/escrow/domain/reference.h"

namespace millrace::escrow {
namespace {

// Operations ends an escrow when its funding window is over; this is for the case that it never does.
constexpr std::chrono::hours kExpireGrace{24};

void Put(google::protobuf::Timestamp* out, Time time) {
  int64_t micros = Micros(time);
  int64_t seconds = micros / 1'000'000 - (micros % 1'000'000 < 0 ? 1 : 0);
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>((micros - seconds * 1'000'000) * 1000));
}

void Put(type::Money* out, int64_t amount, const std::string& currency) {
  out->set_amount(amount);
  out->set_currency(currency);
}

void AddActions(const domain::Escrow& e, v1::Escrow* out) {
  const auto& table = domain::EscrowStates();
  const auto* wait = table.WaitIn(e.state);
  if (!wait) return;
  type::Action* action = out->add_actions();
  action->set_action(std::string(table.event_name(wait->outcome)));
  action->add_actors("system");
  Put(action->mutable_deadline_time(), e.state == domain::State::kAwaiting ? e.expire_time : e.payout_time);
}

}  // namespace

std::string ReferenceOf(const Uuid& organization) {
  return domain::MakeReference(crypto::Sha256(FormatId("org", organization)));
}

v1::Escrow ToMessage(const domain::Escrow& e, const Audience& audience) {
  v1::Escrow out;
  out.set_id(FormatId("esc", e.id));
  out.set_booking_id(FormatId("bkg", e.booking));
  if (!e.IsTombstone()) {
    out.set_buyer_id(FormatId("org", e.buyer));
    out.set_provider_id(FormatId("org", e.provider));
  }
  out.set_state(static_cast<v1::Escrow::State>(e.state));
  Put(out.mutable_price(), e.price, e.currency);
  Put(out.mutable_deposit(), e.deposit, e.currency);
  Put(out.mutable_captured(), e.captured, e.currency);
  Put(out.mutable_fee(), e.fee, e.currency);
  Put(out.mutable_payout(), e.payout, e.currency);
  Put(out.mutable_returned(), e.returned, e.currency);
  if (e.state == domain::State::kAwaiting) {
    if (audience.sees_missing) {
      Put(out.mutable_missing(), e.missing, e.currency);
      out.set_payment_reference(ReferenceOf(e.buyer));
    }
    Put(out.mutable_deadline_time(), e.expire_time);
  }
  out.set_custodian(audience.custodian);
  out.set_payout_state(std::string(PayOutStateName(e.payout_state)));
  out.set_payout_detail(e.payout_detail);
  AddActions(e, &out);
  Put(out.mutable_create_time(), e.create_time);
  Put(out.mutable_update_time(), e.update_time);
  out.set_version(e.version);
  out.set_etag(std::to_string(e.version));
  return out;
}

v1::Transfer ToMessage(const domain::Transfer& transfer) {
  v1::Transfer out;
  out.set_id(FormatId("trf", transfer.id));
  out.set_kind(transfer.kind);
  if (!transfer.escrow.IsNil()) out.set_escrow_id(FormatId("esc", transfer.escrow));
  for (const domain::Entry& entry : transfer.entries) {
    v1::Entry* one = out.add_entries();
    one->set_account(AccountName(entry.account));
    Put(one->mutable_amount(), entry.amount, entry.account.currency);
  }
  Put(out.mutable_time(), transfer.time);
  return out;
}

void Publish(EscrowSet& set, const std::string& custodian) {
  Audience everybody;
  everybody.custodian = custodian;
  for (const domain::Fact& fact : set.book.facts) {
    const domain::Escrow& e = fact.escrow;
    v1::Escrow message = ToMessage(e, everybody);
    postgres::NewEvent event;
    event.type = fact.type;
    event.aggregate = message.id();
    event.aggregate_version = e.version;
    event.parties = {e.buyer, e.provider};
    event.payload_type = v1::Escrow::descriptor()->full_name();
    event.payload = message.SerializeAsString();
    set.events.push_back(std::move(event));

    Uuid expire = ExpireTask(e.id);
    if (e.state == domain::State::kAwaiting) {
      set.tasks.push_back({expire, "escrow.expire", e.id, e.expire_time + kExpireGrace, {}});
    } else if (e.state == domain::State::kCaptured && e.payout > 0) {
      set.tasks.push_back({PayOutTask(e.id), "escrow.pay_out", e.id, e.payout_time, {}});
    } else if (e.state != domain::State::kCaptured && e.state != domain::State::kPaidOut) {
      std::erase_if(set.tasks, [&](const postgres::NewTask& task) { return task.id == expire; });
      set.cancelled_tasks.push_back(expire);
    }
  }
  set.book.facts.clear();
}

Uuid ExpireTask(const Uuid& escrow) { return crypto::DeriveId(escrow, "expire"); }
Uuid PayOutTask(const Uuid& escrow) { return crypto::DeriveId(escrow, "pay_out_task"); }

Uuid InstructionId(const Uuid& escrow, int attempt) {
  return crypto::DeriveId(escrow, attempt <= 1 ? std::string("payout") : "payout/" + std::to_string(attempt));
}

std::string FormatInstruction(const Uuid& instruction) { return FormatId("pyo", instruction); }

}  // namespace millrace::escrow
