// SPDX-License-Identifier: Apache-2.0
#include "common/postgres/pipeline.h"

#include <libpq-fe.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <deque>
#include <set>
#include <unordered_map>
#include <vector>

#include "common/postgres/observe.h"
#include "common/postgres/rows.h"
#include "common/postgres/session.h"
#include "common/telemetry/call.h"
#include "common/telemetry/span.h"

namespace millrace::postgres {
namespace {

using Clock = std::chrono::steady_clock;
using boost::asio::posix::stream_descriptor;
using ErrorCodeOfAsio = boost::system::error_code;

// A connection whose oldest statement is under way for so long holds others up.
constexpr std::chrono::milliseconds kStuck{50};

struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};

class PqRows final : public ResultData {
 public:
  explicit PqRows(PGresult* result) : result_(result) {}
  size_t rows() const override { return static_cast<size_t>(PQntuples(result_.get())); }
  size_t affected() const override { return std::strtoull(PQcmdTuples(result_.get()), nullptr, 10); }
  bool IsNull(size_t row, int column) const override {
    return PQgetisnull(result_.get(), static_cast<int>(row), column) == 1;
  }
  std::string_view View(size_t row, int column) const override {
    int at = static_cast<int>(row);
    return {PQgetvalue(result_.get(), at, column), static_cast<size_t>(PQgetlength(result_.get(), at, column))};
  }

 private:
  std::unique_ptr<PGresult, FreeResult> result_;
};

std::string Quoted(PGconn* connection, const std::string& name) {
  char* quoted = PQescapeIdentifier(connection, name.data(), name.size());
  std::string text = quoted ? quoted : "";
  PQfreemem(quoted);
  return text;
}

// Blocks. Ready for pipelines, or the reason why not.
Result<PGconn*> Connect(const DatabaseOptions& options) {
  PGconn* connection = PQconnectdb(options.url.c_str());
  PQsetNoticeProcessor(connection, [](void*, const char*) {}, nullptr);
  std::string setup = SessionSetup(options, [&](const std::string& name) { return Quoted(connection, name); });
  bool good = PQstatus(connection) == CONNECTION_OK;
  if (good) {
    std::unique_ptr<PGresult, FreeResult> done(PQexec(connection, setup.c_str()));
    good = PQresultStatus(done.get()) == PGRES_COMMAND_OK;
  }
  good = good && PQsetnonblocking(connection, 1) == 0 && PQenterPipelineMode(connection) == 1;
  if (good) return connection;
  Error error = Error::Unavailable(PQerrorMessage(connection));
  PQfinish(connection);
  return Fail(std::move(error));
}

// A statement under way.
struct Pending {
  Statement statement;
  const Params* params;
  std::function<void()> resume;
  std::optional<Result<Rows>> outcome;  // none: the connection broke
  Clock::time_point since = Clock::now();

  void Refused(PGresult* result) {
    const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    outcome = std::unexpected<Error>(SqlError(PQresultErrorMessage(result), state ? state : "").ToError());
  }
};
using PendingPtr = std::shared_ptr<Pending>;

}  // namespace

// A connection. `expected` is what the server has yet to answer, in order.
struct Pipeline::Link : std::enable_shared_from_this<Link> {
  enum class Kind { kPrepare, kExecute, kSync };
  struct Expected {
    Kind kind;
    PendingPtr pending;
  };

  Link(PGconn* c, const Executor& executor) : connection(c), socket(executor, PQsocket(c)) {}
  ~Link() { Close(); }

  void Close() {
    if (!connection) return;
    ErrorCodeOfAsio ignored;
    socket.cancel(ignored);
    socket.release();  // libpq closes it
    PQfinish(connection);
    connection = nullptr;
  }

  // Everything under way is lost.
  void Break() {
    if (!connection) return;
    Close();
    std::deque<Expected> lost = std::move(expected);
    expected.clear();
    for (Expected& each : lost) {
      if (each.kind == Kind::kExecute) each.pending->resume();
    }
  }

  bool Stuck() const { return !expected.empty() && Clock::now() - expected.front().pending->since > kStuck; }

  void Send(PendingPtr pending) {
    std::vector<const char*> values;
    values.reserve(pending->params->values().size());
    for (const auto& value : pending->params->values()) values.push_back(value ? value->c_str() : nullptr);
    const Statement& statement = pending->statement;
    bool sent = true;
    if (prepared.insert(statement.name).second) {
      sent = PQsendPrepare(connection, statement.name, statement.sql, 0, nullptr) == 1;
      expected.push_back({Kind::kPrepare, pending});
    }
    int count = static_cast<int>(values.size());
    sent = sent && PQsendQueryPrepared(connection, statement.name, count, values.data(), nullptr, nullptr, 0) == 1;
    expected.push_back({Kind::kExecute, pending});
    sent = sent && PQpipelineSync(connection) == 1;
    expected.push_back({Kind::kSync, pending});
    if (!sent) return Break();
    Flush();
    if (!listening) Listen();
  }

  void Flush() {
    if (writing || !connection) return;
    int left = PQflush(connection);
    if (left < 0) return Break();
    if (left == 0) return;
    writing = true;
    socket.async_wait(stream_descriptor::wait_write, [link = shared_from_this()](ErrorCodeOfAsio error) {
      link->writing = false;
      if (!error) link->Flush();
    });
  }

  // Waits for the server while it has something to answer: an idle connection keeps no loop running, and its end shows
  // at the next statement.
  void Listen() {
    listening = connection != nullptr && !expected.empty();
    if (!listening) return;
    socket.async_wait(stream_descriptor::wait_read, [link = shared_from_this()](ErrorCodeOfAsio error) {
      if (error || !link->connection) return;
      if (PQconsumeInput(link->connection) != 1) return link->Break();
      link->Take();
      link->Listen();
    });
  }

  void Take() {
    std::vector<PendingPtr> answered;
    bool after_result = false;  // a null result then ends one statement's results; otherwise there is nothing more
    while (PQisBusy(connection) == 0) {
      PGresult* result = PQgetResult(connection);
      if (!result && !after_result) break;
      after_result = result && PQresultStatus(result) != PGRES_PIPELINE_SYNC;
      if (result && !Answered(result, &answered)) {
        for (const PendingPtr& pending : answered) pending->resume();
        return Break();
      }
    }
    for (const PendingPtr& pending : answered) pending->resume();
  }

  // False when the session is over or out of step.
  bool Answered(PGresult* raw, std::vector<PendingPtr>* answered) {
    std::unique_ptr<PGresult, FreeResult> result(raw);
    if (expected.empty()) return false;
    Expected next = std::move(expected.front());
    expected.pop_front();
    ExecStatusType status = PQresultStatus(raw);
    if (next.kind == Kind::kSync) return status == PGRES_PIPELINE_SYNC;
    Pending& pending = *next.pending;
    if (status == PGRES_FATAL_ERROR) {
      const char* state = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
      std::string_view code = state ? state : "";
      if (code.empty() || EndsSession(code)) {
        expected.push_front(std::move(next));  // so that Break finds it
        return false;
      }
      pending.Refused(raw);
      if (next.kind == Kind::kPrepare) prepared.erase(pending.statement.name);
    } else if (next.kind == Kind::kExecute && !pending.outcome) {
      pending.outcome = Rows(std::make_shared<PqRows>(result.release()));
    }
    if (next.kind == Kind::kExecute) answered->push_back(std::move(next.pending));
    return true;
  }

  PGconn* connection;
  stream_descriptor socket;
  std::set<std::string_view> prepared;
  std::deque<Expected> expected;
  bool writing = false, listening = false;
};

struct Pipeline::State {
  State(const DatabaseOptions& o, ThreadPool& p) : options(o), pool(p) {}

  // The one with the least to do among those that move; nullptr if another one should be opened.
  std::shared_ptr<Link> Pick() {
    std::erase_if(links, [](const auto& link) { return !link->connection; });
    std::shared_ptr<Link> best;
    bool all_stuck = true;
    for (const auto& link : links) {
      bool stuck = link->Stuck();
      bool better =
          !best || (all_stuck && !stuck) || (stuck == all_stuck && link->expected.size() < best->expected.size());
      if (better) best = link;
      all_stuck = all_stuck && stuck;
    }
    bool more = all_stuck && static_cast<int>(links.size()) < options.connections && !opening;
    return more ? nullptr : best;
  }

  // By the address of the name, which is the same for each use of a Statement.
  telemetry::Histogram& SecondsOf(const Statement& statement) {
    telemetry::Histogram*& known = seconds[statement.name];
    if (!known) known = &StatementSeconds(options.schema, statement.name);
    return *known;
  }

  DatabaseOptions options;
  ThreadPool& pool;
  std::unordered_map<const char*, telemetry::Histogram*> seconds;
  std::vector<std::shared_ptr<Link>> links;
  bool opening = false;
  std::vector<std::function<void()>> waiting;  // for the connection that is being opened
};

Pipeline::Pipeline(const DatabaseOptions& options, ThreadPool& pool) : state_(std::make_shared<State>(options, pool)) {}

Pipeline::~Pipeline() {
  for (const auto& link : state_->links) link->Close();
}

Task<Result<Rows>> Pipeline::Query(Statement statement, Params params) {
  auto state = state_;
  telemetry::Span span("postgres.query", telemetry::SpanKind::kClient, telemetry::CurrentCall().Traceparent());
  span.Set("db.system", "postgresql");
  span.Set("db.namespace", state->options.schema);
  span.Set("db.statement.name", statement.name);
  // One on a connection that idled, one on a fresh one.
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::shared_ptr<Link> link = state->Pick();
    bool fresh = false;
    while (!link && state->opening) {
      std::function<void(std::function<void()>)> wait = [state](std::function<void()> resume) {
        state->waiting.push_back(std::move(resume));
      };
      co_await millrace::detail::Suspend(std::move(wait));
      link = state->Pick();
    }
    if (!link) {
      state->opening = true;
      std::function<Result<PGconn*>()> connect = [options = state->options] { return Connect(options); };
      Result<PGconn*> opened = co_await RunOn(state->pool, std::move(connect));
      state->opening = false;
      std::vector<std::function<void()>> waiting = std::move(state->waiting);
      state->waiting.clear();
      if (opened) {
        Executor executor = co_await CurrentExecutor();
        link = std::make_shared<Link>(*opened, executor);
        state->links.push_back(link);
        fresh = true;
      }
      for (auto& resume : waiting) resume();
      if (!opened && state->links.empty()) co_return std::unexpected<Error>(std::move(opened).error());
      if (!link) link = state->Pick();
      if (!link) continue;
    }
    auto pending = std::make_shared<Pending>();
    pending->statement = statement;
    pending->params = &params;
    std::function<void(std::function<void()>)> send = [link, pending](std::function<void()> resume) {
      pending->resume = std::move(resume);
      link->Send(pending);
    };
    co_await millrace::detail::Suspend(std::move(send));
    if (pending->outcome) {
      auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - pending->since);
      state->SecondsOf(statement).Observe(took.count());
      co_return *std::move(pending->outcome);
    }
    if (fresh) break;
  }
  co_return Fail(Error::Unavailable("the connection to PostgreSQL broke"));
}

}  // namespace millrace::postgres
