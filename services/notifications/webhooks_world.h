// SPDX-License-Identifier: Apache-2.0
// Webhooks on a real PostgreSQL with a real receiver over loopback, for the tests beside this file.
#pragma once

#include <gtest/gtest.h>

#include "common/http/json.h"
#include "common/postgres/migrate.h"
#include "millrace/identity/v1/identity.pb.h"
#include "services/notifications/app/dispatcher.h"
#include "services/notifications/app/feed.h"
#include "services/notifications/app/webhooks.h"
#include "services/notifications/module.h"
#include "services/notifications/store/webhook_reads.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::notifications {

using namespace std::chrono_literals;
using Events = std::vector<events::v1::Event>;
using Delivery = v1::WebhookDelivery;
using Endpoint = v1::WebhookEndpoint;

inline postgres::DatabaseOptions Login(const std::string& url, std::string role) {
  postgres::DatabaseOptions options;
  options.url = url;
  options.schema = "notifications";
  options.role = std::move(role);
  return options;
}

// What a receiver got, and how it answers.
struct Receiver {
  explicit Receiver(Executor executor)
      : server(std::move(executor), {}, [this](http::Request request) { return Handle(std::move(request)); }) {
    auto bound = server.Start();
    EXPECT_TRUE(bound);
    url = "http://127.0.0.1:" + std::to_string(bound.value_or(0));
  }
  Task<http::Response> Handle(http::Request request) {
    got.push_back(std::move(request));
    ++open;
    most_open = std::max(most_open, open);
    co_await Sleep(delay);
    --open;
    http::Response response;
    response.status = answers.empty() ? 204 : answers.front();
    if (!answers.empty()) answers.erase(answers.begin());
    for (const auto& [name, value] : fields) response.fields.Set(name, value);
    response.body = body;
    co_return response;
  }
  std::string url;
  std::vector<http::Request> got;
  std::vector<int> answers;  // then 204
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
  std::chrono::milliseconds delay{0};
  int open = 0, most_open = 0;
  http::Server server;
};

// One process's part of the service.
struct Process {
  Process(Executor executor, const std::string& url, DispatcherOptions options)
      : worker(Login(url, "notifications_worker")),
        reader(Login(url, "notifications_reader")),
        feed_writer(executor, worker, feed_store),
        feed(executor, worker, reader, feed_writer),
        writer(executor, worker, store),
        webhooks(writer, reader, SecretBox("instance"), options.allowed, Names),
        dispatcher(executor, worker, writer, SecretBox("instance"), options) {
    feed_writer.OnCommit([this] { dispatcher.Signal(); });
    writer.OnCommit([this] { dispatcher.Signal(); });
  }
  static Task<Result<std::vector<std::string>>> Names(std::string host) {
    std::vector<std::string> ips;
    if (host == "public.example") {
      ips = {"93.184.216.34"};
    } else if (host == "rebound.example") {
      ips = {"93.184.216.34", "10.0.0.1"};
    } else if (IpAddress::Parse(host)) {
      ips = {host};
    }
    co_return ips;
  }
  postgres::Database worker, reader;
  FeedStore feed_store;
  postgres::Writer<FeedSet> feed_writer;
  Feed feed;
  WebhookStore store;
  postgres::Writer<WebhookSet> writer;
  Webhooks webhooks;
  Dispatcher dispatcher;
};

class WebhooksTest : public ::testing::Test {
 protected:
  WebhooksTest()
      : url_(test::PrivatePostgres::Instance().NewDatabase({{"notifications", Migrations()}})),
        receiver_(loop_.executor()) {
    admin_ = std::make_unique<postgres::Database>(Login(url_, ""));
    options_.schedule = {0s, 0s, 0s};
    options_.allowed = ParseCidrs("127.0.0.0/8").value();
  }
  ~WebhooksTest() override {
    for (auto& process : processes_) process->dispatcher.Stop();
    bool drained = false;
    auto drain = [](http::Server& server, bool* done) -> Task<void> {
      co_await server.Drain(0ms);
      *done = true;
    };
    loop_.Start(drain(receiver_.server, &drained));
    loop_.RunUntil([&] { return drained; });
  }

  Process& process() {
    if (processes_.empty()) processes_.push_back(std::make_unique<Process>(loop_.executor(), url_, options_));
    return *processes_.front();
  }
  void Dispatch() { process().dispatcher.Start(); }

  static CallContext As(Uuid organization, std::set<std::string> roles = {"admin"}) {
    CallContext context;
    context.organization = organization;
    context.roles = std::move(roles);
    return context;
  }

  template <class Response, class Request>
  static Task<void> CallTask(Webhooks& webhooks, Task<Result<Response>> (Webhooks::*method)(CallContext, Request),
                             CallContext context, Request request, std::optional<Result<Response>>* out) {
    Result<Response> response = co_await (webhooks.*method)(std::move(context), std::move(request));
    out->emplace(std::move(response));
  }
  template <class Response, class Request>
  Result<Response> Call(Task<Result<Response>> (Webhooks::*method)(CallContext, Request), CallContext context,
                        Request request) {
    std::optional<Result<Response>> out;
    loop_.Start(CallTask(process().webhooks, method, std::move(context), std::move(request), &out));
    loop_.RunUntil([&] { return out.has_value(); });
    return *std::move(out);
  }

  Endpoint Create(CallContext context, std::vector<std::string> types = {}, std::string path = "/hook?a=b") {
    v1::CreateWebhookEndpointRequest request;
    request.mutable_webhook_endpoint()->set_url(receiver_.url + path);
    for (std::string& type : types) request.mutable_webhook_endpoint()->add_types(type);
    auto made = Call(&Webhooks::Create, std::move(context), std::move(request));
    EXPECT_TRUE(made) << Name(made.error().code) << " " << made.error().cause;
    return made.value_or(Endpoint());
  }
  ErrorCode Refused(std::string url) {
    v1::CreateWebhookEndpointRequest request;
    request.mutable_webhook_endpoint()->set_url(std::move(url));
    auto made = Call(&Webhooks::Create, As(owner_), std::move(request));
    EXPECT_FALSE(made);
    return made ? ErrorCode::kInternal : made.error().code;
  }
  template <class Response>
  Result<Response> Verb(Task<Result<Response>> (Webhooks::*method)(CallContext, v1::WebhookEndpointVerbRequest),
                        const Endpoint& endpoint) {
    v1::WebhookEndpointVerbRequest request;
    request.set_id(endpoint.id());
    return Call(method, As(owner_), std::move(request));
  }
  Result<Endpoint> Get(const Endpoint& endpoint, CallContext context) {
    v1::GetWebhookEndpointRequest request;
    request.set_id(endpoint.id());
    return Call(&Webhooks::Get, std::move(context), std::move(request));
  }
  Delivery GetDelivery(const std::string& id) {
    v1::GetWebhookDeliveryRequest request;
    request.set_id(id);
    auto got = Call(&Webhooks::GetDelivery, As(owner_), std::move(request));
    EXPECT_TRUE(got);
    return got.value_or(Delivery());
  }
  std::vector<Delivery> List(CallContext context, v1::ListWebhookDeliveriesRequest request = {}) {
    std::vector<Delivery> all;
    while (true) {
      auto page = Call(&Webhooks::ListDeliveriesOf, context, request);
      EXPECT_TRUE(page) << page.error().cause;
      if (!page) return all;
      all.insert(all.end(), page->data().begin(), page->data().end());
      if (page->next_page_token().empty()) return all;
      request.set_page_token(page->next_page_token());
    }
  }

  events::v1::Event Event(std::vector<Uuid> parties, std::string type = "booking.confirmed") {
    identity::v1::Organization payload;
    payload.set_display_name("n");
    events::v1::Event event;
    event.set_id(FormatId("evt", Uuid::New()));
    event.set_source("operations");
    event.set_seq(++seq_);
    event.set_type(std::move(type));
    event.set_aggregate(FormatId("org", owner_));
    event.set_aggregate_version(3);
    event.mutable_time()->set_seconds(1790000000 + seq_);
    for (const Uuid& party : parties) event.add_parties(FormatId("org", party));
    event.set_payload_type("millrace.identity.v1.Organization");
    event.set_payload(payload.SerializeAsString());
    return event;
  }
  static Task<void> ApplyTask(Feed& feed, Events events, bool* done) {
    Result<void> applied = co_await feed.Apply("operations", std::move(events));
    EXPECT_TRUE(applied) << applied.error().cause;
    *done = true;
  }
  void Apply(Events events) {
    bool done = false;
    loop_.Start(ApplyTask(process().feed, std::move(events), &done));
    loop_.RunUntil([&] { return done; });
  }
  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    auto done = admin_->RunHere([&](postgres::Transaction& tx) { number = tx.ExecuteText(sql)[0].Int(0); });
    EXPECT_TRUE(done) << done.error().cause;
    return number;
  }
  void Sql(const std::string& sql) {
    auto done = admin_->RunHere([&](postgres::Transaction& tx) { tx.ExecuteText(sql); });
    EXPECT_TRUE(done) << done.error().cause;
  }
  // Until no delivery waits any more; asked of the database now and then, since recording follows the answer.
  void Settle() {
    auto end = std::chrono::steady_clock::now() + 20s;
    while (Number("SELECT count(*) FROM webhook_delivery WHERE state = 'PENDING'") > 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), end);
      auto until = std::chrono::steady_clock::now() + 20ms;
      bool slept = false;
      auto sleep = [](bool* out) -> Task<void> {
        co_await Sleep(20ms);
        *out = true;
      };
      loop_.Start(sleep(&slept));
      loop_.RunUntil([&] { return slept && std::chrono::steady_clock::now() >= until; });
    }
  }
  static bool Signed(const http::Request& request, const std::string& secret) {
    return crypto::VerifyWebhook(secret, request.fields.Get("webhook-id"), request.fields.Get("webhook-timestamp"),
                                 request.fields.Get("webhook-signature"), request.body, Micros(WallNow()) / 1000000);
  }

  test::Loop loop_;
  std::string url_;
  Receiver receiver_;
  DispatcherOptions options_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::unique_ptr<postgres::Database> admin_;
  int64_t seq_ = 0;
  Uuid owner_ = Uuid::New(), other_ = Uuid::New();
};

}  // namespace millrace::notifications
