// SPDX-License-Identifier: Apache-2.0
#include "common/tasks/tasks.h"

#include <gtest/gtest.h>

#include "common/postgres/migrate.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::tasks {
namespace {

using postgres::Database;
using postgres::DatabaseOptions;
using postgres::Transaction;

struct Nothing : postgres::WorkingSet {};
struct NothingStore : postgres::Store<Nothing> {
  void Load(Transaction&, Nothing&) override {}
  void Save(Transaction&, Nothing&) override {}
};

class TasksTest : public ::testing::Test {
 protected:
  TasksTest() : url_(test::PrivatePostgres::Instance().NewDatabase({{"work", {}}})) {
    DatabaseOptions options;
    options.url = url_;
    options.schema = "work";
    options.role = "work_worker";
    options.connections = 2;
    database_ = std::make_unique<Database>(options);
    options.role = "";
    admin_ = std::make_unique<Database>(options);
    writer_ = std::make_unique<postgres::Writer<Nothing>>(loop_.executor(), *database_, store_);
    runner_ = std::make_unique<Runner>(loop_.executor(), *database_);
  }

  void Make(Uuid id, std::string kind, std::chrono::seconds after) {
    postgres::Command<Nothing> command;
    command.decide = [=](Nothing& set) -> Result<std::string> {
      set.tasks.push_back({id, kind, id, set.now + after, "payload"});
      return std::string();
    };
    Submit(std::move(command));
  }
  void Submit(postgres::Command<Nothing> command) {
    loop_.Start(Await(*writer_, std::move(command)));
    loop_.Run();
  }
  static Task<void> Await(postgres::Writer<Nothing>& writer, postgres::Command<Nothing> command) {
    Result<postgres::Outcome> outcome = co_await writer.Submit(std::move(command));
    EXPECT_TRUE(outcome) << outcome.error().cause;
  }
  // Ends the task by a command, as a handler does.
  static Task<Result<void>> End(TasksTest* test, DueTask task) {
    test->ran_.push_back(task.kind);
    postgres::Command<Nothing> command;
    postgres::EndedTask ended = task.Ended();
    command.decide = [ended](Nothing& set) -> Result<std::string> {
      set.ended_tasks.push_back(ended);
      return std::string();
    };
    Result<postgres::Outcome> outcome = co_await test->writer_->Submit(std::move(command));
    if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
    co_return Result<void>();
  }
  static Task<void> Fire(Runner& runner, int* fired) {
    Result<int> count = co_await runner.FireDue();
    EXPECT_TRUE(count);
    *fired = count.value_or(-1);
  }
  int Fire() {
    int fired = -1;
    loop_.Start(Fire(*runner_, &fired));
    loop_.Run();
    return fired;
  }
  void Advance(int seconds) {
    ASSERT_TRUE(admin_->RunHere([=](Transaction& tx) {
      tx.ExecuteText("UPDATE runtime.clock SET test = true, ahead = ahead + make_interval(secs => " +
                     std::to_string(seconds) + ")");
    }));
  }
  int64_t Rows() {
    int64_t rows = -1;
    EXPECT_TRUE(
        admin_->RunHere([&](Transaction& tx) { rows = tx.ExecuteText("SELECT count(*) FROM task")[0].Int(0); }));
    return rows;
  }

  test::Loop loop_;
  std::string url_;
  NothingStore store_;
  std::unique_ptr<Database> database_, admin_;
  std::unique_ptr<postgres::Writer<Nothing>> writer_;
  std::unique_ptr<Runner> runner_;
  std::vector<std::string> ran_;
};

TEST_F(TasksTest, FireInOrderOfTheirTimeWhenTheClockMoves) {
  for (const char* kind : {"late", "soon"}) {
    runner_->Handle(kind, [this](DueTask task) { return End(this, std::move(task)); });
  }
  Make(Uuid::New(), "late", std::chrono::hours(2));
  Make(Uuid::New(), "soon", std::chrono::hours(1));
  EXPECT_EQ(Fire(), 0);
  Advance(3 * 3600);
  EXPECT_EQ(Fire(), 2);
  EXPECT_EQ(ran_, (std::vector<std::string>{"soon", "late"}));
  EXPECT_EQ(Rows(), 0);
  EXPECT_EQ(Fire(), 0);
}

TEST_F(TasksTest, AFailedTaskComesBackLater) {
  int runs = 0;
  runner_->Handle("flaky", [&](DueTask task) -> Task<Result<void>> {
    ++runs;
    EXPECT_EQ(task.attempts, runs);
    if (runs < 3) co_return Fail(ErrorCode::kUnavailable);
    Result<void> done = co_await End(this, std::move(task));
    co_return std::move(done);
  });
  Make(Uuid::New(), "flaky", std::chrono::seconds(0));
  EXPECT_EQ(Fire(), 1);
  EXPECT_EQ(Fire(), 0);  // not due again yet
  Advance(60);
  EXPECT_EQ(Fire(), 1);
  Advance(60);
  EXPECT_EQ(Fire(), 1);
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(Rows(), 0);
}

TEST_F(TasksTest, AClaimantThatDiedLosesItsClaimToTheNextOne) {
  DueTask kept;
  runner_->Handle("once", [&](DueTask task) -> Task<Result<void>> {
    kept = std::move(task);
    co_return Result<void>();  // as if killed: it neither ends the task nor reports a failure
  });
  Make(Uuid::New(), "once", std::chrono::seconds(0));
  EXPECT_EQ(Fire(), 1);
  EXPECT_EQ(Rows(), 1);
  Advance(3600);
  runner_->Handle("once", [this](DueTask task) { return End(this, std::move(task)); });
  DueTask first = kept;
  EXPECT_EQ(Fire(), 1);
  EXPECT_EQ(Rows(), 0);
  // The first claimant wakes up and must not be able to end it a second time.
  postgres::Command<Nothing> command;
  command.decide = [&](Nothing& set) -> Result<std::string> {
    set.ended_tasks.push_back(first.Ended());
    return std::string();
  };
  bool refused = false;
  auto late = [](postgres::Writer<Nothing>& writer, postgres::Command<Nothing> c, bool* out) -> Task<void> {
    Result<postgres::Outcome> outcome = co_await writer.Submit(std::move(c));
    *out = !outcome;
  };
  loop_.Start(late(*writer_, std::move(command), &refused));
  loop_.Run();
  EXPECT_TRUE(refused);
}

TEST_F(TasksTest, AClaimantOfARowThatWasMadeAgainCannotEndTheNewOne) {
  DueTask kept;
  runner_->Handle("again", [&](DueTask task) -> Task<Result<void>> {
    kept = std::move(task);
    co_return Result<void>();
  });
  Uuid id = Uuid::New();
  Make(id, "again", std::chrono::seconds(0));
  EXPECT_EQ(Fire(), 1);
  DueTask sleeper = kept;
  // Another claimant ends the row and makes it again, as a timer that moves on.
  Advance(3600);
  EXPECT_EQ(Fire(), 1);
  postgres::Command<Nothing> move;
  move.decide = [&](Nothing& set) -> Result<std::string> {
    set.ended_tasks.push_back(kept.Ended());
    set.tasks.push_back({id, "again", id, set.now, "payload"});
    return std::string();
  };
  Submit(std::move(move));
  EXPECT_EQ(Fire(), 1);
  EXPECT_GT(kept.fence, sleeper.fence + 1);
  EXPECT_EQ(Rows(), 1);
}

TEST_F(TasksTest, AHandlerThatThrowsFailsItsTaskOnly) {
  runner_->Handle("broken", [](DueTask) -> Task<Result<void>> {
    throw std::runtime_error("out of reach");
    co_return Result<void>();
  });
  runner_->Handle("sound", [this](DueTask task) { return End(this, std::move(task)); });
  Make(Uuid::New(), "broken", std::chrono::seconds(-2));
  Make(Uuid::New(), "sound", std::chrono::seconds(-1));
  EXPECT_EQ(Fire(), 2);
  EXPECT_EQ(ran_, std::vector<std::string>{"sound"});
  EXPECT_EQ(Rows(), 1);
}

TEST_F(TasksTest, TwoRunnersShareTheWorkWithoutDoublingIt) {
  Runner second(loop_.executor(), *database_);
  for (Runner* runner : {runner_.get(), &second}) {
    runner->Handle("shared", [this](DueTask task) { return End(this, std::move(task)); });
  }
  for (int i = 0; i < 150; ++i) Make(Uuid::New(), "shared", std::chrono::seconds(0));
  int a = 0, b = 0;
  loop_.Start(Fire(*runner_, &a));
  loop_.Start(Fire(second, &b));
  loop_.Run();
  EXPECT_EQ(a + b, 150);
  EXPECT_EQ(ran_.size(), 150u);
  EXPECT_EQ(Rows(), 0);
}

TEST_F(TasksTest, ThePollersSlowTaskHoldsUpNoOtherSubject) {
  Wakeup fast_ran(loop_.executor());
  bool woken = false, slow_ended = false;
  // The slow one is due first and ends only when the fast one has run.
  runner_->Handle("slow", [&](DueTask task) -> Task<Result<void>> {
    woken = co_await fast_ran.Wait(std::chrono::seconds(30));
    Result<void> done = co_await End(this, std::move(task));
    slow_ended = true;
    co_return std::move(done);
  });
  runner_->Handle("fast", [&](DueTask task) -> Task<Result<void>> {
    Result<void> done = co_await End(this, std::move(task));
    fast_ran.Signal();
    co_return std::move(done);
  });
  Make(Uuid::New(), "slow", std::chrono::seconds(-2));
  Make(Uuid::New(), "fast", std::chrono::seconds(-1));
  runner_->Start();
  loop_.RunUntil([&] { return slow_ended; });
  runner_->Stop();
  loop_.Run();
  EXPECT_TRUE(woken);
  EXPECT_EQ(ran_, (std::vector<std::string>{"fast", "slow"}));
  EXPECT_EQ(Rows(), 0);
}

TEST_F(TasksTest, SettlingWaitsForWhatThePollerHasInHand) {
  bool ended = false;
  runner_->Handle("slow", [&](DueTask task) -> Task<Result<void>> {
    co_await Sleep(std::chrono::milliseconds(150));
    Result<void> done = co_await End(this, std::move(task));
    ended = true;
    co_return std::move(done);
  });
  Make(Uuid::New(), "slow", std::chrono::seconds(0));
  int by_poller = -1, settled = -1, again = -1;
  bool ended_before_settled = false;
  loop_.Start(Fire(*runner_, &by_poller));
  auto settle = [&]() -> Task<void> {
    co_await Sleep(std::chrono::milliseconds(50));
    Result<int> first = co_await runner_->FireAndSettle();
    settled = first.value_or(-1);
    ended_before_settled = ended;
    Result<int> second = co_await runner_->FireAndSettle();
    again = second.value_or(-1);
  };
  loop_.Start(settle());
  loop_.Run();
  EXPECT_EQ(by_poller, 1);
  EXPECT_EQ(settled, 1);
  EXPECT_TRUE(ended_before_settled);
  EXPECT_EQ(again, 0);
}

}  // namespace
}  // namespace millrace::tasks
