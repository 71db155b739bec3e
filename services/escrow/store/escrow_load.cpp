// SPDX-License-Identifier: Apache-2.0
// Locks are taken in one order by every command: accounts of organizations by key, then escrows by id. An escrow's own
// account needs no lock: it changes only under the escrow's.
#include "services/escrow/store/escrow_set.h"
#include "services/escrow/store/rows.h"

namespace millrace::escrow {

using domain::AccountKey;
using domain::AccountKind;
using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

namespace {

constexpr Statement kReferences = {
    "escrow_load_references",
    "SELECT reference, organization FROM payment_reference WHERE reference = ANY ($1::text[])"};
// Parties and currency never change, so they are read before anything is locked.
constexpr Statement kTerms = {
    "escrow_load_terms",
    "SELECT id, buyer, provider, currency FROM escrow WHERE id = ANY ($1::uuid[]) AND buyer IS NOT NULL"};
constexpr Statement kWaitingPayOuts = {"escrow_load_waiting",
                                       "SELECT id FROM escrow WHERE provider = ANY ($1::uuid[]) AND state = 'CAPTURED' "
                                       "AND payout_detail = 'provider_suspended' "
                                       "ORDER BY id"};
constexpr Statement kParties = {
    "escrow_load_parties",
    "SELECT organization, tier, name, suspended FROM party WHERE organization = ANY ($1::uuid[])"};
constexpr Statement kLockAccounts = {"escrow_lock_accounts",
                                     "SELECT a.kind, a.owner, a.currency, a.balance FROM account a "
                                     "JOIN unnest($1::text[], $2::text[], $3::text[]) k (kind, owner, currency) "
                                     "ON a.kind = k.kind AND a.owner = k.owner::uuid AND a.currency = k.currency "
                                     "ORDER BY a.kind, a.owner, a.currency FOR NO KEY UPDATE OF a"};
// Those that are named and those that wait for a payer's money, each by its index.
constexpr Statement kLockEscrows = {
    "escrow_lock_escrows",
    "SELECT " MILLRACE_ESCROW_COLUMNS
    " FROM escrow WHERE id = ANY (ARRAY(SELECT unnest($1::uuid[]) UNION ALL "
    "SELECT w.id FROM unnest($2::text[], $3::text[]) p (o, c) "
    "JOIN escrow w ON w.state = 'AWAITING' AND w.buyer = p.o::uuid AND w.currency = p.c)) ORDER BY id FOR UPDATE"};
constexpr Statement kHeld = {
    "escrow_load_held",
    "SELECT owner, currency, balance FROM account WHERE kind = 'held' AND owner = ANY ($1::uuid[])"};
constexpr Statement kPayOuts = {
    "escrow_load_pay_outs",
    "SELECT id, escrow, attempt, amount, currency, beneficiary_name, state, reason, runtime.micros(send_time) "
    "FROM pay_out WHERE escrow = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
constexpr Statement kPayIns = {"escrow_load_pay_ins",
                               "SELECT custodian_id FROM pay_in WHERE custodian_id = ANY ($1::text[])"};
constexpr Statement kNotices = {"escrow_load_notices",
                                "SELECT notice_id FROM notice WHERE notice_id = ANY ($1::text[])"};

template <class T>
std::vector<T> List(const std::set<T>& values) {
  return {values.begin(), values.end()};
}

void LoadReferences(Transaction& tx, EscrowSet& set) {
  if (set.references.empty()) return;
  for (Row row : tx.Execute(kReferences, Params().Texts(List(set.references)))) {
    set.book.references[row.Text(0)] = row.Id(1);
  }
  for (const auto& [reference, currency] : set.credited) {
    auto found = set.book.references.find(reference);
    if (found != set.book.references.end()) set.payers.emplace(found->second, currency);
  }
}

void LoadTerms(Transaction& tx, EscrowSet& set) {
  if (!set.waiting_providers.empty()) {
    for (Row row : tx.Execute(kWaitingPayOuts, Params().Ids(List(set.waiting_providers)))) {
      set.waiting_pay_outs.push_back(row.Id(0));
    }
  }
  if (!set.escrow_ids.empty()) {
    for (Row row : tx.Execute(kTerms, Params().Ids(List(set.escrow_ids)))) {
      set.payers.emplace(row.Id(1), row.Text(3));
      set.providers.emplace(row.Id(2), row.Text(3));
    }
  }
  if (set.providers.empty()) return;
  std::set<Uuid> ids;
  for (const auto& [organization, currency] : set.providers) ids.insert(organization);
  for (Row row : tx.Execute(kParties, Params().Ids(List(ids)))) {
    set.book.parties[row.Id(0)] = {static_cast<int>(row.Int(1)), row.Bool(3), row.Text(2)};
  }
}

void LockAccounts(Transaction& tx, EscrowSet& set) {
  std::set<AccountKey> keys;
  for (const auto& [owner, currency] : set.payers) keys.insert({AccountKind::kAvailable, owner, currency});
  for (const auto& [owner, currency] : set.providers) keys.insert({AccountKind::kPayable, owner, currency});
  for (const std::string& currency : set.suspense_currencies) keys.insert({AccountKind::kSuspense, {}, currency});
  if (keys.empty()) return;
  std::vector<std::string> kinds, owners, currencies;
  for (const AccountKey& key : keys) {
    kinds.emplace_back(AccountKindName(key.kind));
    owners.push_back(key.owner.Hex());
    currencies.push_back(key.currency);
  }
  Params params;
  params.Texts(kinds).Texts(owners).Texts(currencies);
  Rows rows = tx.Execute(kLockAccounts, params);
  if (rows.size() < keys.size()) {
    tx.Execute(kOpenAccounts, params);
    rows = tx.Execute(kLockAccounts, params);
  }
  for (Row row : rows) {
    AccountKind kind = domain::AccountKindByName(row.Text(0)).value_or(AccountKind::kSuspense);
    set.book.ledger.Load({kind, row.Id(1), row.Text(2)}, row.Int(3));
  }
}

void LockEscrows(Transaction& tx, EscrowSet& set) {
  if (set.escrow_ids.empty() && set.payers.empty()) return;
  std::vector<std::string> owners, currencies;
  for (const auto& [owner, currency] : set.payers) {
    owners.push_back(owner.Hex());
    currencies.push_back(currency);
  }
  std::vector<Uuid> with_money, instructed;
  for (Row row : tx.Execute(kLockEscrows, Params().Ids(List(set.escrow_ids)).Texts(owners).Texts(currencies))) {
    domain::Escrow escrow = ReadEscrow(row);
    // It was made after its terms were looked for: its buyer's account is not locked, nor what else waits for that.
    if (!escrow.IsTombstone() && !set.payers.contains({escrow.buyer, escrow.currency})) {
      throw postgres::SqlError("an escrow was made meanwhile", "40001");
    }
    if (escrow.state == domain::State::kHeld) with_money.push_back(escrow.id);
    if (escrow.payout_attempt > 0) instructed.push_back(escrow.id);
    set.loaded_escrows.insert(escrow.id);
    set.book.escrows[escrow.id] = std::move(escrow);
  }
  if (!with_money.empty()) {
    for (Row row : tx.Execute(kHeld, Params().Ids(with_money))) {
      set.book.ledger.Load({AccountKind::kHeld, row.Id(0), row.Text(1)}, row.Int(2));
    }
  }
  if (instructed.empty()) return;
  for (Row row : tx.Execute(kPayOuts, Params().Ids(instructed))) {
    domain::PayOut pay_out = ReadPayOut(row, 0);
    pay_out.send_time = row.At(8);
    set.book.pay_outs[pay_out.id] = std::move(pay_out);
  }
}

void LoadKnown(Transaction& tx, EscrowSet& set) {
  if (!set.pay_in_ids.empty()) {
    for (Row row : tx.Execute(kPayIns, Params().Texts(List(set.pay_in_ids))))
      set.book.pay_ins[row.Text(0)].id = row.Text(0);
  }
  if (set.notices.empty()) return;
  std::vector<std::string> ids;
  for (const auto& [id, notice] : set.notices) ids.push_back(id);
  for (Row row : tx.Execute(kNotices, Params().Texts(ids))) set.notices[row.Text(0)].known = true;
}

}  // namespace

void EscrowStore::Load(Transaction& tx, EscrowSet& set) {
  set.book.now = set.now;
  set.book.fee_basis_points = fee_basis_points_;
  set.book.new_id = Uuid::New;
  LoadReferences(tx, set);
  LoadTerms(tx, set);
  LockAccounts(tx, set);
  LockEscrows(tx, set);
  LoadKnown(tx, set);
}

}  // namespace millrace::escrow
