// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "services/notifications/webhooks_world.h"

namespace millrace::notifications {
namespace {

TEST_F(WebhooksTest, AnEventArrivesSignedAsTheFeedTellsIt) {
  Endpoint endpoint = Create(As(owner_));
  EXPECT_EQ(endpoint.state(), Endpoint::ENABLED);
  EXPECT_EQ(endpoint.etag(), "1");
  EXPECT_EQ(crypto::Base64Decode(endpoint.secret().substr(6)).value_or("").size(), 32u);
  Dispatch();
  Events events = {Event({owner_, other_})};
  Apply(events);
  Settle();
  ASSERT_EQ(receiver_.got.size(), 1u);
  const http::Request& request = receiver_.got[0];
  EXPECT_EQ(request.method + " " + request.target, "POST /hook?a=b");
  EXPECT_EQ(request.fields.Get("Content-Type"), "application/json");
  EXPECT_EQ(request.fields.Get("webhook-id"), events[0].id());
  EXPECT_TRUE(Signed(request, endpoint.secret()));
  EXPECT_FALSE(Signed(request, SecretBox::Make()));
  v1::GetEventRequest get;
  get.set_id(events[0].id());
  std::string told;
  auto read = [](Feed& feed, CallContext context, v1::GetEventRequest what, std::string* out) -> Task<void> {
    Result<v1::FeedEvent> event = co_await feed.GetEvent(std::move(context), std::move(what));
    if (event) *out = http::WriteJson(*event);
  };
  loop_.Start(read(process().feed, As(owner_), get, &told));
  loop_.RunUntil([&] { return !told.empty(); });
  EXPECT_EQ(request.body, told);
  EXPECT_NE(told.find("\"source\":\"/orgs/" + FormatId("org", owner_) + "\""), told.npos) << told;
  EXPECT_NE(told.find("\"subject\":\"organizations/" + FormatId("org", owner_) + "\""), told.npos) << told;
  // The log: what was sent and answered.
  auto log = List(As(owner_));
  ASSERT_EQ(log.size(), 1u);
  EXPECT_TRUE(log[0].attempts(0).request().empty());
  Delivery delivery = GetDelivery(log[0].id());
  EXPECT_EQ(delivery.state(), Delivery::SUCCEEDED);
  EXPECT_EQ(delivery.trigger(), Delivery::EVENT);
  EXPECT_EQ(delivery.event_id(), events[0].id());
  EXPECT_FALSE(delivery.has_next_attempt_time());
  ASSERT_EQ(delivery.attempts_size(), 1);
  EXPECT_EQ(delivery.attempts(0).status(), 204);
  EXPECT_NE(delivery.attempts(0).request().find("webhook-id: " + events[0].id()), std::string::npos);
  EXPECT_TRUE(delivery.attempts(0).response().starts_with("204\n"));
}

TEST_F(WebhooksTest, ALedgerOfDeliveriesEqualsTheFeed) {
  Create(As(owner_));
  Create(As(owner_), {"work_order", "booking.closed"});
  Create(As(other_), {"booking"});
  Create(As(Uuid::New(), {"operator", "admin"}));
  Dispatch();
  Events events;
  const char* types[] = {"booking.confirmed", "booking.closed", "work_order.accepted", "escrow.held", "bookings.odd"};
  for (int i = 0; i < 40; ++i) {
    std::vector<Uuid> parties;
    if (i % 3) parties.push_back(owner_);
    if (i % 2 || parties.empty()) parties.push_back(other_);
    events.push_back(Event(std::move(parties), types[i % 5]));
  }
  Apply(events);
  Settle();
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_delivery"), static_cast<int64_t>(receiver_.got.size()));
  // For each endpoint exactly the events that its organization's feed holds and that it asks for.
  EXPECT_EQ(Number("SELECT count(*) FROM (SELECT e.id, f.event_id FROM webhook_endpoint e JOIN feed_event f "
                   "ON (e.sees_all OR e.organization = ANY (f.parties)) "
                   "AND (e.types = '{}' OR f.type = ANY (e.types) OR split_part(f.type, '.', 1) = ANY (e.types)) "
                   "EXCEPT SELECT endpoint, event_id FROM webhook_delivery WHERE state = 'SUCCEEDED') missing"),
            0);
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint "
                   "JOIN feed_event f USING (event_id) WHERE NOT (e.sees_all OR e.organization = ANY (f.parties))"),
            0);
  EXPECT_EQ(
      Number("SELECT count(*) FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint WHERE e.sees_all"),
      40);
  EXPECT_LE(receiver_.most_open, 8);
}

TEST_F(WebhooksTest, AFailureIsTriedAgainUnderTheSameId) {
  Endpoint endpoint = Create(As(owner_));
  receiver_.answers = {500, 302};
  receiver_.fields = {{"Location", receiver_.url + "/elsewhere"}};
  receiver_.body = std::string(5000, 'x');
  Dispatch();
  Events events = {Event({owner_})};
  Apply(events);
  Settle();
  ASSERT_EQ(receiver_.got.size(), 3u);  // the redirect was not followed
  for (const auto& request : receiver_.got) {
    EXPECT_EQ(request.path, "/hook");
    EXPECT_EQ(request.fields.Get("webhook-id"), events[0].id());
    EXPECT_EQ(request.body, receiver_.got[0].body);
    EXPECT_TRUE(Signed(request, endpoint.secret()));
  }
  Delivery delivery = GetDelivery(List(As(owner_))[0].id());
  EXPECT_EQ(delivery.state(), Delivery::SUCCEEDED);
  ASSERT_EQ(delivery.attempts_size(), 3);
  EXPECT_EQ(delivery.attempts(0).status(), 500);
  EXPECT_EQ(delivery.attempts(1).status(), 302);
  EXPECT_EQ(delivery.attempts(2).status(), 204);
  EXPECT_EQ(delivery.attempts(0).response().size(), kExcerptBytes);
}

TEST_F(WebhooksTest, WhenAllAttemptsFailedTheEndpointIsDisabledAndSaysSo) {
  Endpoint endpoint = Create(As(owner_));
  receiver_.answers = std::vector<int>(100, 503);
  Dispatch();
  Apply({Event({owner_})});
  Settle();
  EXPECT_EQ(receiver_.got.size(), 3u);
  Endpoint got = Get(endpoint, As(owner_)).value();
  EXPECT_EQ(got.state(), Endpoint::DISABLED);
  EXPECT_EQ(got.disabled_reason(), Endpoint::RETRIES_EXHAUSTED);
  EXPECT_TRUE(got.has_disable_time());
  EXPECT_EQ(List(As(owner_))[0].failure(), "retries_exhausted");
  EXPECT_EQ(Number("SELECT count(*) FROM event WHERE type = 'webhook_endpoint.disabled' AND aggregate = '" +
                   endpoint.id() + "' AND parties = ARRAY['" + owner_.Hex() + "']::uuid[]"),
            1);
  // Nothing more is sent, and nothing is written for it.
  Apply({Event({owner_})});
  Settle();
  EXPECT_EQ(List(As(owner_)).size(), 1u);
  v1::ReplayWebhookDeliveryRequest again;
  again.set_id(List(As(owner_))[0].id());
  auto refused = Call(&Webhooks::ReplayDelivery, As(owner_), again);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kStateConflict);
  // Enabled again, it gets what comes, and by a replay what it missed.
  receiver_.answers.clear();
  receiver_.got.clear();
  EXPECT_EQ(Verb(&Webhooks::Enable, endpoint)->state(), Endpoint::ENABLED);
  Apply({Event({owner_})});
  Settle();
  EXPECT_EQ(receiver_.got.size(), 1u);
  v1::ReplayWebhookEndpointRequest range;
  range.set_id(endpoint.id());
  range.mutable_from_time()->set_seconds(1790000001);
  range.mutable_to_time()->set_seconds(1790000003);
  auto replayed = Call(&Webhooks::Replay, As(owner_), range);
  ASSERT_TRUE(replayed) << replayed.error().cause;
  EXPECT_EQ(replayed->deliveries(), 2);
  EXPECT_FALSE(replayed->has_next_from_time());
  Settle();
  EXPECT_EQ(receiver_.got.size(), 3u);
  auto one = Call(&Webhooks::ReplayDelivery, As(owner_), again);
  ASSERT_TRUE(one);
  EXPECT_EQ(one->trigger(), Delivery::REPLAY);
  EXPECT_NE(one->id(), again.id());
  Settle();
  EXPECT_EQ(receiver_.got.size(), 4u);
  EXPECT_EQ(receiver_.got[3].fields.Get("webhook-id"), one->event_id());
  EXPECT_FALSE(Call(&Webhooks::ReplayDelivery, As(other_), again));
  std::swap(*range.mutable_from_time(), *range.mutable_to_time());
  EXPECT_FALSE(Call(&Webhooks::Replay, As(owner_), range));
}

TEST_F(WebhooksTest, GoneDisablesAtOnceAndGivesUpTheRest) {
  options_.at_once_per_endpoint = 1;
  Endpoint endpoint = Create(As(owner_));
  receiver_.answers = {410};
  receiver_.delay = 50ms;
  Dispatch();
  Apply({Event({owner_}), Event({owner_}), Event({owner_})});
  Settle();
  EXPECT_EQ(receiver_.got.size(), 1u);
  EXPECT_EQ(Get(endpoint, As(owner_))->disabled_reason(), Endpoint::GONE);
  std::multiset<std::string> failures;
  for (const Delivery& delivery : List(As(owner_))) failures.insert(delivery.failure());
  EXPECT_EQ(failures, (std::multiset<std::string>{"endpoint_disabled", "endpoint_disabled", "gone"}));
}

TEST_F(WebhooksTest, ASlowEndpointTakesNoMoreThanItsPart) {
  options_.timeout = 200ms;
  options_.schedule = {0s};
  options_.at_once_per_endpoint = 1;
  Create(As(owner_));
  receiver_.delay = 600ms;
  Dispatch();
  Events events;
  for (int i = 0; i < 4; ++i) events.push_back(Event({owner_}));
  Apply(events);
  Settle();
  EXPECT_LE(receiver_.most_open, 2);  // the one given up may still be open at the receiver
  Delivery delivery = GetDelivery(List(As(owner_)).back().id());
  EXPECT_EQ(delivery.attempts(0).status(), 0);
  EXPECT_EQ(delivery.attempts(0).error(), "DEADLINE_EXCEEDED");
  EXPECT_GE(delivery.attempts(0).latency_ms(), 190);
  // The oldest went first; the first failure disabled the endpoint.
  EXPECT_EQ(receiver_.got[0].fields.Get("webhook-id"), events[0].id());
}

TEST_F(WebhooksTest, BothSecretsSignWhileOneFollowsTheOther) {
  Endpoint endpoint = Create(As(owner_));
  Dispatch();
  Endpoint rotated = Verb(&Webhooks::RotateSecret, endpoint).value();
  EXPECT_NE(rotated.secret(), endpoint.secret());
  EXPECT_TRUE(rotated.has_old_secret_expire_time());
  Apply({Event({owner_})});
  Settle();
  ASSERT_EQ(receiver_.got.size(), 1u);
  EXPECT_TRUE(Signed(receiver_.got[0], endpoint.secret()));
  EXPECT_TRUE(Signed(receiver_.got[0], rotated.secret()));
  // After its time the old one is nothing.
  Sql("UPDATE webhook_endpoint SET old_secret_until = clock_timestamp()");
  Apply({Event({owner_})});
  Settle();
  EXPECT_FALSE(Signed(receiver_.got[1], endpoint.secret()));
  EXPECT_TRUE(Signed(receiver_.got[1], rotated.secret()));
  // Nobody reads a secret again, nor from the tables.
  EXPECT_TRUE(Get(endpoint, As(owner_))->secret().empty());
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_endpoint WHERE position('whsec'::bytea IN secret) > 0"), 0);
}

TEST_F(WebhooksTest, ARepeatedCallShowsTheSameSecretAndKeepsNone) {
  CallContext context = As(owner_);
  context.idempotency_key = "key-00000001";
  context.fingerprint = std::string(32, 'f');
  Endpoint first = Create(context);
  context.reply = std::make_shared<ReplyInfo>();
  Endpoint again = Create(context);
  EXPECT_TRUE(context.reply->replayed);
  EXPECT_EQ(again.secret(), first.secret());
  EXPECT_EQ(again.id(), first.id());
  EXPECT_TRUE(first.secret().starts_with("whsec_"));
  EXPECT_EQ(Number("SELECT count(*) FROM idempotency WHERE position('whsec_'::bytea IN outcome) > 0"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_endpoint"), 1);
}

TEST_F(WebhooksTest, APingIsSentOnceAndDisablesNothing) {
  Endpoint endpoint = Create(As(owner_), {"nothing.of_the_kind"});
  receiver_.answers = {410};
  Dispatch();
  Delivery ping = Verb(&Webhooks::Ping, endpoint).value();
  EXPECT_EQ(ping.trigger(), Delivery::PING);
  Settle();
  EXPECT_EQ(GetDelivery(ping.id()).failure(), "refused");
  EXPECT_EQ(Get(endpoint, As(owner_))->state(), Endpoint::ENABLED);
  ping = Verb(&Webhooks::Ping, endpoint).value();
  Settle();
  EXPECT_EQ(GetDelivery(ping.id()).state(), Delivery::SUCCEEDED);
  ASSERT_EQ(receiver_.got.size(), 2u);
  EXPECT_TRUE(Signed(receiver_.got[1], endpoint.secret()));
  EXPECT_NE(receiver_.got[1].body.find("\"type\":\"webhook_endpoint.ping\""), std::string::npos);
  // A disabled one can be tried before it is enabled.
  Sql("UPDATE webhook_endpoint SET state = 'DISABLED', disabled_reason = 'GONE'");
  ping = Verb(&Webhooks::Ping, endpoint).value();
  Settle();
  EXPECT_EQ(GetDelivery(ping.id()).state(), Delivery::SUCCEEDED);
}

TEST_F(WebhooksTest, ARetryAfterIsKept) {
  options_.schedule = {0s, 1s, 1s};
  Create(As(owner_));
  receiver_.answers = {503};
  receiver_.fields = {{"Retry-After", "3600"}};
  Dispatch();
  Apply({Event({owner_})});
  loop_.RunUntil([&] { return Number("SELECT count(*) FROM webhook_attempt") == 1; });
  EXPECT_EQ(
      Number(
          "SELECT count(*) FROM webhook_delivery WHERE state = 'PENDING' "
          "AND due_at BETWEEN clock_timestamp() + interval '59 minutes' AND clock_timestamp() + interval '61 minutes'"),
      1);
}

TEST_F(WebhooksTest, WhatADeadProcessHeldIsSentByAnother) {
  Create(As(owner_));
  Apply({Event({owner_}), Event({owner_})});
  // A process claims and is gone; its lease must run out.
  bool claimed = false;
  auto claim = [](postgres::Database& worker, bool* done) -> Task<void> {
    InHand none;
    Result<std::vector<DueDelivery>> due = co_await ClaimDeliveries(worker, std::move(none), 2, 8, 30s);
    EXPECT_EQ(due->size(), 2u);
    *done = true;
  };
  loop_.Start(claim(process().worker, &claimed));
  loop_.RunUntil([&] { return claimed; });
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_delivery WHERE due_at <= clock_timestamp()"), 0);
  Sql("UPDATE webhook_delivery SET due_at = clock_timestamp()");
  Dispatch();
  Settle();
  EXPECT_EQ(receiver_.got.size(), 2u);
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_delivery WHERE state = 'SUCCEEDED' AND attempts = 2"), 2);
}

TEST_F(WebhooksTest, TwoProcessesSendEachOnce) {
  Create(As(owner_));
  Create(As(owner_));
  process();
  processes_.push_back(std::make_unique<Process>(loop_.executor(), url_, options_));
  for (auto& each : processes_) each->dispatcher.Start();
  Events events;
  for (int i = 0; i < 30; ++i) events.push_back(Event({owner_}));
  Apply(events);
  Settle();
  EXPECT_EQ(receiver_.got.size(), 60u);
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_attempt"), 60);
}

TEST_F(WebhooksTest, UnsafeUrlsAreRefusedAndNeverCalled) {
  for (const char* url :
       {"http://public.example/", "https://rebound.example/", "https://unknown.example/", "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data", "https://[fd00:ec2::254]/", "https://[::ffff:10.0.0.1]/",
        "https://user@public.example/", "ftp://public.example/", "https://[64:ff9b::a00:1]/"})
    EXPECT_EQ(Refused(url), ErrorCode::kUnsafeUrl) << url;
  v1::CreateWebhookEndpointRequest request;
  request.mutable_webhook_endpoint()->set_url("https://public.example:444/x");
  EXPECT_TRUE(Call(&Webhooks::Create, As(owner_), request));
  // What was safe when it was registered is looked at again when it is called: here the block is not allowed any more.
  Endpoint endpoint = Create(As(other_));
  options_.allowed.clear();
  options_.schedule = {0s};
  processes_.push_back(std::make_unique<Process>(loop_.executor(), url_, options_));
  Apply({Event({other_})});
  processes_.back()->dispatcher.Start();
  Settle();
  EXPECT_TRUE(receiver_.got.empty());
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_attempt WHERE error = 'UNSAFE_URL'"), 1);
}

TEST_F(WebhooksTest, OwnersChangeTheirOwnAlone) {
  Endpoint endpoint = Create(As(owner_));
  v1::UpdateWebhookEndpointRequest update;
  update.set_id(endpoint.id());
  update.mutable_webhook_endpoint()->set_url(receiver_.url + "/new");
  update.mutable_webhook_endpoint()->add_types("booking");
  update.mutable_webhook_endpoint()->set_description("ERP");
  CallContext stale = As(owner_), fresh = As(owner_), foreign = As(other_), office = As(other_, {"operator"});
  stale.if_match = "7";
  fresh.if_match = "1";
  EXPECT_EQ(Call(&Webhooks::Update, stale, update).error().code, ErrorCode::kEtagMismatch);
  EXPECT_EQ(Call(&Webhooks::Update, foreign, update).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Call(&Webhooks::Update, office, update).error().code, ErrorCode::kNotFound);
  auto changed = Call(&Webhooks::Update, fresh, update);
  ASSERT_TRUE(changed) << changed.error().cause;
  EXPECT_EQ(changed->etag(), "2");
  EXPECT_EQ(changed->description(), "ERP");
  EXPECT_TRUE(changed->secret().empty());
  EXPECT_EQ(Get(endpoint, foreign).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Get(endpoint, office)->url(), receiver_.url + "/new");
  v1::DeleteWebhookEndpointRequest gone;
  gone.set_id(endpoint.id());
  EXPECT_EQ(Call(&Webhooks::Delete, foreign, gone).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(Call(&Webhooks::Delete, As(owner_), gone));
  EXPECT_EQ(Call(&Webhooks::Delete, As(owner_), gone).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Get(endpoint, As(owner_)).error().code, ErrorCode::kNotFound);
  // Twenty at most.
  for (int i = 0; i < 20; ++i) Create(As(owner_));
  EXPECT_EQ(Refused(receiver_.url), ErrorCode::kTooLong);
  v1::ListWebhookEndpointsRequest list;
  list.set_page_size(15);
  auto page = Call(&Webhooks::List, As(owner_), list);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->data_size(), 15);
  list.set_page_token(page->next_page_token());
  EXPECT_EQ(Call(&Webhooks::List, As(owner_), list)->data_size(), 5);
  EXPECT_EQ(Call(&Webhooks::List, As(other_), v1::ListWebhookEndpointsRequest())->data_size(), 0);
}

TEST_F(WebhooksTest, RowSecurityHoldsWithoutTheFunctionsToo) {
  Create(As(owner_));
  Dispatch();
  Apply({Event({owner_})});
  Settle();
  auto count = [&](const std::string& organization, const std::string& roles) {
    int64_t rows = -1;
    auto done = process().reader.RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("SELECT set_config('millrace.organization', '" + organization +
                     "', true), set_config('millrace.roles', '" + roles + "', true)");
      rows = tx.ExecuteText(
                   "SELECT (SELECT count(id) FROM webhook_endpoint) + (SELECT count(*) FROM webhook_delivery) + "
                   "(SELECT count(*) FROM webhook_attempt)")[0]
                 .Int(0);
    });
    EXPECT_TRUE(done) << done.error().cause;
    return rows;
  };
  EXPECT_EQ(count("", ""), 0);
  EXPECT_EQ(count(other_.Hex(), "admin"), 0);
  EXPECT_EQ(count(owner_.Hex(), "admin"), 3);
  EXPECT_EQ(count(other_.Hex(), "operator"), 3);
  EXPECT_FALSE(process().reader.RunHere(
      [](postgres::Transaction& tx) { tx.ExecuteText("SELECT secret FROM webhook_endpoint"); }));
  EXPECT_FALSE(
      process().reader.RunHere([](postgres::Transaction& tx) { tx.ExecuteText("DELETE FROM webhook_delivery"); }));
}

TEST_F(WebhooksTest, TheLogIsListedFilteredAndPruned) {
  Endpoint first = Create(As(owner_)), second = Create(As(owner_));
  Dispatch();
  Events events;
  for (int i = 0; i < 5; ++i) events.push_back(Event({owner_}));
  Apply(events);
  Settle();
  v1::ListWebhookDeliveriesRequest request;
  request.set_page_size(3);
  EXPECT_EQ(List(As(owner_), request).size(), 10u);
  request.set_endpoint_id(first.id());
  EXPECT_EQ(List(As(owner_), request).size(), 5u);
  request.set_event_id(events[2].id());
  EXPECT_EQ(List(As(owner_), request).size(), 1u);
  request.clear_endpoint_id();
  request.set_state(Delivery::SUCCEEDED);
  EXPECT_EQ(List(As(owner_), request).size(), 2u);
  request.set_state(Delivery::FAILED);
  EXPECT_EQ(List(As(owner_), request).size(), 0u);
  EXPECT_EQ(List(As(other_)).size(), 0u);
  EXPECT_EQ(List(As(other_, {"operator"})).size(), 10u);
  Sql("UPDATE webhook_delivery SET create_time = create_time - interval '31 days' WHERE endpoint = '" +
      IdOrNil(first.id()).Hex() + "'");
  Sql("UPDATE webhook_endpoint SET state = 'DELETED'");
  bool done = false;
  auto prune = [](postgres::Database& worker, bool* out) -> Task<void> {
    Result<int64_t> gone = co_await PruneDeliveries(worker);
    EXPECT_EQ(gone.value_or(-1), 5);
    *out = true;
  };
  loop_.Start(prune(process().worker, &done));
  loop_.RunUntil([&] { return done; });
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_delivery"), 5);
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_attempt"), 5);
  EXPECT_EQ(Number("SELECT count(*) FROM webhook_endpoint"), 1);
}

}  // namespace
}  // namespace millrace::notifications
