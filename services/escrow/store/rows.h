// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/postgres/database.h"
#include "services/escrow/domain/book.h"

namespace millrace::escrow {

// The columns of an escrow, times as micros, in the order that ReadEscrow takes them.
#define MILLRACE_ESCROW_COLUMNS                                                                                       \
  "id, booking, buyer, provider, state, currency, price, deposit, captured, fee, payout, returned, missing, reason, " \
  "payout_state, payout_attempt, payout_detail, runtime.micros(payout_time), runtime.micros(expire_time), "           \
  "runtime.micros(create_time), runtime.micros(update_time), version"
inline constexpr int kEscrowColumns = 22;
domain::Escrow ReadEscrow(const postgres::Row& row);
// From column `first` on: id, escrow, attempt, amount, currency, beneficiary_name, state, reason.
domain::PayOut ReadPayOut(const postgres::Row& row, int first);

// Makes accounts that are not there yet: kinds, owners, currencies.
inline constexpr postgres::Statement kOpenAccounts = {
    "escrow_open_accounts",
    "INSERT INTO account (kind, owner, currency) SELECT kind, owner::uuid, currency "
    "FROM unnest($1::text[], $2::text[], $3::text[]) k (kind, owner, currency) ORDER BY 1, 2, 3 ON CONFLICT DO "
    "NOTHING"};

// Who asks, as row-level security sees it.
struct Asking {
  Uuid organization;
  std::string roles;  // "buyer,provider"
};

struct EscrowView {
  domain::Escrow escrow;
  std::string payment_reference;
};

struct EscrowFilter {
  Uuid id, booking, older_than;  // nil: any
  std::string state;             // empty: any
  int at_most = 1;
};
Task<Result<std::vector<EscrowView>>> ReadEscrows(postgres::Database& reader, Asking asking, EscrowFilter filter);

// Transfers with all entries, newest first.
Task<Result<std::vector<domain::Transfer>>> ReadTransfers(postgres::Database& reader, Asking asking, Uuid of_escrow,
                                                          Uuid older_than, int at_most);

struct BalanceView {
  int64_t available = 0, held = 0, payable = 0;
  std::string payment_reference;  // empty: not made yet
};
Task<Result<BalanceView>> ReadBalance(postgres::Database& reader, Asking asking, std::string currency);

// Keeps an organization's payment reference; one that is there stays.
Task<Result<void>> KeepReference(postgres::Database& worker, Uuid organization, std::string reference);

struct LedgerCheck {
  std::string name;
  int64_t faults = 0;
  std::string detail;
};
Task<Result<std::vector<LedgerCheck>>> CheckLedger(postgres::Database& worker);

// The custodian's account by our books (minor units in its favour), and the instructions whose outcome is not known.
struct CustodianPosition {
  int64_t balance = 0;
  std::vector<domain::PayOut> open;
};
Task<Result<CustodianPosition>> ReadCustodianPosition(postgres::Database& worker, std::string currency);
Task<Result<int64_t>> ReadCursor(postgres::Database& worker);
// The escrow of an instruction; nil if there is none.
Task<Result<Uuid>> EscrowOfPayOut(postgres::Database& worker, Uuid pay_out);

}  // namespace millrace::escrow
