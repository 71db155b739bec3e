// SPDX-License-Identifier: Apache-2.0
#include "common/tasks/tasks.h"

#include "common/base/limits.h"
#include "common/telemetry/call.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/span.h"
#include "common/telemetry/trace.h"

namespace millrace::tasks {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

namespace {

// A task that fails this often, and again so often, is worth a person's look.
constexpr int kAlarmEvery = 10;

// RETURNING gives rows in any order; timers must run in theirs.
#define MILLRACE_CLAIM(rows)                                                                                        \
  "WITH claimed AS (" rows                                                                                          \
  "), moved AS ("                                                                                                   \
  "UPDATE task t SET fence = fence + 1, attempts = attempts + 1, "                                                  \
  "due_at = runtime.now() + make_interval(secs => least(300, 5 * power(2, least(attempts, 6)))) "                   \
  "FROM claimed c WHERE t.id = c.id RETURNING t.id, kind, subject, fence, attempts, payload, c.due_at AS was_due) " \
  "SELECT id, kind, subject, fence, attempts, payload FROM moved ORDER BY was_due, id"
constexpr Statement kClaimDue = {"task_claim_due",
                                 MILLRACE_CLAIM("SELECT id, due_at FROM task WHERE due_at <= runtime.now() ORDER BY "
                                                "due_at, id LIMIT $1 FOR UPDATE SKIP LOCKED")};
constexpr Statement kClaimOne = {"task_claim_one",
                                 MILLRACE_CLAIM("SELECT id, due_at FROM task WHERE id = $1 FOR UPDATE SKIP LOCKED")};
#undef MILLRACE_CLAIM
// After a failure: sooner than the lease, later with each attempt.
constexpr Statement kRetry = {
    "task_retry",
    "UPDATE task SET due_at = runtime.now() + make_interval(secs => least(300, 0.5 * power(2, least(attempts, 10)))) "
    "WHERE id = $1 AND fence = $2"};
constexpr Statement kNextDue = {"task_next_due", "SELECT runtime.micros(min(due_at)) FROM task"};

// Runs of a task by how they ended.
void CountRun(const std::string& kind, bool failed) {
  static telemetry::Counters& family =
      telemetry::Counters::Make("millrace_task_runs_total", "Runs of due work by how they ended.", {"kind", "outcome"});
  family.With({kind, failed ? "failed" : "done"}).Add();
}

std::vector<DueTask> Read(const Rows& rows) {
  std::vector<DueTask> tasks;
  for (Row row : rows) {
    tasks.push_back({row.Id(0), row.Text(1), row.Id(2), row.Int(3), static_cast<int>(row.Int(4)), row.Bytes(5)});
  }
  return tasks;
}

}  // namespace

Runner::Runner(Executor executor, postgres::Database& worker)
    : executor_(executor), worker_(worker), wakeup_(executor) {}

void Runner::Handle(std::string kind, Handler handler) { handlers_[std::move(kind)] = std::move(handler); }

void Runner::Start() { Spawn(executor_, Run(), "tasks"); }

void Runner::Stop() {
  stopped_ = true;
  wakeup_.Signal();
}

Task<Result<std::optional<Time>>> Runner::NextDue() {
  Params params;
  Result<Rows> rows = co_await worker_.Query(kNextDue, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return (*rows)[0].OptionalAt(0);
}

Task<void> Runner::RunOne(DueTask task) {
  auto handler = handlers_.find(task.kind);
  if (handler == handlers_.end()) co_return;  // a newer program's task: left to its lease
  Uuid id = task.id;
  int64_t fence = task.fence;
  std::string kind = task.kind;
  int attempts = task.attempts;
  // A task begins a trace: who made its row may be days ago.
  std::string trace = telemetry::NewTraceparent(telemetry::RecordsSpans());
  telemetry::Span span("task." + kind, telemetry::SpanKind::kInternal, trace, std::string_view());
  telemetry::CallScope scope(telemetry::Call::Of(trace, {}));
  Result<void> done;
  try {
    done = co_await handler->second(std::move(task));
  } catch (const std::exception& failure) {
    done = Fail(Error::Internal(failure.what()));  // of this task, not of the poller
  }
  ++ended_;
  CountRun(kind, !done);
  if (!done) span.Fail(Name(done.error().code));
  if (done) co_return;
  if (attempts % kAlarmEvery == 0) {
    telemetry::Log(telemetry::Level::kError, "task.keeps_failing",
                   {{"kind", kind},
                    {"id", id.Hex()},
                    {"attempts", attempts},
                    {"code", Name(done.error().code)},
                    {"cause", done.error().cause}});
  }
  auto retry = [id, fence](Transaction& tx) {
    Params params;
    params.Id(id).Int(fence);
    return tx.Execute(kRetry, params).affected();
  };
  Result<size_t> moved = co_await worker_.Run(retry);
  (void)moved;  // without it the lease decides
}

Task<Result<int>> Runner::FireAndSettle() {
  Result<int> fired = co_await FireDue();
  if (!fired) co_return std::move(fired);
  while (*in_hand_ > 0) co_await Sleep(std::chrono::milliseconds(1));
  int ended = ended_;
  ended_ = 0;
  co_return ended;
}

Task<Result<std::vector<DueTask>>> Runner::ClaimDue() {
  auto claim = [](Transaction& tx) {
    Params params;
    params.Int(limits::kTasksPerPoll);
    return Read(tx.Execute(kClaimDue, params));
  };
  Result<std::vector<DueTask>> claimed = co_await worker_.Run(claim);
  co_return std::move(claimed);
}

Task<Result<int>> Runner::FireDue() {
  InHand in_hand(in_hand_);
  int fired = 0;
  while (!stopped_) {
    Result<std::vector<DueTask>> claimed = co_await ClaimDue();
    if (!claimed) co_return std::unexpected<Error>(std::move(claimed).error());
    if (claimed->empty()) co_return fired;
    for (DueTask& task : *claimed) {
      ++fired;
      co_await RunOne(std::move(task));
    }
  }
  co_return fired;
}

Task<Result<void>> Runner::RunNow(Uuid id) {
  InHand in_hand(in_hand_);
  auto claim = [id](Transaction& tx) {
    Params params;
    params.Id(id);
    return Read(tx.Execute(kClaimOne, params));
  };
  Result<std::vector<DueTask>> claimed = co_await worker_.Run(claim);
  if (!claimed) co_return std::unexpected<Error>(std::move(claimed).error());
  for (DueTask& task : *claimed) co_await RunOne(std::move(task));
  co_return Result<void>();
}

struct Runner::Round {
  explicit Round(Executor executor) : ended(std::move(executor)) {}
  // A lane that is under way, however its coroutine ends.
  struct Lane {
    explicit Lane(std::shared_ptr<Round> r) : round(std::move(r)) {}
    ~Lane() {
      if (--round->open == 0) round->ended.Signal();
    }
    Lane(const Lane&) = delete;
    std::shared_ptr<Round> round;
  };
  size_t open = 0;
  Wakeup ended;
};

Task<void> Runner::RunLane(std::vector<DueTask> lane, std::shared_ptr<Round> round) {
  Round::Lane under_way(round);
  for (DueTask& task : lane) co_await RunOne(std::move(task));
}

Task<Result<int>> Runner::RunLanes() {
  InHand in_hand(in_hand_);
  Result<std::vector<DueTask>> claimed = co_await ClaimDue();
  if (!claimed) co_return std::unexpected<Error>(std::move(claimed).error());
  int count = static_cast<int>(claimed->size());
  std::map<Uuid, size_t> lane_of;
  std::vector<std::vector<DueTask>> lanes;
  for (DueTask& task : *claimed) {
    auto [found, fresh] = lane_of.try_emplace(task.subject, lane_of.size() % limits::kTaskLanes);
    if (found->second >= lanes.size()) lanes.emplace_back();
    lanes[found->second].push_back(std::move(task));
  }
  auto round = std::make_shared<Round>(executor_);
  round->open = lanes.size();
  for (auto& lane : lanes) Spawn(executor_, RunLane(std::move(lane), round), "tasks.lane");
  while (round->open > 0) co_await round->ended.Wait(std::chrono::seconds(1));
  co_return count;
}

Task<void> Runner::Run() {
  while (!stopped_) {
    Result<int> ran = co_await RunLanes();
    if (ran && *ran > 0) continue;
    // What failed is tried again at the next poll.
    co_await wakeup_.Wait(std::chrono::milliseconds(500));
  }
}

}  // namespace millrace::tasks
