// SPDX-License-Identifier: Apache-2.0
#include "common/postgres/transaction.h"

#include <cstdlib>
#include <mutex>
#include <pqxx/pqxx>
#include <set>
#include <unordered_map>

#include "common/postgres/database.h"
#include "common/postgres/observe.h"
#include "common/postgres/pipeline.h"
#include "common/postgres/rows.h"
#include "common/postgres/session.h"
#include "common/telemetry/call.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/span.h"

namespace millrace::postgres {
namespace {

class PqxxRows final : public ResultData {
 public:
  explicit PqxxRows(pqxx::result result) : result_(std::move(result)) {}
  size_t rows() const override { return static_cast<size_t>(result_.size()); }
  size_t affected() const override { return static_cast<size_t>(result_.affected_rows()); }
  bool IsNull(size_t row, int column) const override { return Field(row, column).is_null(); }
  std::string_view View(size_t row, int column) const override {
    pqxx::field field = Field(row, column);
    return field.is_null() ? std::string_view() : std::string_view(field.c_str(), field.size());
  }

 private:
  pqxx::field Field(size_t row, int column) const { return result_[static_cast<pqxx::result::size_type>(row)][column]; }
  pqxx::result result_;
};

std::string HexBytes(std::string_view value) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\\x";
  out.reserve(2 + value.size() * 2);
  for (unsigned char c : value) {
    out += kHex[c >> 4];
    out += kHex[c & 15];
  }
  return out;
}

}  // namespace

std::string ArrayLiteral(const std::vector<std::string>& values) {
  std::string out = "{";
  for (const std::string& value : values) {
    if (out.size() > 1) out += ',';
    out += '"';
    for (char c : value) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
    out += '"';
  }
  return out + '}';
}

Params& Params::Text(std::string_view value) {
  values_.emplace_back(std::string(value));
  return *this;
}
Params& Params::Null() {
  values_.emplace_back(std::nullopt);
  return *this;
}
Params& Params::Int(int64_t value) { return Text(std::to_string(value)); }
Params& Params::Bool(bool value) { return Text(value ? "t" : "f"); }
Params& Params::Bytes(std::string_view value) { return Text(HexBytes(value)); }
Params& Params::Id(const Uuid& id) { return id.IsNil() ? Null() : Text(id.Hex()); }
Params& Params::At(Time time) { return Text(FormatTime(time)); }
Params& Params::OptionalAt(std::optional<Time> time) { return time ? At(*time) : Null(); }
Params& Params::Texts(const std::vector<std::string>& values) { return Text(ArrayLiteral(values)); }
Params& Params::Ints(const std::vector<int64_t>& values) {
  std::string out = "{";
  for (int64_t value : values) {
    if (out.size() > 1) out += ',';
    out += std::to_string(value);
  }
  return Text(out + '}');
}
Params& Params::BytesArray(const std::vector<std::string>& values) {
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const std::string& value : values) texts.push_back(HexBytes(value));
  return Texts(texts);
}
Params& Params::Ids(const std::vector<Uuid>& ids) {
  std::string out = "{";
  for (const Uuid& id : ids) {
    if (out.size() > 1) out += ',';
    out += id.IsNil() ? "NULL" : id.Hex();
  }
  return Text(out + '}');
}
Params& Params::Times(const std::vector<Time>& times) {
  std::vector<std::string> texts;
  texts.reserve(times.size());
  for (Time time : times) texts.push_back(FormatTime(time));
  return Texts(texts);
}

std::string_view Row::View(int column) const { return result_->View(row_, column); }
bool Row::IsNull(int column) const { return result_->IsNull(row_, column); }
std::string Row::Text(int column) const { return std::string(View(column)); }
int64_t Row::Int(int column) const { return std::strtoll(std::string(View(column)).c_str(), nullptr, 10); }
bool Row::Bool(int column) const { return View(column) == "t"; }
std::string Row::Bytes(int column) const {
  std::string_view text = View(column);
  std::string out;
  if (text.substr(0, 2) != "\\x") return out;
  auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  out.reserve(text.size() / 2);
  for (size_t i = 2; i + 1 < text.size(); i += 2) out += static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1]));
  return out;
}
Uuid Row::Id(int column) const { return Uuid::FromHex(View(column)); }
Time Row::At(int column) const { return FromMicros(Int(column)); }
std::optional<Time> Row::OptionalAt(int column) const {
  return IsNull(column) ? std::nullopt : std::optional<Time>(At(column));
}

bool SqlError::Temporary() const {
  std::string_view kind = std::string_view(sqlstate_).substr(0, 2);
  return kind == "40" || kind == "53" || kind == "55" || kind == "57" || kind == "58";
}

Error SqlError::ToError() const {
  if (!Temporary()) return Error::Internal(sqlstate_ + " " + what());
  return Error::Unavailable(sqlstate_ + " " + what());
}

Rows::Rows(std::shared_ptr<const ResultData> result)
    : result_(std::move(result)), size_(result_->rows()), affected_(result_->affected()) {}

namespace {

using telemetry::CurrentCall;
using telemetry::Span;
using telemetry::SpanKind;

struct Connection {
  std::unique_ptr<pqxx::connection> link;
  std::string service;  // the schema
  std::set<std::string> prepared;
  // How long a statement took; by its name's address, which is the same for each use of a Statement.
  std::unordered_map<const char*, telemetry::Histogram*> seconds;
};

// pqxx 6.4 drops the code of some errors that it has a class for.
std::string SqlStateOf(const pqxx::sql_error& e) {
  if (!e.sqlstate().empty()) return e.sqlstate();
  if (dynamic_cast<const pqxx::serialization_failure*>(&e)) return "40001";
  if (dynamic_cast<const pqxx::deadlock_detected*>(&e)) return "40P01";
  if (dynamic_cast<const pqxx::unique_violation*>(&e)) return "23505";
  if (dynamic_cast<const pqxx::check_violation*>(&e)) return "23514";
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&e)) return "42501";
  return {};
}

// Turns pqxx's exceptions into ours; both may be thrown by any call.
template <class F>
auto Guarded(F work) {
  try {
    return work();
  } catch (const pqxx::broken_connection& e) {
    throw ConnectionLost(e.what());
  } catch (const pqxx::in_doubt_error& e) {
    throw ConnectionLost(e.what());
  } catch (const pqxx::sql_error& e) {
    if (EndsSession(e.sqlstate())) throw ConnectionLost(e.what());
    throw SqlError(e.what(), SqlStateOf(e));
  }
}

class PqxxTransaction : public Transaction {
 public:
  PqxxTransaction(Connection& connection, pqxx::transaction_base& transaction, Span* span = nullptr)
      : connection_(connection), transaction_(transaction), span_(span) {}

  Rows Execute(const Statement& statement, const Params& params) override {
    return Guarded([&] {
      telemetry::Histogram*& seconds = connection_.seconds[statement.name];
      if (!seconds) {
        if (!connection_.prepared.contains(statement.name)) {
          connection_.link->prepare(statement.name, statement.sql);
          connection_.prepared.insert(statement.name);
        }
        seconds = &StatementSeconds(connection_.service, statement.name);
      }
      if (span_) span_->Set("db.statement.name", statement.name);
      std::vector<const char*> values;
      values.reserve(params.values().size());
      for (const auto& value : params.values()) values.push_back(value ? value->c_str() : nullptr);
      int64_t begin = telemetry::SteadyNanos();
      pqxx::result result = transaction_.exec_prepared(statement.name, pqxx::prepare::make_dynamic_params(values));
      seconds->Observe(telemetry::SteadyNanos() - begin);
      return Rows(std::make_shared<PqxxRows>(std::move(result)));
    });
  }

  Rows ExecuteText(const std::string& sql) override {
    return Guarded([&] { return Rows(std::make_shared<PqxxRows>(transaction_.exec(sql))); });
  }

 private:
  Connection& connection_;
  pqxx::transaction_base& transaction_;
  Span* span_;
};

}  // namespace

struct Database::Connections {
  std::mutex mutex;
  std::vector<std::unique_ptr<Connection>> idle;
};

Database::Database(DatabaseOptions options)
    : options_(std::move(options)),
      connections_(std::make_unique<Connections>()),
      pool_(options_.connections, "postgres"),
      pipeline_(std::make_unique<Pipeline>(options_, pool_)) {}

Database::~Database() = default;

namespace {

std::unique_ptr<Connection> Connect(const DatabaseOptions& options) {
  return Guarded([&] {
    auto connection = std::make_unique<Connection>();
    connection->service = options.schema;
    connection->link = std::make_unique<pqxx::connection>(options.url);
    pqxx::nontransaction session(*connection->link);
    session.exec(SessionSetup(options, [&](const std::string& name) { return session.quote_name(name); }));
    return connection;
  });
}

}  // namespace

void Database::RunThrowing(const std::function<void(Transaction&)>& work) {
  std::unique_ptr<Connection> connection;
  {
    std::lock_guard lock(connections_->mutex);
    if (!connections_->idle.empty()) {
      connection = std::move(connections_->idle.back());
      connections_->idle.pop_back();
    }
  }
  Span span("postgres.transaction", SpanKind::kClient, CurrentCall().Traceparent());
  span.Set("db.system", "postgresql");
  span.Set("db.namespace", options_.schema);
  if (!connection) connection = Connect(options_);
  try {
    Guarded([&] {
      pqxx::work transaction(*connection->link);
      PqxxTransaction wrapped(*connection, transaction, &span);
      work(wrapped);
      try {
        transaction.commit();
      } catch (const pqxx::broken_connection& e) {
        throw ConnectionLost(e.what(), true);
      } catch (const pqxx::in_doubt_error& e) {
        throw ConnectionLost(e.what(), true);
      }
    });
  } catch (const ConnectionLost&) {
    throw;  // the connection goes with it
  } catch (...) {
    std::lock_guard lock(connections_->mutex);
    connections_->idle.push_back(std::move(connection));
    throw;
  }
  std::lock_guard lock(connections_->mutex);
  connections_->idle.push_back(std::move(connection));
}

Result<void> Database::RunHere(const std::function<void(Transaction&)>& work) {
  constexpr int kAttempts = 3;
  for (int attempt = 1;; ++attempt) {
    try {
      RunThrowing(work);
      return {};
    } catch (const SqlError& e) {
      if (e.Transient() && e.sqlstate() != "23505" && attempt < kAttempts) continue;
      return Fail(e.ToError());
    } catch (const ConnectionLost& e) {
      // A connection that died while it idled shows at its first statement; before COMMIT a fresh one may run it again.
      if (!e.in_commit() && attempt < kAttempts) continue;
      return Fail(Error::Unavailable(e.what()));
    } catch (const std::exception& e) {
      return Fail(Error::Internal(e.what()));
    }
  }
}

Result<void> Database::ExecuteAlone(const std::string& sql) {
  try {
    std::unique_ptr<Connection> connection = Connect(options_);
    pqxx::nontransaction session(*connection->link);
    PqxxTransaction(*connection, session).ExecuteText(sql);
    return {};
  } catch (const ConnectionLost& e) {
    return Fail(Error::Unavailable(e.what()));
  } catch (const std::exception& e) {
    return Fail(Error::Internal(e.what()));
  }
}

Task<Result<Rows>> Database::Query(const Statement& statement, Params params) {
  Result<Rows> rows = co_await pipeline_->Query(statement, std::move(params));
  co_return std::move(rows);
}

}  // namespace millrace::postgres
