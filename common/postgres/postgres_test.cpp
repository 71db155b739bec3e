// SPDX-License-Identifier: Apache-2.0
// Against a real PostgreSQL: migrations, and the writer on a small ledger of accounts that may not go below zero.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/base/limits.h"
#include "common/postgres/migrate.h"
#include "common/postgres/writer.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::postgres {
namespace {

using test::Loop;
using test::PrivatePostgres;

constexpr std::string_view kAccounts =
    "CREATE TABLE account (name text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0), version bigint NOT "
    "NULL DEFAULT 0);"
    "INSERT INTO account SELECT 'a' || i, 1000 FROM generate_series(1, 8) i;";
const EmbeddedFile kFiles[] = {{"V002__accounts.sql", kAccounts}};

struct Accounts : WorkingSet {
  struct Account {
    int64_t balance = 0, version = 0;
    bool changed = false;
  };
  std::set<std::string> wanted;
  std::map<std::string, Account> accounts;
};

struct AccountStore : Store<Accounts> {
  int batches = 0;
  void Load(Transaction& tx, Accounts& set) override {
    ++batches;
    static constexpr Statement kLoad = {
        "test_load",
        "SELECT name, balance, version FROM account WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE"};
    std::vector<std::string> names(set.wanted.begin(), set.wanted.end());
    for (Row row : tx.Execute(kLoad, Params().Texts(names)))
      set.accounts[row.Text(0)] = {row.Int(1), row.Int(2), false};
  }
  void Save(Transaction& tx, Accounts& set) override {
    static constexpr Statement kSave = {
        "test_save",
        "UPDATE account a SET balance = s.balance, version = s.version "
        "FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS s (name, balance, version) WHERE a.name = s.name"};
    std::vector<std::string> names;
    std::vector<int64_t> balances, versions;
    for (const auto& [name, account] : set.accounts) {
      if (!account.changed) continue;
      names.push_back(name);
      balances.push_back(account.balance);
      versions.push_back(account.version);
    }
    if (!names.empty()) tx.Execute(kSave, Params().Texts(names).Ints(balances).Ints(versions));
  }
};

class WriterTest : public ::testing::Test {
 protected:
  WriterTest() : url_(PrivatePostgres::Instance().NewDatabase({{"ledger", kFiles}})) {
    DatabaseOptions options;
    options.url = url_;
    options.schema = "ledger";
    options.role = "ledger_worker";
    options.connections = 1;
    database_ = std::make_unique<Database>(options);
    writer_ = std::make_unique<Writer<Accounts>>(loop_.executor(), *database_, store_);
  }

  // Moves money; refuses with INSUFFICIENT_FUNDS unless `careless`, when only the table's CHECK stands in the way.
  static Command<Accounts> Transfer(std::string from, std::string to, int64_t amount, std::string key = "",
                                    bool careless = false, std::string fingerprint = "same") {
    Command<Accounts> command;
    command.header.method = "Transfer";
    command.header.organization = Uuid::FromHex("00000000-0000-7000-8000-000000000001");
    command.header.key = std::move(key);
    command.header.fingerprint = std::move(fingerprint);
    command.need = [=](Accounts& set) { set.wanted.insert({from, to}); };
    command.decide = [=](Accounts& set) -> Result<std::string> {
      Accounts::Account& source = set.accounts.at(from);
      Accounts::Account& target = set.accounts.at(to);
      if (source.balance < amount && !careless) {
        return Fail(
            ErrorCode::kInsufficientFunds,
            {{"available", std::to_string(source.balance)}, {"needed", std::to_string(amount)}, {"currency", "CNY"}});
      }
      source.balance -= amount;
      target.balance += amount;
      for (Accounts::Account* account : {&source, &target}) {
        ++account->version;
        account->changed = true;
      }
      set.events.push_back({"transfer.posted", from, source.version, {Uuid::New()}, "none", "payload"});
      return "balance " + std::to_string(source.balance);
    };
    return command;
  }

  static Task<void> Keep(Writer<Accounts>& writer, Command<Accounts> command, std::vector<Result<Outcome>>* outcomes) {
    Result<Outcome> outcome = co_await writer.Submit(std::move(command));
    outcomes->push_back(std::move(outcome));
  }

  std::vector<Result<Outcome>> RunAll(std::vector<Command<Accounts>> commands) {
    std::vector<Result<Outcome>> outcomes;
    for (auto& command : commands) loop_.Start(Keep(*writer_, std::move(command), &outcomes));
    loop_.Run();
    return outcomes;
  }

  int64_t Scalar(std::string sql) {
    int64_t value = -1;
    EXPECT_TRUE(database_->RunHere([&](Transaction& tx) { value = tx.ExecuteText(sql)[0].Int(0); }));
    return value;
  }

  Loop loop_;
  std::string url_;
  AccountStore store_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Writer<Accounts>> writer_;
};

TEST_F(WriterTest, MigrationsApplyOnceAndRefuseChangedFiles) {
  Migrator migrator(url_);
  auto again = migrator.Apply("ledger", kFiles);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->applied, 0);
  EXPECT_EQ(again->present, 2);
  const EmbeddedFile changed[] = {{"V002__accounts.sql", "SELECT 1"}};
  auto refused = migrator.Apply("ledger", changed);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().cause.find("was changed"), std::string::npos);
  auto older = migrator.Apply("ledger", {});
  ASSERT_FALSE(older);
  EXPECT_NE(older.error().cause.find("newer"), std::string::npos);
  const EmbeddedFile broken[] = {{"V002__accounts.sql", kAccounts},
                                 {"V003__broken.sql", "CREATE TABLE half (a int); SELEC 1"}};
  EXPECT_FALSE(migrator.Apply("ledger", broken));
  EXPECT_EQ(Scalar("SELECT count(*) FROM pg_tables WHERE tablename = 'half'"), 0);
}

TEST_F(WriterTest, ReaderSeesNothingThatIsNotGranted) {
  DatabaseOptions options;
  options.url = url_;
  options.schema = "ledger";
  options.role = "ledger_reader";
  Database reader(options);
  auto result = reader.RunHere([](Transaction& tx) { tx.ExecuteText("SELECT * FROM account"); });
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().cause.find("42501"), std::string::npos) << result.error().cause;
}

TEST_F(WriterTest, ManyAtOnceKeepTheSumAndShareCommits) {
  std::vector<Command<Accounts>> commands;
  for (int i = 0; i < 400; ++i) {
    commands.push_back(Transfer("a" + std::to_string(i % 8 + 1), "a" + std::to_string((i * 3 + 1) % 8 + 1), i % 50));
  }
  auto outcomes = RunAll(std::move(commands));
  ASSERT_EQ(outcomes.size(), 400u);
  EXPECT_EQ(Scalar("SELECT sum(balance)::bigint FROM account"), 8000);
  EXPECT_LT(store_.batches, 100);
  int64_t done = 0;
  for (auto& outcome : outcomes) done += outcome.has_value();
  EXPECT_EQ(Scalar("SELECT count(*) FROM event"), done);
  // Within an aggregate the event ids follow the versions.
  EXPECT_EQ(Scalar("SELECT count(*) FROM (SELECT aggregate_version < lag(aggregate_version) OVER (PARTITION BY "
                   "aggregate ORDER BY id) "
                   "AS back FROM event) e WHERE back"),
            0);
}

TEST_F(WriterTest, AReplayReturnsTheSameBytesAndHasNoSecondEffect) {
  auto first = RunAll({Transfer("a1", "a2", 100, "key-00000001")});
  auto second = RunAll({Transfer("a1", "a2", 100, "key-00000001")});
  ASSERT_TRUE(first[0] && second[0]);
  EXPECT_FALSE(first[0]->replayed);
  EXPECT_TRUE(second[0]->replayed);
  EXPECT_EQ(first[0]->response, second[0]->response);
  EXPECT_EQ(Scalar("SELECT balance FROM account WHERE name = 'a1'"), 900);
  auto other = RunAll({Transfer("a1", "a2", 100, "key-00000001", false, "other")});
  ASSERT_FALSE(other[0]);
  EXPECT_EQ(other[0].error().code, ErrorCode::kIdempotencyKeyReused);
}

Task<void> Prune(Database& database, int64_t* pruned) {
  Result<int64_t> done = co_await PruneOutcomes(database);
  *pruned = done.value_or(-1);
}

TEST_F(WriterTest, OutcomesGoWhenTheirTimeIsOver) {
  ASSERT_TRUE(database_->RunHere([](Transaction& tx) {
    tx.ExecuteText(
        "INSERT INTO idempotency (organization, method, key, fingerprint, outcome, create_time) "
        "SELECT gen_random_uuid(), 'm', 'k' || hours, '', 'R', clock_timestamp() - make_interval(hours => hours) "
        "FROM unnest('{1,71,73,1000}'::int[]) AS hours");
  }));
  int64_t pruned = -1, left = -1;
  loop_.Start(Prune(*database_, &pruned));
  loop_.Run();
  EXPECT_EQ(pruned, 2);
  ASSERT_TRUE(database_->RunHere([&](Transaction& tx) {
    left = tx.ExecuteText("SELECT count(*) FROM idempotency WHERE key IN ('k1', 'k71')")[0].Int(0);
  }));
  EXPECT_EQ(left, 2);
}

TEST_F(WriterTest, ARefusalIsKeptWithAllItsParameters) {
  auto first = RunAll({Transfer("a1", "a2", 5000, "key-00000002")});
  RunAll(
      {Transfer("a2", "a1", 1000), Transfer("a3", "a1", 1000), Transfer("a4", "a1", 1000), Transfer("a5", "a1", 1000)});
  auto second = RunAll({Transfer("a1", "a2", 5000, "key-00000002")});
  ASSERT_FALSE(first[0]);
  ASSERT_FALSE(second[0]);
  EXPECT_EQ(second[0].error().code, ErrorCode::kInsufficientFunds);
  EXPECT_EQ(second[0].error().params, first[0].error().params);
}

TEST_F(WriterTest, OneKeySentManyTimesAtOnceHasOneEffect) {
  std::vector<Command<Accounts>> commands;
  for (int i = 0; i < 100; ++i) commands.push_back(Transfer("a1", "a2", 1, "key-00000003"));
  auto outcomes = RunAll(std::move(commands));
  int fresh = 0;
  for (auto& outcome : outcomes) {
    if (outcome) {
      fresh += !outcome->replayed;
    } else {
      EXPECT_EQ(outcome.error().code, ErrorCode::kIdempotencyInProgress);
    }
  }
  EXPECT_EQ(fresh, 1);
  EXPECT_EQ(Scalar("SELECT balance FROM account WHERE name = 'a1'"), 999);
}

TEST_F(WriterTest, OneKeySentToTwoProcessesIsNeverRefusedForItsOwnEffect) {
  DatabaseOptions options;
  options.url = url_;
  options.schema = "ledger";
  options.role = "ledger_worker";
  options.connections = 1;
  Database other_database(options);
  Writer<Accounts> other(loop_.executor(), other_database, store_);
  // Bound to the version that the caller has read; this refusal is not kept.
  auto bound = [] {
    Command<Accounts> command = Transfer("a1", "a2", 100, "key-00000008");
    command.decide = [decide = command.decide](Accounts& set) -> Result<std::string> {
      if (set.accounts.at("a1").version != 0) return Fail(ErrorCode::kEtagMismatch);
      return decide(set);
    };
    return command;
  };
  std::vector<Result<Outcome>> outcomes;
  // Both look up the key before either has committed, and wait for the account.
  ASSERT_TRUE(Database(options).RunHere([&](Transaction& tx) {
    tx.ExecuteText("SELECT FROM account WHERE name = 'a1' FOR UPDATE");
    loop_.Start(Keep(*writer_, bound(), &outcomes));
    loop_.Start(Keep(other, bound(), &outcomes));
    bool slept = false;
    auto sleep = [](bool* over) -> Task<void> {
      co_await Sleep(std::chrono::milliseconds(400));
      *over = true;
    };
    loop_.Start(sleep(&slept));
    loop_.RunUntil([&slept] { return slept; });
  }));
  loop_.Run();
  ASSERT_EQ(outcomes.size(), 2u);
  ASSERT_TRUE(outcomes[0] && outcomes[1]) << (outcomes[0] ? outcomes[1] : outcomes[0]).error().cause;
  EXPECT_EQ(outcomes[0]->response, outcomes[1]->response);
  EXPECT_NE(outcomes[0]->replayed, outcomes[1]->replayed);
  EXPECT_EQ(Scalar("SELECT balance FROM account WHERE name = 'a1'"), 900);
}

TEST_F(WriterTest, ACommandThatTheTableRefusesSpoilsNoOther) {
  std::vector<Command<Accounts>> commands;
  commands.push_back(Transfer("a1", "a2", 10, "key-00000004"));
  commands.push_back(Transfer("a3", "a4", 5000, "key-00000005", true));
  commands.push_back(Transfer("a5", "a6", 10, "key-00000006"));
  auto outcomes = RunAll(std::move(commands));
  int good = 0;
  for (auto& outcome : outcomes) {
    if (outcome) {
      ++good;
    } else {
      EXPECT_EQ(outcome.error().code, ErrorCode::kInternal);
      EXPECT_NE(outcome.error().cause.find("23514"), std::string::npos) << outcome.error().cause;
    }
  }
  EXPECT_EQ(good, 2);
  EXPECT_EQ(Scalar("SELECT sum(balance)::bigint FROM account"), 8000);
  // An outcome of 500 is not kept: the key may be used again.
  EXPECT_EQ(Scalar("SELECT count(*) FROM idempotency"), 2);
}

TEST_F(WriterTest, TasksCommitWithTheEffectAndAStaleClaimantEndsNothing) {
  Uuid id = Uuid::New();
  auto with = [&](auto change) {
    Command<Accounts> command = Transfer("a1", "a2", 1);
    command.decide = [decide = command.decide, change](Accounts& set) {
      change(set);
      return decide(set);
    };
    return command;
  };
  auto made = RunAll({with([&](Accounts& set) { set.tasks.push_back({id, "hold.expire", id, set.now, "p"}); })});
  ASSERT_TRUE(made[0]);
  int64_t fence = Scalar("SELECT fence FROM task");
  auto stale = RunAll({with([&](Accounts& set) { set.ended_tasks.push_back({id, fence + 7}); })});
  ASSERT_FALSE(stale[0]);
  EXPECT_EQ(Scalar("SELECT balance FROM account WHERE name = 'a1'"), 999);
  auto ended = RunAll({with([&](Accounts& set) { set.ended_tasks.push_back({id, fence}); })});
  ASSERT_TRUE(ended[0]);
  EXPECT_EQ(Scalar("SELECT count(*) FROM task"), 0);
  EXPECT_EQ(Scalar("SELECT balance FROM account WHERE name = 'a1'"), 998);
}

TEST_F(WriterTest, PositionsOnlyGrow) {
  auto move = [&](int64_t seq) {
    Command<Accounts> command = Transfer("a1", "a2", 0);
    command.decide = [seq](Accounts& set) -> Result<std::string> {
      set.applied.push_back({"listing", seq, seq});
      return std::string();
    };
    return RunAll({std::move(command)});
  };
  EXPECT_TRUE(move(5)[0]);
  auto back = move(3);
  ASSERT_FALSE(back[0]);
  EXPECT_EQ(back[0].error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(Scalar("SELECT seq FROM position WHERE source = 'listing'"), 5);
}

TEST_F(WriterTest, AServerThatEndsTheSessionCostsNoCommand) {
  ASSERT_TRUE(RunAll({Transfer("a1", "a2", 1)})[0]);
  DatabaseOptions options;
  options.url = url_;
  Database admin(options);
  ASSERT_TRUE(admin.RunHere([](Transaction& tx) {
    tx.ExecuteText(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
        "pg_backend_pid()");
  }));
  auto outcomes = RunAll({Transfer("a1", "a2", 1, "key-00000007")});
  ASSERT_TRUE(outcomes[0]) << outcomes[0].error().cause;
  EXPECT_EQ(Scalar("SELECT balance FROM account WHERE name = 'a1'"), 998);
}

TEST_F(WriterTest, AConnectionThatIsMadeAnewHasTheSameRole) {
  DatabaseOptions options;
  options.url = url_;
  Database admin(options);
  auto role_after_a_cut = [&](DatabaseOptions of) {
    of.url = url_;
    of.connections = 1;
    Database database(of);
    std::string role;
    auto read = [&](Transaction& tx) {
      role = tx.ExecuteText(
                   "SELECT current_user || ' ' || current_setting('search_path') || ' ' || "
                   "current_setting('statement_timeout')")[0]
                 .Text(0);
    };
    EXPECT_TRUE(database.RunHere(read));
    std::string before = role;
    EXPECT_TRUE(admin.RunHere([](Transaction& tx) {
      tx.ExecuteText(
          "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
          "WHERE datname = current_database() AND pid <> pg_backend_pid()");
    }));
    EXPECT_TRUE(database.RunHere(read));
    EXPECT_EQ(role, before);
    return role;
  };
  options.schema = "ledger";
  options.role = "ledger_reader";
  EXPECT_EQ(role_after_a_cut(options), "ledger_reader ledger 2s");
}

TEST_F(WriterTest, BusinessTimeIsTheClockRow) {
  ASSERT_GE(Scalar("SELECT runtime.micros(runtime.now()) - runtime.micros(clock_timestamp())"), -1000000);
  DatabaseOptions options;
  options.url = url_;
  Database admin(options);
  ASSERT_TRUE(admin.RunHere(
      [](Transaction& tx) { tx.ExecuteText("UPDATE runtime.clock SET test = true, ahead = '10 days'"); }));
  Time seen;
  Command<Accounts> command = Transfer("a1", "a2", 0);
  command.decide = [&seen](Accounts& set) -> Result<std::string> {
    seen = set.now;
    return std::string();
  };
  ASSERT_TRUE(RunAll({std::move(command)})[0]);
  EXPECT_GT(seen - WallNow(), std::chrono::hours(239));
}

}  // namespace
}  // namespace millrace::postgres
