// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/store/escrow_set.h"
#include "services/escrow/store/rows.h"

namespace millrace::escrow {

using domain::AccountKey;
using domain::AccountKind;
using domain::Escrow;
using postgres::Params;
using postgres::Statement;
using postgres::Transaction;

namespace {

constexpr Statement kKeepReferences = {"escrow_save_references",
                                       "INSERT INTO payment_reference (organization, reference) SELECT * FROM "
                                       "unnest($1::uuid[], $2::text[]) ON CONFLICT DO NOTHING"};
constexpr Statement kTier = {
    "escrow_save_tier",
    "INSERT INTO party (organization, tier, tier_version) VALUES ($1, $2, $3) ON CONFLICT (organization) DO UPDATE "
    "SET tier = excluded.tier, tier_version = excluded.tier_version WHERE party.tier_version <= excluded.tier_version"};
constexpr Statement kOrganization = {
    "escrow_save_organization",
    "INSERT INTO party (organization, name, suspended, organization_version) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (organization) DO UPDATE SET name = excluded.name, suspended = excluded.suspended, "
    "organization_version = excluded.organization_version WHERE party.organization_version <= "
    "excluded.organization_version"};
// The fee's and the custodian's rows are locked here only, at the end of the batch and once. The entries' foreign keys
// hold a key share on them already, as another process's do: a lock on the key itself would be a deadlock of the two.
constexpr Statement kMoveBalances = {
    "escrow_move_balances",
    "WITH moved AS (SELECT a.kind, a.owner, a.currency, k.amount FROM account a "
    "JOIN unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) k (kind, owner, currency, amount) "
    "ON a.kind = k.kind AND a.owner = k.owner::uuid AND a.currency = k.currency "
    "ORDER BY a.kind, a.owner, a.currency FOR NO KEY UPDATE OF a) "
    "UPDATE account a SET balance = a.balance + m.amount FROM moved m "
    "WHERE a.kind = m.kind AND a.owner = m.owner AND a.currency = m.currency"};
constexpr Statement kTransfers = {
    "escrow_save_transfers",
    "INSERT INTO transfer (id, kind, escrow, buyer, provider, time) "
    "SELECT id, kind, escrow, buyer, provider, $6::timestamptz "
    "FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::uuid[]) t (id, kind, escrow, buyer, provider)"};
constexpr Statement kEntries = {
    "escrow_save_entries",
    "INSERT INTO entry (transfer, position, kind, owner, currency, amount) "
    "SELECT transfer, position, kind, owner::uuid, currency, amount "
    "FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[]) "
    "e (transfer, position, kind, owner, currency, amount)"};
#define MILLRACE_INSERT_ESCROWS                                                                                        \
  "INSERT INTO escrow (id, booking, buyer, provider, state, currency, price, deposit, captured, fee, payout, "         \
  "returned, "                                                                                                         \
  "missing, reason, payout_state, payout_attempt, payout_detail, payout_time, expire_time, create_time, update_time, " \
  "version) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], "             \
  "$7::bigint[], "                                                                                                     \
  "$8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], " \
  "$16::int[], $17::text[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[], $21::timestamptz[], "          \
  "$22::bigint[])"
// Two holds of one booking at once: the later one meets the key, runs again and finds the first.
constexpr Statement kInsertEscrows = {"escrow_insert", MILLRACE_INSERT_ESCROWS};
constexpr Statement kUpdateEscrows = {
    "escrow_update", MILLRACE_INSERT_ESCROWS
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, captured = excluded.captured, fee = excluded.fee, "
    "payout = excluded.payout, returned = excluded.returned, missing = excluded.missing, reason = excluded.reason, "
    "payout_state = excluded.payout_state, payout_attempt = excluded.payout_attempt, payout_detail = "
    "excluded.payout_detail, "
    "payout_time = excluded.payout_time, update_time = excluded.update_time, version = excluded.version"};
#undef MILLRACE_INSERT_ESCROWS
constexpr Statement kPayOut = {
    "escrow_save_pay_out",
    "INSERT INTO pay_out (id, escrow, attempt, amount, currency, beneficiary_name, state, reason, send_time) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = excluded.reason"};
constexpr Statement kPayIns = {
    "escrow_save_pay_ins",
    "INSERT INTO pay_in (custodian_id, transfer, organization, amount, currency, reference, payer_name, value_time) "
    "SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], "
    "$8::timestamptz[])"};
constexpr Statement kNotices = {
    "escrow_save_notices",
    "INSERT INTO notice (notice_id, kind, transfer_id) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])"};
constexpr Statement kCursor = {"escrow_save_cursor", "UPDATE custodian_cursor SET cursor = $1 WHERE cursor < $1"};

void SaveParties(Transaction& tx, const EscrowSet& set) {
  if (!set.new_references.empty()) {
    std::vector<Uuid> organizations;
    std::vector<std::string> references;
    for (const auto& [organization, reference] : set.new_references) {
      organizations.push_back(organization);
      references.push_back(reference);
    }
    tx.Execute(kKeepReferences, Params().Ids(organizations).Texts(references));
  }
  for (const PartyNews& news : set.news) {
    if (news.tier) {
      tx.Execute(kTier, Params().Id(news.organization).Int(*news.tier).Int(news.version));
    } else {
      tx.Execute(kOrganization, Params().Id(news.organization).Text(news.name).Bool(news.suspended).Int(news.version));
    }
  }
}

struct Keys {
  std::vector<std::string> kinds, owners, currencies;
  void Add(const AccountKey& key) {
    kinds.emplace_back(AccountKindName(key.kind));
    owners.push_back(key.owner.Hex());
    currencies.push_back(key.currency);
  }
};

void SaveTransfers(Transaction& tx, const EscrowSet& set) {
  if (set.book.ledger.posted().empty()) return;
  std::map<AccountKey, int64_t> moved;
  std::vector<Uuid> ids, escrows, buyers, providers, entry_transfers;
  std::vector<std::string> transfer_kinds;
  Keys of_entries;
  std::vector<int64_t> positions, amounts;
  for (const domain::Transfer& transfer : set.book.ledger.posted()) {
    ids.push_back(transfer.id);
    transfer_kinds.push_back(transfer.kind);
    escrows.push_back(transfer.escrow);
    buyers.push_back(transfer.buyer);
    providers.push_back(transfer.provider);
    int64_t position = 0;
    for (const domain::Entry& entry : transfer.entries) {
      moved[entry.account] += entry.amount;
      entry_transfers.push_back(transfer.id);
      positions.push_back(position++);
      of_entries.Add(entry.account);
      amounts.push_back(entry.amount);
    }
  }
  // Accounts of organizations and suspense were opened when they were locked.
  Keys to_open, to_move;
  std::vector<int64_t> deltas;
  for (const auto& [account, delta] : moved) {
    if (account.kind == AccountKind::kHeld || !IsBounded(account.kind)) to_open.Add(account);
    to_move.Add(account);
    deltas.push_back(delta);
  }
  if (!to_open.kinds.empty()) {
    tx.Execute(kOpenAccounts, Params().Texts(to_open.kinds).Texts(to_open.owners).Texts(to_open.currencies));
  }
  tx.Execute(kTransfers, Params().Ids(ids).Texts(transfer_kinds).Ids(escrows).Ids(buyers).Ids(providers).At(set.now));
  tx.Execute(kEntries, Params()
                           .Ids(entry_transfers)
                           .Ints(positions)
                           .Texts(of_entries.kinds)
                           .Texts(of_entries.owners)
                           .Texts(of_entries.currencies)
                           .Ints(amounts));
  tx.Execute(kMoveBalances, Params().Texts(to_move.kinds).Texts(to_move.owners).Texts(to_move.currencies).Ints(deltas));
}

// One array a column.
struct EscrowColumns {
  std::vector<Uuid> id, booking, buyer, provider;
  std::vector<std::string> state, currency, reason, payout_state, payout_detail;
  std::vector<int64_t> price, deposit, captured, fee, payout, returned, missing, attempt, version;
  std::vector<Time> payout_time, expire_time, create_time, update_time;

  void Add(const Escrow& e) {
    id.push_back(e.id);
    booking.push_back(e.booking);
    buyer.push_back(e.buyer);
    provider.push_back(e.provider);
    state.emplace_back(StateName(e.state));
    currency.push_back(e.currency);
    price.push_back(e.price);
    deposit.push_back(e.deposit);
    captured.push_back(e.captured);
    fee.push_back(e.fee);
    payout.push_back(e.payout);
    returned.push_back(e.returned);
    missing.push_back(e.missing);
    reason.push_back(e.reason);
    payout_state.emplace_back(PayOutStateName(e.payout_state));
    attempt.push_back(e.payout_attempt);
    payout_detail.push_back(e.payout_detail);
    payout_time.push_back(e.payout_time);
    expire_time.push_back(e.expire_time);
    create_time.push_back(e.create_time);
    update_time.push_back(e.update_time);
    version.push_back(e.version);
  }
  void Write(Transaction& tx, const Statement& statement) const {
    if (id.empty()) return;
    Params params;
    params.Ids(id).Ids(booking).Ids(buyer).Ids(provider).Texts(state).Texts(currency);
    params.Ints(price).Ints(deposit).Ints(captured).Ints(fee).Ints(payout).Ints(returned).Ints(missing).Texts(reason);
    params.Texts(payout_state).Ints(attempt).Texts(payout_detail).Times(payout_time).Times(expire_time);
    params.Times(create_time).Times(update_time).Ints(version);
    tx.Execute(statement, params);
  }
};

void SaveEscrows(Transaction& tx, const EscrowSet& set) {
  EscrowColumns fresh, known;
  for (const Uuid& id : set.book.changed_escrows) {
    (set.loaded_escrows.contains(id) ? known : fresh).Add(set.book.escrows.at(id));
  }
  fresh.Write(tx, kInsertEscrows);
  known.Write(tx, kUpdateEscrows);
  for (const Uuid& id : set.book.changed_pay_outs) {
    const domain::PayOut& p = set.book.pay_outs.at(id);
    tx.Execute(kPayOut, Params()
                            .Id(p.id)
                            .Id(p.escrow)
                            .Int(p.attempt)
                            .Int(p.amount)
                            .Text(p.currency)
                            .Text(p.beneficiary_name)
                            .Text(PayOutStateName(p.state))
                            .Text(p.reason)
                            .At(p.send_time));
  }
}

void SavePayIns(Transaction& tx, const EscrowSet& set) {
  if (!set.book.new_pay_ins.empty()) {
    std::vector<std::string> ids, currencies, references, payers;
    std::vector<Uuid> transfers, organizations;
    std::vector<int64_t> amounts;
    std::vector<Time> times;
    for (const std::string& id : set.book.new_pay_ins) {
      const domain::PayIn& p = set.book.pay_ins.at(id);
      ids.push_back(p.id);
      transfers.push_back(p.transfer);
      organizations.push_back(p.organization);
      amounts.push_back(p.amount);
      currencies.push_back(p.currency);
      references.push_back(p.reference);
      payers.push_back(p.payer_name);
      times.push_back(p.value_time);
    }
    tx.Execute(kPayIns, Params()
                            .Texts(ids)
                            .Ids(transfers)
                            .Ids(organizations)
                            .Ints(amounts)
                            .Texts(currencies)
                            .Texts(references)
                            .Texts(payers)
                            .Times(times));
  }
  if (!set.new_notices.empty()) {
    std::vector<std::string> ids, kinds, transfers;
    for (const std::string& id : set.new_notices) {
      const Notice& notice = set.notices.at(id);
      ids.push_back(notice.notice_id);
      kinds.push_back(notice.kind);
      transfers.push_back(notice.transfer_id);
    }
    tx.Execute(kNotices, Params().Texts(ids).Texts(kinds).Texts(transfers));
  }
  if (set.cursor) tx.Execute(kCursor, Params().Int(*set.cursor));
}

}  // namespace

void EscrowStore::Save(Transaction& tx, EscrowSet& set) {
  SaveParties(tx, set);
  SaveTransfers(tx, set);
  SaveEscrows(tx, set);
  SavePayIns(tx, set);
}

}  // namespace millrace::escrow
