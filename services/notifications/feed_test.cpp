// SPDX-License-Identifier: Apache-2.0
// The feed against a real PostgreSQL: once each, in order, for those whom it concerns.
#include "services/notifications/app/feed.h"

#include <gtest/gtest.h>

#include "common/http/json.h"
#include "common/postgres/migrate.h"
#include "millrace/identity/v1/identity.pb.h"
#include "services/notifications/module.h"
#include "services/notifications/store/envelope.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::notifications {
namespace {

using Events = std::vector<events::v1::Event>;

// One process's part of the service.
struct Process {
  Process(Executor executor, const std::string& url)
      : worker(Login(url, "notifications_worker")),
        reader(Login(url, "notifications_reader")),
        writer(executor, worker, store),
        feed(executor, worker, reader, writer) {}
  static postgres::DatabaseOptions Login(const std::string& url, std::string role) {
    postgres::DatabaseOptions options;
    options.url = url;
    options.schema = "notifications";
    options.role = std::move(role);
    return options;
  }
  postgres::Database worker, reader;
  FeedStore store;
  postgres::Writer<FeedSet> writer;
  Feed feed;
};

class FeedTest : public ::testing::Test {
 protected:
  FeedTest() : url_(test::PrivatePostgres::Instance().NewDatabase({{"notifications", Migrations()}})) {
    process_ = std::make_unique<Process>(loop_.executor(), url_);
    postgres::DatabaseOptions options = Process::Login(url_, "");
    admin_ = std::make_unique<postgres::Database>(options);
  }

  events::v1::Event Event(std::string source, int64_t seq, std::vector<Uuid> parties,
                          std::string type = "booking.confirmed", std::string aggregate = "bkg_1") {
    identity::v1::Organization payload;
    payload.set_display_name("n" + std::to_string(seq));
    events::v1::Event event;
    event.set_id(FormatId("evt", Uuid::New()));
    event.set_source(std::move(source));
    event.set_seq(seq);
    event.set_type(std::move(type));
    event.set_aggregate(std::move(aggregate));
    event.set_aggregate_version(seq);
    event.mutable_time()->set_seconds(1790000000 + seq);
    event.mutable_time()->set_nanos(500000000);
    for (const Uuid& party : parties) event.add_parties(FormatId("org", party));
    event.set_payload_type("millrace.identity.v1.Organization");
    event.set_payload(payload.SerializeAsString());
    return event;
  }

  static Task<void> ApplyTask(Feed& feed, std::string source, Events events, Result<void>* out) {
    *out = co_await feed.Apply(std::move(source), std::move(events));
  }
  void Apply(std::string source, Events events) {
    Result<void> out = Fail(ErrorCode::kInternal);
    loop_.Start(ApplyTask(process_->feed, std::move(source), std::move(events), &out));
    loop_.Run();
    EXPECT_TRUE(out) << out.error().cause;
  }

  ErrorCode Refused(std::string source, Events events) {
    Result<void> out;
    loop_.Start(ApplyTask(process_->feed, std::move(source), std::move(events), &out));
    loop_.Run();
    EXPECT_FALSE(out);
    return out ? ErrorCode::kInternal : out.error().code;
  }

  static Task<void> ApplyLater(Feed& feed, Events events) {
    co_await Sleep(std::chrono::milliseconds(150));
    Result<void> applied = co_await feed.Apply("operations", std::move(events));
    EXPECT_TRUE(applied);
  }

  CallContext As(Uuid organization, std::set<std::string> roles = {"buyer", "provider"}) {
    CallContext context;
    context.organization = organization;
    context.roles = std::move(roles);
    return context;
  }
  CallContext Operator() { return As(Uuid::New(), {"operator"}); }

  template <class Response, class Request>
  static Task<void> CallTask(Feed& feed, Task<Result<Response>> (Feed::*method)(CallContext, Request),
                             CallContext context, Request request, Result<Response>* out) {
    *out = co_await (feed.*method)(std::move(context), std::move(request));
  }
  template <class Response, class Request>
  Result<Response> Call(Task<Result<Response>> (Feed::*method)(CallContext, Request), CallContext context,
                        Request request) {
    Result<Response> out = Fail(ErrorCode::kInternal);
    loop_.Start(CallTask(process_->feed, method, std::move(context), std::move(request), &out));
    loop_.Run();
    return out;
  }
  // The seqs that a list of all pages gives.
  std::vector<int64_t> List(CallContext context, v1::ListEventsRequest request = {}) {
    std::vector<int64_t> seqs;
    while (true) {
      auto page = Call(&Feed::ListEvents, context, request);
      EXPECT_TRUE(page) << page.error().cause;
      if (!page) return seqs;
      for (const auto& event : page->data()) seqs.push_back(event.seq());
      if (page->next_page_token().empty()) return seqs;
      request.set_page_token(page->next_page_token());
    }
  }
  v1::WaitFeedResponse Wait(CallContext context, v1::WaitFeedRequest request) {
    auto response = Call(&Feed::WaitFeed, std::move(context), std::move(request));
    EXPECT_TRUE(response) << response.error().cause;
    return response.value_or(v1::WaitFeedResponse());
  }
  static std::vector<int64_t> Seqs(const v1::WaitFeedResponse& response) {
    std::vector<int64_t> seqs;
    for (const auto& event : response.events()) seqs.push_back(event.seq());
    return seqs;
  }
  void Sql(const std::string& sql) {
    auto done = admin_->RunHere([&](postgres::Transaction& tx) { tx.ExecuteText(sql); });
    EXPECT_TRUE(done) << done.error().cause;
  }
  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    auto done = admin_->RunHere([&](postgres::Transaction& tx) { number = tx.ExecuteText(sql)[0].Int(0); });
    EXPECT_TRUE(done) << done.error().cause;
    return number;
  }

  test::Loop loop_;
  std::string url_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<postgres::Database> admin_;
  Uuid buyer_ = Uuid::New(), provider_ = Uuid::New(), stranger_ = Uuid::New();
};

using Seq = std::vector<int64_t>;

TEST_F(FeedTest, EachPartySeesItsOwnAndTheOperatorAll) {
  Apply("operations",
        {Event("operations", 1, {buyer_, provider_}), Event("operations", 2, {provider_}), Event("operations", 3, {})});
  Apply("listing", {Event("listing", 1, {provider_, provider_})});
  EXPECT_EQ(List(As(buyer_)), (Seq{1}));
  EXPECT_EQ(List(As(provider_)), (Seq{3, 2, 1}));
  EXPECT_EQ(List(As(stranger_)), Seq{});
  EXPECT_EQ(List(As(stranger_, {"regulator"})), Seq{});
  EXPECT_EQ(List(Operator()), (Seq{3, 2, 1}));
  EXPECT_EQ(List(As(Uuid(), {"service"})), Seq{});
}

TEST_F(FeedTest, RowSecurityHoldsWithoutTheFunctionsToo) {
  Apply("operations", {Event("operations", 1, {buyer_})});
  auto count = [&](const std::string& organization, const std::string& roles) {
    int64_t rows = -1;
    auto done = process_->reader.RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("SELECT set_config('millrace.organization', '" + organization +
                     "', true), set_config('millrace.roles', '" + roles + "', true)");
      rows = tx.ExecuteText("SELECT (SELECT count(*) FROM feed_event) + (SELECT count(*) FROM feed_party)")[0].Int(0);
    });
    EXPECT_TRUE(done);
    return rows;
  };
  EXPECT_EQ(count("", ""), 0);
  EXPECT_EQ(count(stranger_.Hex(), "buyer"), 0);
  EXPECT_EQ(count(buyer_.Hex(), "buyer"), 2);
  EXPECT_EQ(count(stranger_.Hex(), "operator"), 3);
  EXPECT_FALSE(process_->reader.RunHere([](postgres::Transaction& tx) { tx.ExecuteText("DELETE FROM feed_event"); }));
}

TEST_F(FeedTest, AnEventSaysWhatHappened) {
  events::v1::Event event = Event("operations", 7, {buyer_});
  Apply("operations", {event});
  v1::GetEventRequest request;
  request.set_id(event.id());
  auto got = Call(&Feed::GetEvent, As(buyer_), request);
  ASSERT_TRUE(got) << got.error().cause;
  EXPECT_EQ(got->id(), event.id());
  EXPECT_EQ(got->seq(), 1);
  EXPECT_EQ(got->type(), "booking.confirmed");
  EXPECT_EQ(got->specversion(), "1.0");
  EXPECT_EQ(got->subject(), "bkg_1");
  EXPECT_EQ(got->subjectversion(), 7);
  EXPECT_EQ(got->source(), "/orgs/" + FormatId("org", buyer_));
  EXPECT_EQ(got->time().seconds(), 1790000007);
  EXPECT_EQ(got->time().nanos(), 500000000);
  EXPECT_EQ(got->timestamp().seconds(), 1790000007);
  EXPECT_EQ(got->datacontenttype(), "application/json");
  identity::v1::Organization payload;
  ASSERT_TRUE(got->data().UnpackTo(&payload));
  EXPECT_EQ(payload.display_name(), "n7");
  // Another's event is as absent as one that never was.
  auto foreign = Call(&Feed::GetEvent, As(stranger_), request);
  request.set_id(FormatId("evt", Uuid::New()));
  auto absent = Call(&Feed::GetEvent, As(stranger_), request);
  ASSERT_TRUE(!foreign && !absent);
  EXPECT_EQ(foreign.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(absent.error().code, ErrorCode::kNotFound);
}

TEST_F(FeedTest, AnEventStaysShortAndNamesItsObject) {
  Uuid id = Uuid::New();
  events::v1::Event small = Event("identity", 1, {buyer_}, "organization.verified", FormatId("org", id)), big = small,
                    edge = small;
  identity::v1::Organization payload;
  payload.set_display_name(std::string(9'000, '\n'));  // escaped, it is twice as long
  edge.set_payload(payload.SerializeAsString());
  payload.set_display_name(std::string(20'000, 'x'));
  big.set_payload(payload.SerializeAsString());
  int64_t seq = 1;
  for (auto* event : {&edge, &big}) {
    event->set_id(FormatId("evt", Uuid::New()));
    event->set_seq(++seq);
  }
  Apply("identity", {small, edge, big});
  v1::ListEventsRequest request;
  request.set_subject("organizations/" + FormatId("org", id));
  request.set_after_seq(0);
  auto page = Call(&Feed::ListEvents, As(buyer_), request);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->data_size(), 3);
  for (const auto& event : page->data()) {
    EXPECT_EQ(event.subject(), "organizations/" + FormatId("org", id));
    EXPECT_LT(http::WriteJson(event).size(), kEventBytes);
  }
  EXPECT_TRUE(page->data(1).data().Is<identity::v1::Organization>());
  v1::TruncatedData instead;
  ASSERT_TRUE(page->data(2).data().UnpackTo(&instead));
  EXPECT_EQ(instead.id(), FormatId("org", id));
  EXPECT_NE(http::WriteJson(page->data(2)).find("\"data_truncated\":true"), std::string::npos);
}

TEST_F(FeedTest, IdleWaitsAskTheDatabaseTogether) {
  Apply("operations", {Event("operations", 1, {provider_})});
  constexpr int kStreams = 300;
  std::vector<Result<v1::WaitFeedResponse>> responses(kStreams, Fail(ErrorCode::kInternal));
  v1::WaitFeedRequest request;
  request.set_after_seq(1);
  request.set_wait_ms(1);
  Wait(As(buyer_), request);
  auto transactions = [this] {
    Sql("SELECT pg_stat_force_next_flush()");
    return Number("SELECT sum(xact_commit) FROM pg_stat_database WHERE datname = current_database()");
  };
  // The watch knows the head while one waits, so that the others need not ask.
  request.set_wait_ms(3000);
  auto later = [this, request, &responses]() -> Task<void> {
    co_await Sleep(std::chrono::milliseconds(300));
    for (int i = 1; i < kStreams; ++i)
      loop_.Start(CallTask(process_->feed, &Feed::WaitFeed, As(i % 2 ? buyer_ : stranger_), request, &responses[i]));
  };
  loop_.Start(CallTask(process_->feed, &Feed::WaitFeed, As(buyer_), request, &responses[0]));
  int64_t before = transactions();
  loop_.Start(later());
  loop_.Run();
  int64_t after = transactions();
  for (auto& response : responses) {
    ASSERT_TRUE(response);
    EXPECT_TRUE(response->events().empty());
    EXPECT_EQ(response->next_after_seq(), 1);
  }
  EXPECT_LT(after - before, 40);
}

TEST_F(FeedTest, WaitsAndListsKeepToTheTypesAskedFor) {
  Apply("operations",
        {Event("operations", 1, {buyer_}, "booking.confirmed"), Event("operations", 2, {buyer_}, "escrow.held"),
         Event("operations", 3, {buyer_}, "booking.closed"), Event("operations", 4, {buyer_}, "bookings.odd")});
  v1::WaitFeedRequest wait;
  wait.set_after_seq(0);
  wait.add_topics("booking");
  EXPECT_EQ(Seqs(Wait(As(buyer_), wait)), (Seq{1, 3}));
  wait.add_types("escrow.held");
  EXPECT_EQ(Seqs(Wait(As(buyer_), wait)), (Seq{1, 2, 3}));
  v1::ListEventsRequest list;
  list.set_after_seq(0);
  list.add_types("booking.closed");
  list.add_types("escrow");
  EXPECT_EQ(List(As(buyer_), list), (Seq{2, 3}));
  list.set_type("bookings");
  EXPECT_EQ(List(As(buyer_), list), (Seq{2, 3, 4}));
  // A waiter is woken by what it asked for alone.
  wait.clear_types();
  wait.set_after_seq(4);
  wait.set_wait_ms(1500);
  Result<v1::WaitFeedResponse> response = Fail(ErrorCode::kInternal);
  loop_.Start(CallTask(process_->feed, &Feed::WaitFeed, As(buyer_), wait, &response));
  loop_.Start(
      ApplyLater(process_->feed, {Event("operations", 5, {buyer_}, "escrow.held"), Event("operations", 6, {buyer_})}));
  loop_.Run();
  ASSERT_TRUE(response);
  EXPECT_EQ(Seqs(*response), (Seq{6}));
}

TEST_F(FeedTest, ARedeliveredEventIsThereOnceAndLeavesNoGap) {
  Events first = {Event("escrow", 1, {buyer_}), Event("escrow", 2, {buyer_})};
  Apply("escrow", first);
  // A page that begins before the position is refused whole; its consumer reads on from the position.
  first.push_back(Event("escrow", 3, {buyer_}));
  EXPECT_EQ(Refused("escrow", first), ErrorCode::kUnavailable);
  EXPECT_EQ(Refused("escrow", {first[0]}), ErrorCode::kUnavailable);
  Apply("escrow", {first[2]});
  EXPECT_EQ(List(As(buyer_)), (Seq{3, 2, 1}));
  EXPECT_EQ(Number("SELECT seq FROM position WHERE source = 'escrow'"), 3);
  EXPECT_EQ(Number("SELECT count(*) FROM feed_party"), 6);
}

TEST_F(FeedTest, TwoProcessesShareOneOrderWithoutGapsOrDoubles) {
  Process second(loop_.executor(), url_);
  std::vector<std::unique_ptr<Result<void>>> results;
  for (int round = 0; round < 10; ++round) {
    Events same;
    for (int i = 0; i < 5; ++i) same.push_back(Event("escrow", round * 5 + i + 1, {buyer_, Uuid::New()}));
    for (Process* process : {process_.get(), &second}) {
      results.push_back(std::make_unique<Result<void>>());
      loop_.Start(ApplyTask(process->feed, "escrow", same, results.back().get()));
    }
    results.push_back(std::make_unique<Result<void>>());
    loop_.Start(ApplyTask(second.feed, "listing", {Event("listing", round + 1, {provider_})}, results.back().get()));
    loop_.Run();
  }
  // Of two processes with the same page one takes it, the other is told to read on from the position.
  int taken = 0;
  for (auto& result : results) {
    taken += result->has_value();
    if (!*result) EXPECT_EQ(result->error().code, ErrorCode::kUnavailable);
  }
  EXPECT_EQ(taken, 20);
  EXPECT_EQ(Number("SELECT count(*) FROM feed_event"), 60);
  EXPECT_EQ(Number("SELECT max(seq) FROM feed_event"), 60);
  EXPECT_EQ(Number("SELECT head FROM feed_state"), 60);
  // Within a source the feed keeps the log's order.
  EXPECT_EQ(Number("SELECT count(*) FROM (SELECT subject_version < lag(subject_version) OVER (PARTITION BY source "
                   "ORDER BY seq) AS back "
                   "FROM feed_event) e WHERE back"),
            0);
}

TEST_F(FeedTest, PagesWalkBothWaysAndFilter) {
  Events events;
  for (int i = 1; i <= 25; ++i) {
    events.push_back(Event("operations", i, {buyer_}, i % 5 == 0 ? "work_order.accepted" : "booking.confirmed",
                           i % 2 ? "bkg_odd" : "bkg_even"));
  }
  Apply("operations", events);
  v1::ListEventsRequest request;
  request.set_page_size(4);
  Seq down = List(As(buyer_), request);
  ASSERT_EQ(down.size(), 25u);
  EXPECT_TRUE(std::is_sorted(down.rbegin(), down.rend()));
  request.set_after_seq(10);
  Seq up = List(As(buyer_), request);
  ASSERT_EQ(up.size(), 15u);
  EXPECT_EQ(up.front(), 11);
  EXPECT_TRUE(std::is_sorted(up.begin(), up.end()));
  request.set_type("work_order");
  EXPECT_EQ(List(As(buyer_), request), (Seq{15, 20, 25}));
  request.set_type("work_order.accepted");
  request.set_subject("bkg_odd");
  EXPECT_EQ(List(As(buyer_), request), (Seq{15, 25}));
  request.set_type("work");
  EXPECT_EQ(List(As(buyer_), request), Seq{});
  // A token is good for its own list alone.
  v1::ListEventsRequest plain;
  plain.set_page_size(4);
  auto page = Call(&Feed::ListEvents, As(buyer_), plain);
  ASSERT_TRUE(page);
  plain.set_page_token(page->next_page_token());
  plain.set_type("booking");
  auto wrong = Call(&Feed::ListEvents, As(buyer_), plain);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().violations.empty() ? wrong.error().code : wrong.error().violations[0].code,
            ErrorCode::kInvalidPageToken);
  plain.clear_type();
  EXPECT_FALSE(Call(&Feed::ListEvents, As(provider_), plain));
}

TEST_F(FeedTest, AWaitAnswersAtOnceWithWhatIsThere) {
  Apply("operations", {Event("operations", 1, {buyer_}), Event("operations", 2, {provider_}),
                       Event("operations", 3, {buyer_}, "escrow.held"), Event("operations", 4, {provider_})});
  v1::WaitFeedRequest request;
  request.set_after_seq(0);
  request.set_wait_ms(15000);
  v1::WaitFeedResponse response = Wait(As(buyer_), request);
  EXPECT_EQ(Seqs(response), (Seq{1, 3}));
  EXPECT_EQ(response.next_after_seq(), 4);
  request.set_limit(1);
  response = Wait(As(buyer_), request);
  EXPECT_EQ(Seqs(response), (Seq{1}));
  EXPECT_EQ(response.next_after_seq(), 1);
  request.set_after_seq(1);
  EXPECT_EQ(Seqs(Wait(As(buyer_), request)), (Seq{3}));
  request.clear_limit();
  request.set_after_seq(0);
  request.add_types("escrow");
  EXPECT_EQ(Seqs(Wait(As(buyer_), request)), (Seq{3}));
  // Nothing: says so after the wait, and does not read the same again.
  request.set_after_seq(3);
  request.set_wait_ms(50);
  response = Wait(As(buyer_), request);
  EXPECT_TRUE(response.events().empty());
  EXPECT_EQ(response.next_after_seq(), 4);
  EXPECT_FALSE(response.reset());
  // Neither start named: from now on.
  v1::WaitFeedRequest now;
  response = Wait(As(buyer_), now);
  EXPECT_TRUE(response.events().empty());
  EXPECT_EQ(response.next_after_seq(), 4);
}

TEST_F(FeedTest, AWaitGoesOnAfterTheEventThatWasSeenLast) {
  Events events = {Event("operations", 1, {buyer_}), Event("operations", 2, {provider_}),
                   Event("operations", 3, {buyer_})};
  Apply("operations", events);
  v1::WaitFeedRequest request;
  request.set_after_id(events[0].id());
  EXPECT_EQ(Seqs(Wait(As(buyer_), request)), (Seq{3}));
  // Not there any more, or another's: the caller must read anew, from here.
  for (std::string id : {events[1].id(), FormatId("evt", Uuid::New())}) {
    request.set_after_id(id);
    v1::WaitFeedResponse response = Wait(As(buyer_), request);
    EXPECT_TRUE(response.reset());
    EXPECT_TRUE(response.events().empty());
    EXPECT_EQ(response.next_after_seq(), 3);
  }
  v1::WaitFeedRequest beyond;
  beyond.set_after_seq(99);
  EXPECT_TRUE(Wait(As(buyer_), beyond).reset());
}

TEST_F(FeedTest, ANewEventWakesThoseWhomItConcerns) {
  struct Waiting {
    Result<v1::WaitFeedResponse> response = Fail(ErrorCode::kInternal);
    bool done = false;
    Time at;
  };
  Waiting buyer, stranger, everything;
  auto wait = [](Feed& feed, CallContext context, Waiting* out) -> Task<void> {
    v1::WaitFeedRequest request;
    request.set_after_seq(0);
    request.set_wait_ms(700);
    out->response = co_await feed.WaitFeed(std::move(context), std::move(request));
    out->done = true;
    out->at = WallNow();
  };
  Time begin = WallNow();
  loop_.Start(wait(process_->feed, As(buyer_), &buyer));
  loop_.Start(wait(process_->feed, As(stranger_), &stranger));
  loop_.Start(wait(process_->feed, Operator(), &everything));
  loop_.Start(ApplyLater(process_->feed, {Event("operations", 1, {buyer_})}));
  loop_.Run();
  ASSERT_TRUE(buyer.response && stranger.response && everything.response);
  EXPECT_EQ(Seqs(*buyer.response), (Seq{1}));
  EXPECT_EQ(Seqs(*everything.response), (Seq{1}));
  EXPECT_EQ(Seqs(*stranger.response), Seq{});
  EXPECT_LT(buyer.at, stranger.at);
  EXPECT_GE(stranger.at - begin, std::chrono::milliseconds(690));
}

TEST_F(FeedTest, AWaitHearsWhatAnotherProcessTookIn) {
  Process second(loop_.executor(), url_);
  Result<v1::WaitFeedResponse> response = Fail(ErrorCode::kInternal);
  v1::WaitFeedRequest request;
  request.set_after_seq(0);
  request.set_wait_ms(10000);
  loop_.Start(CallTask(process_->feed, &Feed::WaitFeed, As(buyer_), request, &response));
  loop_.Start(ApplyLater(second.feed, {Event("operations", 1, {buyer_})}));
  loop_.Run();
  ASSERT_TRUE(response);
  EXPECT_EQ(Seqs(*response), (Seq{1}));
}

TEST_F(FeedTest, AWaitKeepsItsCallersDeadlineAndEndsWithTheProcess) {
  v1::WaitFeedRequest request;
  request.set_wait_ms(15000);
  CallContext hurried = As(buyer_);
  hurried.deadline = WallNow() + std::chrono::milliseconds(600);
  Time begin = WallNow();
  Wait(hurried, request);
  EXPECT_LT(WallNow(), hurried.deadline + std::chrono::milliseconds(300));
  Result<v1::WaitFeedResponse> response = Fail(ErrorCode::kInternal);
  loop_.Start(CallTask(process_->feed, &Feed::WaitFeed, As(buyer_), request, &response));
  auto stop = [](Feed& feed) -> Task<void> {
    co_await Sleep(std::chrono::milliseconds(100));
    feed.Stop();
  };
  loop_.Start(stop(process_->feed));
  loop_.Run();
  EXPECT_TRUE(response);
  EXPECT_LT(WallNow() - begin, std::chrono::seconds(5));
}

TEST_F(FeedTest, OldEventsGoAndTheirReadersAreTold) {
  Events events;
  for (int i = 1; i <= 4; ++i) events.push_back(Event("operations", i, {buyer_}));
  Apply("operations", events);
  Sql("UPDATE feed_event SET add_time = add_time - interval '15 days' WHERE seq <= 2");
  tasks::Runner runner(loop_.executor(), process_->worker);
  runner.Handle(kPruneTask, [this](tasks::DueTask task) { return process_->feed.Prune(std::move(task)); });
  int fired = -1;
  auto run = [](Feed& feed, tasks::Runner& tasks, int* out) -> Task<void> {
    Result<void> first = co_await feed.SchedulePruning();
    Result<void> again = co_await feed.SchedulePruning();
    Result<int> count = co_await tasks.FireDue();
    EXPECT_TRUE(first && again && count);
    *out = count.value_or(-1);
  };
  loop_.Start(run(process_->feed, runner, &fired));
  loop_.Run();
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(List(As(buyer_)), (Seq{4, 3}));
  EXPECT_EQ(Number("SELECT count(*) FROM feed_party WHERE seq <= 2"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM task WHERE due_at > clock_timestamp() + interval '23 hours'"), 1);
  v1::WaitFeedRequest request;
  request.set_after_seq(1);
  EXPECT_TRUE(Wait(As(buyer_), request).reset());
  request.set_after_seq(2);
  v1::WaitFeedResponse response = Wait(As(buyer_), request);
  EXPECT_FALSE(response.reset());
  EXPECT_EQ(Seqs(response), (Seq{3, 4}));
  // An empty feed still knows where it was.
  Sql("UPDATE feed_event SET add_time = add_time - interval '15 days'");
  Sql("UPDATE task SET due_at = clock_timestamp()");
  loop_.Start(run(process_->feed, runner, &fired));
  loop_.Run();
  EXPECT_EQ(List(As(buyer_)), Seq{});
  Apply("operations", {Event("operations", 5, {buyer_})});
  EXPECT_EQ(List(As(buyer_)), (Seq{5}));
}

TEST_F(FeedTest, AMalformedEventParksItsObjectAndTheRestGoesOn) {
  Events events = {Event("operations", 1, {buyer_}, "a.b", "bkg_bad"),
                   Event("operations", 2, {buyer_}, "a.b", "bkg_good"),
                   Event("operations", 3, {buyer_}, "a.b", "bkg_bad")};
  events[0].set_parties(0, "not an id");
  Apply("operations", events);
  EXPECT_EQ(List(As(buyer_)), (Seq{1}));
  EXPECT_EQ(Number("SELECT count(*) FROM parked_event"), 2);
  EXPECT_EQ(Number("SELECT seq FROM position WHERE source = 'operations'"), 3);
}

}  // namespace
}  // namespace millrace::notifications
