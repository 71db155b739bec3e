// SPDX-License-Identifier: Apache-2.0
// One service's log consumed by another, against a real PostgreSQL: order, exactly-once effects, parking, concurrent
// relays.
#include <gtest/gtest.h>

#include "common/events/consumer.h"
#include "common/events/log.h"
#include "common/postgres/migrate.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::events {
namespace {

using postgres::Database;
using postgres::DatabaseOptions;
using postgres::Params;
using postgres::Row;
using postgres::Statement;
using postgres::Transaction;

struct Applied : postgres::WorkingSet {
  std::vector<std::string> payloads;
};

struct AppliedStore : postgres::Store<Applied> {
  void Load(Transaction&, Applied&) override {}
  void Save(Transaction& tx, Applied& set) override {
    static constexpr Statement kSave = {"applied_save", "INSERT INTO applied (payload) SELECT unnest($1::text[])"};
    tx.Execute(kSave, Params().Texts(set.payloads));
  }
};

constexpr EmbeddedFile kFiles[] = {
    {"V002__applied.sql",
     "CREATE TABLE applied (n bigint GENERATED ALWAYS AS IDENTITY, payload text UNIQUE NOT NULL)"}};

class EventsTest : public ::testing::Test {
 protected:
  EventsTest() : url_(test::PrivatePostgres::Instance().NewDatabase({{"source", {}}, {"target", kFiles}})) {
    source_ = Open("source", 2);
    target_ = Open("target", 1);
    log_ = std::make_unique<Log>("source", *source_);
    writer_ = std::make_unique<postgres::Writer<Applied>>(loop_.executor(), *target_, store_);
    sink_ = std::make_unique<WriterSink<Applied>>(
        *target_, *writer_, [](Applied&, const v1::Event&) {},
        [this](Applied& set, const v1::Event& event) -> Result<void> {
          if (poison_.contains(event.payload())) return Fail(Error::Internal("poison"));
          set.payloads.push_back(event.payload());
          return {};
        });
    Pull pull = [this](int64_t after, int limit) { return log_->List(after, limit); };
    consumer_ = std::make_unique<Consumer>(loop_.executor(), "source", pull, *sink_);
  }

  std::unique_ptr<Database> Open(std::string schema, int connections) {
    DatabaseOptions options;
    options.url = url_;
    options.schema = schema;
    options.role = schema + "_worker";
    options.connections = connections;
    return std::make_unique<Database>(options);
  }

  // Commits `count` events of `aggregate` with payloads "<aggregate>/<n>".
  void Append(std::string aggregate, int from, int count) {
    auto done = source_->RunHere([&](Transaction& tx) {
      for (int i = from; i < from + count; ++i) {
        static constexpr Statement kInsert = {
            "append",
            "INSERT INTO event (event_id, type, aggregate, aggregate_version, time, parties, payload_type, payload) "
            "VALUES ($1, 'thing.happened', $2, $3, runtime.now(), ARRAY[$1]::uuid[], 'none', $4)"};
        tx.Execute(kInsert, Params().Id(Uuid::New()).Text(aggregate).Int(i).Bytes(aggregate + "/" + std::to_string(i)));
      }
    });
    ASSERT_TRUE(done) << done.error().cause;
  }

  static Task<void> ApplyPage(Sink& sink, std::vector<v1::Event> events, Result<void>* done) {
    *done = co_await sink.Apply("source", std::move(events));
  }
  static Task<void> StampMany(Log& log, int times) {
    for (int i = 0; i < times; ++i) {
      Result<int64_t> head = co_await log.Stamp();
      EXPECT_TRUE(head);
    }
  }
  static Task<void> CatchUp(Consumer& consumer) {
    Result<void> done = co_await consumer.CatchUp();
    EXPECT_TRUE(done) << done.error().cause;
  }
  void StampAndApply() {
    loop_.Start(StampMany(*log_, 1));
    loop_.Run();
    loop_.Start(CatchUp(*consumer_));
    loop_.Run();
  }
  std::vector<std::string> Texts(Database& database, std::string sql) {
    std::vector<std::string> out;
    EXPECT_TRUE(database.RunHere([&](Transaction& tx) {
      for (Row row : tx.ExecuteText(sql)) out.push_back(row.Text(0));
    }));
    return out;
  }

  test::Loop loop_;
  std::string url_;
  std::set<std::string> poison_;
  AppliedStore store_;
  std::unique_ptr<Database> source_, target_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<postgres::Writer<Applied>> writer_;
  std::unique_ptr<WriterSink<Applied>> sink_;
  std::unique_ptr<Consumer> consumer_;
};

TEST_F(EventsTest, EachIsAppliedOnceInOrderOverManyPages) {
  Append("thing_a", 1, 1300);
  StampAndApply();
  StampAndApply();
  Append("thing_a", 1301, 5);
  StampAndApply();
  auto applied = Texts(*target_, "SELECT payload FROM applied ORDER BY n");
  ASSERT_EQ(applied.size(), 1305u);
  for (size_t i = 0; i < applied.size(); ++i) ASSERT_EQ(applied[i], "thing_a/" + std::to_string(i + 1));
  EXPECT_EQ(Texts(*target_, "SELECT seq FROM position"), std::vector<std::string>{"1305"});
}

TEST_F(EventsTest, RelaysThatRunTogetherLeaveNoGapAndNoDouble) {
  auto second_database = Open("source", 2);
  Log second("source", *second_database);
  for (int round = 0; round < 20; ++round) {
    Append("thing_" + std::to_string(round), 1, 7);
    loop_.Start(StampMany(*log_, 3));
    loop_.Start(StampMany(second, 3));
    loop_.Start(StampMany(*log_, 3));
    loop_.Run();
  }
  EXPECT_EQ(
      Texts(*source_, "SELECT count(*) || ' ' || min(seq) || ' ' || max(seq) || ' ' || count(DISTINCT seq) FROM event"),
      std::vector<std::string>{"140 1 140 140"});
  EXPECT_EQ(
      Texts(*source_, "SELECT count(*) FROM (SELECT id < lag(id) OVER (ORDER BY seq) AS back FROM event) e WHERE back"),
      std::vector<std::string>{"0"});
}

TEST_F(EventsTest, AnEventNotYetCommittedIsNeverSkipped) {
  // A slow transaction draws its id first and commits last.
  Append("early", 1, 1);
  auto slow_database = Open("source", 1);
  bool stamped_meanwhile = false;
  auto slow = slow_database->RunHere([&](Transaction& tx) {
    tx.ExecuteText(
        "INSERT INTO event (event_id, type, aggregate, aggregate_version, time, parties, payload_type, payload) "
        "VALUES (gen_random_uuid(), 't', 'slow', 1, now(), '{}', 'none', 'slow/1')");
    Append("fast", 1, 1);
    StampAndApply();
    stamped_meanwhile = true;
  });
  ASSERT_TRUE(slow && stamped_meanwhile);
  StampAndApply();
  EXPECT_EQ(Texts(*target_, "SELECT payload FROM applied ORDER BY n"),
            (std::vector<std::string>{"early/1", "fast/1", "slow/1"}));
}

TEST_F(EventsTest, APoisonEventParksItsAggregateOnly) {
  poison_ = {"bad/2"};
  Append("bad", 1, 3);
  Append("good", 1, 2);
  StampAndApply();
  EXPECT_EQ(Texts(*target_, "SELECT payload FROM applied ORDER BY n"),
            (std::vector<std::string>{"bad/1", "good/1", "good/2"}));
  EXPECT_EQ(Texts(*target_, "SELECT aggregate || ' ' || seq FROM parked_event ORDER BY seq"),
            (std::vector<std::string>{"bad 2", "bad 3"}));
  // Later events of the aggregate queue behind it, in later pages too.
  Append("bad", 4, 1);
  StampAndApply();
  EXPECT_EQ(Texts(*target_, "SELECT count(*) FROM parked_event"), std::vector<std::string>{"3"});
}

TEST_F(EventsTest, TwoProcessesThatFollowOneLogApplyEachEventOnce) {
  // Effects that the database would let happen twice.
  auto admin = std::make_unique<Database>(DatabaseOptions{.url = url_, .schema = "target", .role = ""});
  ASSERT_TRUE(admin->RunHere(
      [](Transaction& tx) { tx.ExecuteText("ALTER TABLE applied DROP CONSTRAINT applied_payload_key"); }));
  Append("thing", 1, 40);
  loop_.Start(StampMany(*log_, 1));
  loop_.Run();
  auto other_database = Open("target", 1);
  postgres::Writer<Applied> other_writer(loop_.executor(), *other_database, store_);
  auto apply = [](Applied& set, const v1::Event& event) -> Result<void> {
    set.payloads.push_back(event.payload());
    return {};
  };
  WriterSink<Applied> other_sink(*other_database, other_writer, [](Applied&, const v1::Event&) {}, apply);
  std::vector<v1::Event> page;
  for (int seq = 1; seq <= 40; ++seq) {
    v1::Event event;
    event.set_seq(seq);
    event.set_aggregate("thing");
    event.set_payload("thing/" + std::to_string(seq));
    page.push_back(std::move(event));
  }
  // Both have read position 0 and the same page.
  Result<void> first, second;
  loop_.Start(ApplyPage(*sink_, page, &first));
  loop_.Start(ApplyPage(other_sink, page, &second));
  loop_.Run();
  EXPECT_NE(first.has_value(), second.has_value());
  EXPECT_EQ((first ? second : first).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(Texts(*target_, "SELECT count(*) || ' ' || count(DISTINCT payload) FROM applied"),
            std::vector<std::string>{"40 40"});
  EXPECT_EQ(Texts(*target_, "SELECT seq FROM position"), std::vector<std::string>{"40"});
  EXPECT_EQ(Texts(*target_, "SELECT count(*) FROM parked_event"), std::vector<std::string>{"0"});
}

TEST_F(EventsTest, ATableThatIsLockedForLongParksNothing) {
  Append("thing", 1, 1);
  loop_.Start(StampMany(*log_, 1));
  loop_.Run();
  DatabaseOptions options;
  options.url = url_;
  Database admin(options);
  ASSERT_TRUE(admin.RunHere([&](Transaction& tx) {
    tx.ExecuteText("LOCK TABLE target.applied IN ACCESS EXCLUSIVE MODE");
    loop_.Start([](Consumer& consumer) -> Task<void> {
      Result<void> done = co_await consumer.CatchUp();
      EXPECT_FALSE(done);
      EXPECT_TRUE(done || done.error().code == ErrorCode::kUnavailable) << done.error().cause;
    }(*consumer_));
    loop_.Run();
  }));
  EXPECT_EQ(Texts(*target_, "SELECT count(*) FROM parked_event"), std::vector<std::string>{"0"});
  StampAndApply();
  EXPECT_EQ(Texts(*target_, "SELECT payload FROM applied"), std::vector<std::string>{"thing/1"});
}

TEST_F(EventsTest, ALogThatBeginsBehindThePositionIsNotSkippedOver) {
  Append("thing", 1, 3);
  loop_.Start(StampMany(*log_, 1));
  loop_.Run();
  ASSERT_TRUE(source_->RunHere([](Transaction& tx) { tx.ExecuteText("DELETE FROM event WHERE seq = 1"); }));
  loop_.Start([](Consumer& consumer) -> Task<void> {
    Result<void> done = co_await consumer.CatchUp();
    EXPECT_FALSE(done);
  }(*consumer_));
  loop_.Run();
  EXPECT_EQ(Texts(*target_, "SELECT count(*) FROM applied"), std::vector<std::string>{"0"});
}

TEST_F(EventsTest, PartiesTimeAndHeadArrive) {
  Append("thing", 1, 2);
  v1::ListEventsResponse response;
  auto list = [](Log& log, v1::ListEventsResponse* out) -> Task<void> {
    Result<int64_t> head = co_await log.Stamp();
    EXPECT_TRUE(head);
    Result<v1::ListEventsResponse> page = co_await log.List(1, 10);
    EXPECT_TRUE(page);
    if (page) *out = *page;
    Result<v1::ListEventsResponse> end = co_await log.List(2, 10);
    EXPECT_TRUE(end && end->events().empty() && end->head_seq() == 2);
  };
  loop_.Start(list(*log_, &response));
  loop_.Run();
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.head_seq(), 2);
  EXPECT_EQ(response.first_seq(), 1);
  EXPECT_EQ(response.events(0).source(), "source");
  EXPECT_TRUE(IsId("evt", response.events(0).id()));
  ASSERT_EQ(response.events(0).parties_size(), 1);
  EXPECT_TRUE(IsId("org", response.events(0).parties(0)));
  EXPECT_NEAR(static_cast<double>(response.events(0).time().seconds()),
              static_cast<double>(Micros(WallNow()) / 1000000), 60);
}

}  // namespace
}  // namespace millrace::events
