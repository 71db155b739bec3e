// SPDX-License-Identifier: Apache-2.0
#include "services/custodian_sandbox/bank.h"

#include "common/postgres/migrate.h"

namespace millrace {
std::span<const EmbeddedFile> CustodianMigrations();
}

namespace millrace::custodian {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

constexpr char kSchema[] = "custodian";
constexpr char kWorld[] = "world";

constexpr Statement kOpenAccount = {
    "bank_open", "INSERT INTO account (number, kind) VALUES ($1, 'customer') ON CONFLICT (number) DO NOTHING"};
constexpr Statement kBalance = {"bank_balance", "SELECT balance FROM account WHERE number = $1"};
// The customer's row is locked first and always, so transfers stand in one order and cursors commit in theirs.
constexpr Statement kLock = {"bank_lock", "SELECT balance FROM account WHERE number = $1 FOR UPDATE"};
constexpr Statement kMove = {
    "bank_move",
    "WITH moved AS (INSERT INTO movement (transfer, from_account, to_account, amount) VALUES ($1, $2, $3, $4) "
    "RETURNING *) "
    "UPDATE account a SET balance = a.balance + CASE WHEN a.number = m.to_account THEN m.amount ELSE -m.amount END "
    "FROM moved m WHERE a.number IN (m.from_account, m.to_account)"};
constexpr Statement kAddPayIn = {
    "bank_pay_in",
    "WITH next AS (UPDATE account SET pay_in_cursor = pay_in_cursor + 1 WHERE number = $2 RETURNING pay_in_cursor) "
    "INSERT INTO pay_in (id, account, cursor, amount, currency, reference, payer_name) "
    "SELECT $1, $2, pay_in_cursor, $3, $4, $5, $6 FROM next RETURNING cursor, runtime.micros(value_time)"};
constexpr Statement kNotice = {"bank_notice", "INSERT INTO notice (id, kind, transfer) VALUES ($1, $2, $3)"};

#define PAY_IN_COLUMNS "id, cursor, amount, reference, payer_name, runtime.micros(value_time)"
constexpr Statement kPayIns = {"bank_pay_ins",
                               "SELECT " PAY_IN_COLUMNS
                               " FROM pay_in WHERE account = $1 AND cursor > $2 ORDER BY cursor LIMIT $3"};
constexpr Statement kFindPayIn = {"bank_find_pay_in",
                                  "SELECT " PAY_IN_COLUMNS " FROM pay_in WHERE account = $1 AND id = $2"};
#undef PAY_IN_COLUMNS

#define PAY_OUT_COLUMNS \
  "id, amount, beneficiary_name, beneficiary_account, purpose, state, reason, runtime.micros(value_time)"
constexpr Statement kFindPayOut = {"bank_find_pay_out",
                                   "SELECT " PAY_OUT_COLUMNS " FROM pay_out WHERE account = $1 AND id = $2"};
constexpr Statement kAddPayOut = {
    "bank_pay_out",
    "INSERT INTO pay_out (id, account, amount, currency, beneficiary_name, beneficiary_account, purpose, state, "
    "reason, settle_time) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $8 = 'PENDING' THEN clock_timestamp() + interval '2 s' END) "
    "RETURNING " PAY_OUT_COLUMNS};
#undef PAY_OUT_COLUMNS
constexpr Statement kSettle = {
    "bank_settle",
    "WITH settled AS (UPDATE pay_out SET state = 'DONE', value_time = clock_timestamp() "
    "WHERE state = 'PENDING' AND settle_time <= clock_timestamp() RETURNING id) "
    "INSERT INTO notice (id, kind, transfer) SELECT gen_random_uuid(), 'pay_out', id FROM settled"};

constexpr Statement kClaim = {
    "bank_claim",
    "WITH due AS (SELECT id FROM notice WHERE deliver_time IS NULL AND due_time <= clock_timestamp() "
    "ORDER BY due_time LIMIT $1 FOR UPDATE SKIP LOCKED) "
    "UPDATE notice n SET attempts = attempts + 1, due_time = clock_timestamp() + make_interval(secs => $2::int) "
    "FROM due WHERE n.id = due.id RETURNING n.id, n.kind, n.transfer, n.attempts"};
constexpr Statement kDelivered = {
    "bank_delivered",
    "UPDATE notice SET deliver_time = clock_timestamp(), last_failure = '' WHERE id = $1 AND deliver_time IS NULL"};
constexpr Statement kFailed = {
    "bank_failed",
    "UPDATE notice SET due_time = clock_timestamp() + make_interval(secs => $2::int), last_failure = $3 "
    "WHERE id = $1 AND deliver_time IS NULL"};
constexpr Statement kFigures = {
    "bank_figures",
    "SELECT (SELECT balance FROM account WHERE number = $1), (SELECT balance FROM account WHERE number = 'world'), "
    "(SELECT count(*) FROM pay_in), (SELECT count(*) FROM pay_out), "
    "(SELECT count(*) FROM notice WHERE deliver_time IS NULL), (SELECT count(*) FROM notice WHERE deliver_time IS NOT "
    "NULL), "
    "(SELECT bool_and(a.balance = coalesce((SELECT sum(CASE WHEN m.to_account = a.number THEN m.amount ELSE -m.amount "
    "END) "
    "FROM movement m WHERE a.number IN (m.to_account, m.from_account)), 0)) FROM account a)"};

PayIn ReadPayIn(const Row& row) { return {row.Id(0), row.Int(1), row.Int(2), row.Text(3), row.Text(4), row.At(5)}; }

PayOut ReadPayOut(const Row& row) {
  return {row.Text(0), row.Int(1), row.Text(2), row.Text(3), row.Text(4), row.Text(5), row.Text(6), row.At(7)};
}

bool SameContent(const PayOut& a, const PayOut& b) {
  return a.amount == b.amount && a.beneficiary_name == b.beneficiary_name &&
         a.beneficiary_account == b.beneficiary_account && a.purpose == b.purpose;
}

void Decide(PayOut& instruction, int64_t balance) {
  instruction.state = "FAILED";
  if (instruction.beneficiary_account.starts_with("CLOSED")) {
    instruction.reason = "ACCOUNT_CLOSED";
  } else if (instruction.amount > balance) {
    instruction.reason = "INSUFFICIENT_BALANCE";
  } else {
    instruction.state = instruction.beneficiary_account.starts_with("SLOW") ? "PENDING" : "DONE";
  }
}

postgres::DatabaseOptions Options(const std::string& url) {
  postgres::DatabaseOptions options;
  options.url = url;
  options.schema = kSchema;
  return options;
}

}  // namespace

Result<void> Bank::Prepare(const std::string& database_url, const std::string& account_number) {
  Result<postgres::MigrationReport> migrated = postgres::Migrator(database_url).Apply(kSchema, CustodianMigrations());
  if (!migrated) return Fail(std::move(migrated).error());
  postgres::DatabaseOptions options = Options(database_url);
  options.connections = 1;
  postgres::Database database(options);
  return database.RunHere([&](Transaction& tx) { tx.Execute(kOpenAccount, Params().Text(account_number)); });
}

Bank::Bank(const std::string& database_url, std::string account_number)
    : account_(std::move(account_number)), database_(Options(database_url)) {}

Task<Result<int64_t>> Bank::Balance() {
  Params params;
  params.Text(account_);
  Result<Rows> rows = co_await database_.Query(kBalance, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return (*rows)[0].Int(0);
}

Task<Result<std::vector<PayIn>>> Bank::PayIns(int64_t after, int limit) {
  Params params;
  params.Text(account_).Int(after).Int(limit);
  Result<Rows> rows = co_await database_.Query(kPayIns, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<PayIn> found;
  for (Row row : *rows) found.push_back(ReadPayIn(row));
  co_return std::move(found);
}

Task<Result<std::optional<PayIn>>> Bank::FindPayIn(Uuid id) {
  Params params;
  params.Text(account_).Id(id);
  Result<Rows> rows = co_await database_.Query(kFindPayIn, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::optional<PayIn> found;
  if (!rows->empty()) found = ReadPayIn((*rows)[0]);
  co_return std::move(found);
}

Task<Result<std::optional<PayOut>>> Bank::FindPayOut(std::string id) {
  Params params;
  params.Text(account_).Text(id);
  Result<Rows> rows = co_await database_.Query(kFindPayOut, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::optional<PayOut> found;
  if (!rows->empty()) found = ReadPayOut((*rows)[0]);
  co_return std::move(found);
}

Task<Result<PayIn>> Bank::Receive(PayIn pay_in) {
  auto work = [account = account_, pay_in = std::move(pay_in)](Transaction& tx) {
    PayIn stored = pay_in;
    stored.id = Uuid::New();
    std::string transfer = FormatId("cpi", stored.id);
    tx.Execute(kLock, Params().Text(account));
    Rows rows = tx.Execute(kAddPayIn, Params()
                                          .Id(stored.id)
                                          .Text(account)
                                          .Int(stored.amount)
                                          .Text(kCurrency)
                                          .Text(stored.reference)
                                          .Text(stored.payer_name));
    stored.cursor = rows[0].Int(0);
    stored.value_time = rows[0].At(1);
    tx.Execute(kMove, Params().Text(transfer).Text(kWorld).Text(account).Int(stored.amount));
    tx.Execute(kNotice, Params().Id(Uuid::New()).Text("pay_in").Text(transfer));
    return stored;
  };
  Result<PayIn> received = co_await database_.Run(work);
  co_return std::move(received);
}

Task<Result<Placement>> Bank::Pay(PayOut instruction) {
  auto work = [account = account_, wanted = std::move(instruction)](Transaction& tx) {
    Placement placement;
    int64_t balance = tx.Execute(kLock, Params().Text(account))[0].Int(0);
    Rows before = tx.Execute(kFindPayOut, Params().Text(account).Text(wanted.id));
    if (!before.empty()) {
      placement.pay_out = ReadPayOut(before[0]);
      placement.kind = SameContent(placement.pay_out, wanted) ? Placement::Kind::kSame : Placement::Kind::kDifferent;
      return placement;
    }
    PayOut decided = wanted;
    Decide(decided, balance);
    Rows rows = tx.Execute(kAddPayOut, Params()
                                           .Text(decided.id)
                                           .Text(account)
                                           .Int(decided.amount)
                                           .Text(kCurrency)
                                           .Text(decided.beneficiary_name)
                                           .Text(decided.beneficiary_account)
                                           .Text(decided.purpose)
                                           .Text(decided.state)
                                           .Text(decided.reason));
    placement.pay_out = ReadPayOut(rows[0]);
    if (decided.state != "FAILED") {
      tx.Execute(kMove, Params().Text("out/" + decided.id).Text(account).Text(kWorld).Int(decided.amount));
    }
    if (decided.state != "PENDING") tx.Execute(kNotice, Params().Id(Uuid::New()).Text("pay_out").Text(decided.id));
    return placement;
  };
  Result<Placement> placed = co_await database_.Run(work);
  co_return std::move(placed);
}

Task<Result<int>> Bank::SettlePending() {
  Params params;
  Result<Rows> rows = co_await database_.Query(kSettle, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return static_cast<int>(rows->affected());
}

Task<Result<std::vector<Notice>>> Bank::ClaimNotices(int limit, std::chrono::seconds lease) {
  Params params;
  params.Int(limit).Int(lease.count());
  Result<Rows> rows = co_await database_.Query(kClaim, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<Notice> notices;
  for (Row row : *rows) notices.push_back({row.Id(0), row.Text(1), row.Text(2), static_cast<int>(row.Int(3))});
  co_return std::move(notices);
}

Task<Result<bool>> Bank::NoticeDelivered(Uuid id) {
  Params params;
  params.Id(id);
  Result<Rows> rows = co_await database_.Query(kDelivered, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return rows->affected() == 1;
}

Task<Result<bool>> Bank::NoticeFailed(Uuid id, std::chrono::seconds again_in, std::string failure) {
  Params params;
  params.Id(id).Int(again_in.count()).Text(failure);
  Result<Rows> rows = co_await database_.Query(kFailed, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return rows->affected() == 1;
}

Task<Result<Figures>> Bank::GetFigures() {
  Params params;
  params.Text(account_);
  Result<Rows> rows = co_await database_.Query(kFigures, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  Row row = (*rows)[0];
  co_return Figures{row.Int(0), row.Int(1), row.Int(2), row.Int(3), row.Int(4), row.Int(5), row.Bool(6)};
}

}  // namespace millrace::custodian
