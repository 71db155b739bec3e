// SPDX-License-Identifier: Apache-2.0
// Statements of many callers on few connections, against a real PostgreSQL.
#include <gtest/gtest.h>

#include "common/postgres/database.h"
#include "common/postgres/migrate.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::postgres {
namespace {

constexpr Statement kEcho = {"test_echo", "SELECT $1::bigint * 2, $2::text, $3::bytea"};
constexpr Statement kDivide = {"test_divide", "SELECT 100 / $1::int"};
constexpr Statement kNonsense = {"test_nonsense", "SELECT no_such_column"};
constexpr Statement kSleep = {"test_sleep", "SELECT pg_sleep($1::float8)"};
constexpr Statement kOwnPid = {"test_own_pid", "SELECT pg_backend_pid()"};
constexpr Statement kAsk = {"test_ask", "SELECT set_config('millrace.organization', $1, true)"};
constexpr Statement kAsking = {"test_asking", "SELECT coalesce(current_setting('millrace.organization', true), '')"};

class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() : url_(test::PrivatePostgres::Instance().NewDatabase({{"reading", {}}})) { Open(1); }
  void Open(int connections) {
    DatabaseOptions options;
    options.url = url_;
    options.schema = "reading";
    options.role = "reading_reader";
    options.connections = connections;
    database_ = std::make_unique<Database>(options);
    options.role = "";
    admin_ = std::make_unique<Database>(options);
  }
  // Begins at once; `done` gets the outcome.
  void Start(const Statement& statement, Params params, std::function<void(Result<Rows>)> done) {
    ++open_;
    loop_.Start(Ask(this, &statement, std::move(params), std::move(done)));
  }
  static Task<void> Ask(PipelineTest* test, const Statement* statement, Params params,
                        std::function<void(Result<Rows>)> done) {
    Result<Rows> rows = co_await test->database_->Query(*statement, std::move(params));
    --test->open_;
    done(std::move(rows));
  }
  void Settle() {
    loop_.RunUntil([this] { return open_ == 0; });
  }
  Result<Rows> Ask(const Statement& statement, Params params = {}) {
    Result<Rows> answer = Fail(ErrorCode::kInternal);
    Start(statement, std::move(params), [&](Result<Rows> rows) { answer = std::move(rows); });
    Settle();
    return answer;
  }
  void Terminate(int64_t pid) {
    ASSERT_TRUE(admin_->RunHere(
        [&](Transaction& tx) { tx.ExecuteText("SELECT pg_terminate_backend(" + std::to_string(pid) + ", 5000)"); }));
  }

  test::Loop loop_;
  std::string url_;
  std::unique_ptr<Database> database_, admin_;
  int open_ = 0;
};

TEST_F(PipelineTest, EachOfManyGetsItsOwnAnswer) {
  int right = 0, refused = 0;
  for (int i = 0; i < 500; ++i) {
    if (i % 7 == 0) {
      Start(kDivide, Params().Int(0), [&](Result<Rows> rows) { refused += !rows; });
      continue;
    }
    std::string bytes = std::string(1, '\0') + std::to_string(i) + "\xFF";
    Start(kEcho, Params().Int(i).Text("工" + std::to_string(i)).Bytes(bytes), [&, i, bytes](Result<Rows> rows) {
      ASSERT_TRUE(rows) << rows.error().cause;
      right +=
          (*rows)[0].Int(0) == 2 * i && (*rows)[0].Text(1) == "工" + std::to_string(i) && (*rows)[0].Bytes(2) == bytes;
    });
  }
  Settle();
  EXPECT_EQ(right, 428);
  EXPECT_EQ(refused, 72);
}

TEST_F(PipelineTest, ARefusalSaysWhyAndSpoilsNothing) {
  Result<Rows> refused = Ask(kDivide, Params().Int(0));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInternal);
  EXPECT_NE(refused.error().cause.find("22012"), std::string::npos) << refused.error().cause;
  for (int i = 0; i < 2; ++i) {
    refused = Ask(kNonsense);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().cause.find("no_such_column"), std::string::npos) << refused.error().cause;
  }
  EXPECT_EQ(Ask(kDivide, Params().Int(4))->operator[](0).Int(0), 25);
  EXPECT_TRUE((*Ask(kEcho, Params().Null().Null().Null()))[0].IsNull(1));
}

TEST_F(PipelineTest, WhatOneCallerSetsTheNextDoesNotSee) {
  std::vector<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    Start(kAsk, Params().Text("somebody"), [](Result<Rows> rows) { EXPECT_TRUE(rows); });
    Start(kAsking, {}, [&](Result<Rows> rows) { seen.push_back(rows ? (*rows)[0].Text(0) : "failed"); });
  }
  Settle();
  EXPECT_EQ(seen, std::vector<std::string>(200));
}

TEST_F(PipelineTest, AnEndedSessionCostsNoStatement) {
  for (int round = 0; round < 3; ++round) {
    int64_t pid = (*Ask(kOwnPid))[0].Int(0);
    Terminate(pid);
    Result<Rows> next = Ask(kOwnPid);
    ASSERT_TRUE(next) << next.error().cause;
    EXPECT_NE((*next)[0].Int(0), pid);
  }
}

TEST_F(PipelineTest, StatementsUnderWayWhenTheSessionEndsAreSentAgain) {
  int64_t pid = (*Ask(kOwnPid))[0].Int(0);
  int good = 0;
  Start(kSleep, Params().Text("0.3"), [&](Result<Rows> rows) { good += rows.has_value(); });
  for (int i = 0; i < 20; ++i) Start(kDivide, Params().Int(5), [&](Result<Rows> rows) { good += rows.has_value(); });
  loop_.RunUntil([sent = 0]() mutable { return ++sent > 25; });  // everything is sent
  Terminate(pid);
  Settle();
  EXPECT_EQ(good, 21);
}

TEST_F(PipelineTest, ASlowStatementHoldsUpNoOthersForLong) {
  Open(2);
  ASSERT_TRUE(Ask(kOwnPid));
  std::vector<std::string> order;
  Start(kSleep, Params().Text("1"), [&](Result<Rows> rows) { order.push_back(rows ? "slow" : "failed"); });
  auto later = [&]() -> Task<void> {
    co_await Sleep(std::chrono::milliseconds(120));
    Result<Rows> rows = co_await database_->Query(kOwnPid, Params());
    order.push_back(rows ? "fast" : "failed");
  };
  loop_.Start(later());
  Settle();
  EXPECT_EQ(order, (std::vector<std::string>{"fast", "slow"}));
}

TEST_F(PipelineTest, WithoutAServerItIsUnavailable) {
  DatabaseOptions options;
  options.url = "host=/nonexistent dbname=none";
  database_ = std::make_unique<Database>(options);
  Result<Rows> none = Ask(kOwnPid);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kUnavailable);
}

TEST_F(PipelineTest, AStatementThatTakesTooLongIsEnded) {
  Result<Rows> late = Ask(kSleep, Params().Text("30"));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kUnavailable) << late.error().cause;
  EXPECT_TRUE(Ask(kOwnPid));
}

}  // namespace
}  // namespace millrace::postgres
