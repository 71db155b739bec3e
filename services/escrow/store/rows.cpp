// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/store/rows.h"

namespace millrace::escrow {

using domain::Escrow;
using postgres::Database;
using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

namespace {

constexpr Statement kEscrows = {"escrow_read", "SELECT * FROM escrow_rows($1, $2, $3, $4, $5, $6, $7)"};
constexpr Statement kTransfers = {"escrow_read_transfers", "SELECT * FROM transfer_rows($1, $2, $3, $4, $5)"};
constexpr Statement kBalance = {"escrow_read_balance", "SELECT * FROM balance_row($1, $2, $3)"};
constexpr Statement kKeepReference = {
    "escrow_keep_reference",
    "INSERT INTO payment_reference (organization, reference) VALUES ($1, $2) ON CONFLICT DO NOTHING"};
constexpr Statement kVerify = {"escrow_verify", "SELECT name, faults, detail FROM verify_ledger()"};
// One statement, so that balance and instructions are of one moment.
constexpr Statement kPosition = {
    "escrow_custodian_position",
    "SELECT coalesce(-a.balance, 0), p.id, p.escrow, p.attempt, p.amount, p.currency, p.beneficiary_name, p.state, "
    "p.reason "
    "FROM (SELECT 1) one LEFT JOIN account a ON a.kind = 'custodian' AND a.currency = $1 "
    "LEFT JOIN pay_out p ON p.state IN ('SENT', 'UNKNOWN') AND p.currency = $1 ORDER BY p.id"};
constexpr Statement kCursor = {"escrow_cursor", "SELECT cursor FROM custodian_cursor"};
constexpr Statement kEscrowOfPayOut = {"escrow_of_pay_out", "SELECT escrow FROM pay_out WHERE id = $1"};

Params& OptionalText(Params& params, const std::string& text) {
  return text.empty() ? params.Null() : params.Text(text);
}

}  // namespace

Escrow ReadEscrow(const Row& row) {
  Escrow e;
  e.id = row.Id(0);
  e.booking = row.Id(1);
  e.buyer = row.Id(2);
  e.provider = row.Id(3);
  e.state = domain::StateByName(row.Text(4)).value_or(domain::State::kVoided);
  e.currency = row.Text(5);
  e.price = row.Int(6);
  e.deposit = row.Int(7);
  e.captured = row.Int(8);
  e.fee = row.Int(9);
  e.payout = row.Int(10);
  e.returned = row.Int(11);
  e.missing = row.Int(12);
  e.reason = row.Text(13);
  e.payout_state = domain::PayOutStateByName(row.Text(14)).value_or(domain::PayOutState::kUnknown);
  e.payout_attempt = static_cast<int>(row.Int(15));
  e.payout_detail = row.Text(16);
  e.payout_time = row.At(17);
  e.expire_time = row.At(18);
  e.create_time = row.At(19);
  e.update_time = row.At(20);
  e.version = row.Int(21);
  return e;
}

domain::PayOut ReadPayOut(const Row& row, int first) {
  domain::PayOut pay_out;
  pay_out.id = row.Id(first);
  pay_out.escrow = row.Id(first + 1);
  pay_out.attempt = static_cast<int>(row.Int(first + 2));
  pay_out.amount = row.Int(first + 3);
  pay_out.currency = row.Text(first + 4);
  pay_out.beneficiary_name = row.Text(first + 5);
  pay_out.state = domain::PayOutStateByName(row.Text(first + 6)).value_or(domain::PayOutState::kUnknown);
  pay_out.reason = row.Text(first + 7);
  return pay_out;
}

Task<Result<std::vector<EscrowView>>> ReadEscrows(Database& reader, Asking asking, EscrowFilter filter) {
  Params params;
  params.Id(asking.organization).Text(asking.roles).Id(filter.id).Id(filter.booking);
  OptionalText(params, filter.state).Id(filter.older_than).Int(filter.at_most);
  Result<Rows> rows = co_await reader.Query(kEscrows, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<EscrowView> views;
  for (Row row : *rows) views.push_back({ReadEscrow(row), row.Text(kEscrowColumns)});
  co_return std::move(views);
}

Task<Result<std::vector<domain::Transfer>>> ReadTransfers(Database& reader, Asking asking, Uuid of_escrow,
                                                          Uuid older_than, int at_most) {
  Params params;
  params.Id(asking.organization).Text(asking.roles).Id(of_escrow).Id(older_than).Int(at_most);
  Result<Rows> rows = co_await reader.Query(kTransfers, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<domain::Transfer> transfers;
  for (Row row : *rows) {
    if (transfers.empty() || transfers.back().id != row.Id(0)) {
      domain::Transfer transfer;
      transfer.id = row.Id(0);
      transfer.kind = row.Text(1);
      transfer.escrow = row.Id(2);
      transfer.time = row.At(3);
      transfers.push_back(std::move(transfer));
    }
    domain::AccountKind kind = domain::AccountKindByName(row.Text(4)).value_or(domain::AccountKind::kSuspense);
    transfers.back().entries.push_back({{kind, row.Id(5), row.Text(6)}, row.Int(7)});
  }
  co_return std::move(transfers);
}

Task<Result<BalanceView>> ReadBalance(Database& reader, Asking asking, std::string currency) {
  Params params;
  params.Id(asking.organization).Text(asking.roles).Text(currency);
  Result<Rows> rows = co_await reader.Query(kBalance, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  Row row = (*rows)[0];
  co_return BalanceView{row.Int(0), row.Int(1), row.Int(2), row.Text(3)};
}

Task<Result<void>> KeepReference(Database& worker, Uuid organization, std::string reference) {
  Params params;
  params.Id(organization).Text(reference);
  Result<Rows> rows = co_await worker.Query(kKeepReference, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return Result<void>();
}

Task<Result<std::vector<LedgerCheck>>> CheckLedger(Database& worker) {
  // It reads every entry: longer than a command may take.
  auto verify = [](postgres::Transaction& tx) {
    tx.ExecuteText("SET LOCAL statement_timeout = '60s'");
    return tx.Execute(kVerify);
  };
  Result<Rows> rows = co_await worker.Run(verify);
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<LedgerCheck> checks;
  for (Row row : *rows) checks.push_back({row.Text(0), row.Int(1), row.Text(2)});
  co_return std::move(checks);
}

Task<Result<CustodianPosition>> ReadCustodianPosition(Database& worker, std::string currency) {
  Params params;
  params.Text(currency);
  Result<Rows> rows = co_await worker.Query(kPosition, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  CustodianPosition position;
  for (Row row : *rows) {
    position.balance = row.Int(0);
    if (row.IsNull(1)) continue;
    position.open.push_back(ReadPayOut(row, 1));
  }
  co_return std::move(position);
}

Task<Result<int64_t>> ReadCursor(Database& worker) {
  Params params;
  Result<Rows> rows = co_await worker.Query(kCursor, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return rows->empty() ? int64_t{0} : (*rows)[0].Int(0);
}

Task<Result<Uuid>> EscrowOfPayOut(Database& worker, Uuid pay_out) {
  Params params;
  params.Id(pay_out);
  Result<Rows> rows = co_await worker.Query(kEscrowOfPayOut, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return rows->empty() ? Uuid() : (*rows)[0].Id(0);
}

}  // namespace millrace::escrow
