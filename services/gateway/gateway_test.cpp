// SPDX-License-Identifier: Apache-2.0
// The real gateway over loopback, with services of the test's own behind local channels.
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

#include "common/base/limits.h"
#include "common/crypto/crypto.h"
#include "common/http/http.h"
#include "common/http/json_parse.h"
#include "google/api/httpbody.pb.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "millrace/notifications/v1/notifications.pb.h"
#include "services/gateway/attempts.h"
#include "services/gateway/module.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;
namespace id = identity::v1;

class GatewayTest : public testing::Test {
 protected:
  GatewayTest() : work_(context_.get_executor()) {
    settings_.Set("http_address", "127.0.0.1:0", "test");
    settings_.Set("drain_seconds", "6", "test");
    environment_.executor = context_.get_executor();
    environment_.settings = &settings_;
    environment_.wakeups = &bus_;
    for (auto* service : {&identity_, &listing_, &escrow_, &notifications_})
      channels_[service->name()] = rpc::LocalChannel(*service);
    environment_.channel = [this](std::string_view name) -> rpc::Channel& { return *channels_.at(std::string(name)); };
    organization_ = FormatId("org", Uuid::New());
    RegisterIdentity();
    RegisterOthers();
  }
  void SetUp() override {
    thread_ = std::thread([this] { context_.run(); });
    gateway_ = MakeGateway(environment_);
    Run([this]() -> Task<void> {
      Result<int> port = co_await gateway_->Start();
      port_ = port.value_or(0);
    });
    ASSERT_NE(port_, 0);
  }
  void TearDown() override {
    Run([this]() -> Task<void> { co_await gateway_->Drain(); });
    work_.reset();
    thread_.join();
    gateway_.reset();
  }
  void Run(std::function<Task<void>()> body) {
    std::atomic<bool> done = false;
    Spawn(context_.get_executor(), Then(&body, &done), "test");
    while (!done) std::this_thread::sleep_for(2ms);
  }
  static Task<void> Then(std::function<Task<void>()>* body, std::atomic<bool>* done) {
    co_await (*body)();
    *done = true;
  }

  template <class Request, class Response>
  void On(rpc::Service* service, const char* method,
          std::function<Result<Response>(const CallContext&, const Request&)> handler) {
    service->On<Request, Response>(method, [this, handler](CallContext context, Request request) {
      return Answer<Request, Response>(handler, std::move(context), std::move(request));
    });
  }
  template <class Request, class Response>
  Task<Result<Response>> Answer(std::function<Result<Response>(const CallContext&, const Request&)> handler,
                                CallContext context, Request request) {
    seen_ = context;
    co_return handler(context, request);
  }

  void RegisterIdentity() {
    On<id::AuthenticateRequest, id::AuthenticateResponse>(
        &identity_, "millrace.identity.v1.Identity.Authenticate",
        [this](const CallContext& context, const id::AuthenticateRequest& request) -> Result<id::AuthenticateResponse> {
          ++authentications_;
          if (!context.IsService() || !request.token().starts_with("sk_test_good") || revoked_)
            return Fail(ErrorCode::kUnauthenticated);
          id::AuthenticateResponse caller;
          caller.set_organization_id(organization_);
          caller.set_api_key_id("key_1");
          for (const char* role : {"provider", "operator", "service"}) caller.add_roles(role);
          caller.set_verified(true);
          caller.set_member_id(member_);
          for (const std::string& scope : scopes_) caller.add_scopes(scope);
          return caller;
        });
    On<id::IssueTokenRequest, id::IssueTokenResponse>(
        &identity_, "millrace.identity.v1.Identity.IssueToken",
        [this](const CallContext&, const id::IssueTokenRequest& request) -> Result<id::IssueTokenResponse> {
          asked_ = request;
          if (request.client_secret() == "wrong") return Fail(ErrorCode::kUnauthenticated);
          id::IssueTokenResponse token;
          token.set_access_token("at_x");
          token.set_expires_in_seconds(3600);
          for (const std::string& scope : request.scopes()) {
            if (scope == "unknown") return Fail(ErrorCode::kUnknownScope);
            token.add_scopes(scope);
          }
          return token;
        });
    On<id::GetMeRequest, id::Me>(&identity_, "millrace.identity.v1.Identity.GetMe",
                                 [](const CallContext& context, const auto&) -> Result<id::Me> {
                                   id::Me me;
                                   me.mutable_organization()->set_id(FormatId("org", context.organization));
                                   me.set_api_key_id(context.actor);
                                   for (const auto& role : context.roles) me.add_roles(role);
                                   return me;
                                 });
    On<id::CreateSiteRequest, id::Site>(
        &identity_, "millrace.identity.v1.Identity.CreateSite",
        [this](const CallContext& context, const id::CreateSiteRequest& request) -> Result<id::Site> {
          validated_only_ = request.validate_only();
          context.reply->etag = "7";
          context.reply->replayed = context.idempotency_key == "replayed-key";
          if (context.idempotency_key == "refused-before")
            return Fail(ErrorCode::kAlreadyExists, {{"field", "external_id"}, {"value", "x"}});
          id::Site site = request.site();
          site.set_id("sit_1");
          return site;
        });
    On<id::GetOrganizationRequest, id::Organization>(
        &identity_, "millrace.identity.v1.Identity.GetOrganization",
        [](const CallContext& context, const auto& request) -> Result<id::Organization> {
          context.reply->etag = "3";
          id::Organization organization;
          organization.set_id(request.id());
          return organization;
        });
    On<id::ListOrganizationsRequest, id::ListOrganizationsResponse>(
        &identity_, "millrace.identity.v1.Identity.ListOrganizations",
        [](const CallContext&, const auto& request) -> Result<id::ListOrganizationsResponse> {
          id::ListOrganizationsResponse page;
          page.add_data()->set_external_id(request.external_id());
          page.mutable_data(0)->set_state(request.state());
          page.set_next_page_token(std::to_string(request.page_size()));
          return page;
        });
    On<id::OrganizationVerbRequest, id::Organization>(
        &identity_, "millrace.identity.v1.Identity.RejectOrganization",
        [](const CallContext&, const auto& request) -> Result<id::Organization> {
          if (request.reason() == "internal") return Fail(Error::Internal("SELECT secret"));
          if (request.reason() == "throw") throw std::runtime_error("SELECT secret");
          id::Organization organization;
          organization.set_id(request.id());
          organization.set_state_reason(request.reason());
          return organization;
        });
  }

  void RegisterOthers() {
    On<listing::v1::CreateImportRequest, listing::v1::Import>(
        &listing_, "millrace.listing.v1.ListingService.CreateImport",
        [this](const CallContext&, const auto& request) -> Result<listing::v1::Import> {
          file_ = request.file();
          published_ = request.publish();
          return listing::v1::Import();
        });
    On<listing::v1::GetImportTemplateRequest, google::api::HttpBody>(
        &listing_, "millrace.listing.v1.ListingService.GetImportTemplate",
        [](const CallContext&, const auto&) -> Result<google::api::HttpBody> {
          google::api::HttpBody body;
          body.set_content_type("text/csv; charset=utf-8");
          body.set_data("a,b\r\n");
          return body;
        });
    RegisterResources();
    On<escrow::v1::CustodianNoticeRequest, escrow::v1::CustodianNoticeResponse>(
        &escrow_, "millrace.escrow.v1.EscrowService.CustodianNotice",
        [](const CallContext&, const auto&) -> Result<escrow::v1::CustodianNoticeResponse> {
          return escrow::v1::CustodianNoticeResponse();
        });
    On<notifications::v1::WaitFeedRequest, notifications::v1::WaitFeedResponse>(
        &notifications_, "millrace.notifications.v1.Notifications.WaitFeed",
        [this](const CallContext&,
               const notifications::v1::WaitFeedRequest& request) -> Result<notifications::v1::WaitFeedResponse> {
          notifications::v1::WaitFeedResponse response;
          int64_t seq = std::max<int64_t>(request.after_seq(), 0);
          if (request.has_after_seq() == false) waited_after_ = request.after_id();
          if (seq < 3) {
            auto* event = response.add_events();
            event->set_id("evt_" + std::to_string(seq + 1));
            event->set_seq(seq + 1);
            event->set_type("booking.confirmed");
          }
          response.set_next_after_seq(seq + 1);
          return response;
        });
  }

  // One resource for every id but two: what is not the caller's, and what cannot be asked.
  void RegisterResources() {
    On<listing::v1::GetResourceRequest, listing::v1::Resource>(
        &listing_, "millrace.listing.v1.ListingService.GetResource",
        [this](const CallContext& context, const auto& request) -> Result<listing::v1::Resource> {
          ++reads_;
          EXPECT_TRUE(context.idempotency_key.empty() && context.if_match.empty());
          if (request.id() == hidden_) return Fail(ErrorCode::kNotFound);
          if (request.id() == down_) return Fail(ErrorCode::kUnavailable);
          context.reply->etag = "4";
          listing::v1::Resource resource;
          resource.set_id(request.id());
          resource.set_kind(listing::v1::Resource::EQUIPMENT);
          resource.mutable_display_name()->set_zh("铣床");
          resource.set_maker("old");
          resource.set_etag("4");
          return resource;
        });
    On<listing::v1::UpdateResourceRequest, listing::v1::Resource>(
        &listing_, "millrace.listing.v1.ListingService.UpdateResource",
        [this](const CallContext& context, const auto& request) -> Result<listing::v1::Resource> {
          updated_ = request.resource();
          context.reply->etag = "5";
          return request.resource();
        });
    On<listing::v1::ListListingsRequest, listing::v1::ListListingsResponse>(
        &listing_, "millrace.listing.v1.ListingService.ListListings",
        [this](const CallContext&, const auto& request) -> Result<listing::v1::ListListingsResponse> {
          listing::v1::ListListingsResponse page;
          for (const std::string& id : listed_) page.add_data()->set_resource_id(id);
          page.set_next_page_token("a+b");
          return page;
        });
  }

  // Another key, with these scopes.
  void Forget(std::set<std::string> scopes) {
    scopes_ = std::move(scopes);
    token_ = "sk_test_good" + std::to_string(++keys_);
  }
  int keys_ = 0;

  struct Sent {
    std::string method, target, body;
    std::vector<std::pair<std::string, std::string>> fields;
    bool key = true;
  };
  http::Response Send(Sent sent) {
    http::Request request{.method = sent.method, .target = sent.target, .body = sent.body};
    if (sent.key) request.fields.Set("Authorization", "Bearer " + token_);
    if (!sent.body.empty()) request.fields.Set("Content-Type", "application/json");
    request.fields.Set("Accept-Language", "en");
    for (auto& [name, value] : sent.fields) request.fields.Set(name, value);
    auto response = http::FetchBlocking("http://127.0.0.1:" + std::to_string(port_), request, 10s);
    EXPECT_TRUE(response) << response.error().cause;
    return response.value_or(http::Response());
  }
  static std::string Member(const http::Response& response, const std::string& name) {
    auto value = http::ParseJson(response.body);
    if (!value) return "(no JSON)";
    for (const auto& member : value->members) {
      if (member.name == name) return member.value.text;
    }
    return "(none)";
  }
  // Status, code and first pointer of a problem whose parts agree with each other.
  std::string Refusal(Sent sent) {
    http::Response response = Send(std::move(sent));
    EXPECT_EQ(response.fields.Get("Content-Type"), "application/problem+json") << response.body;
    EXPECT_EQ(Member(response, "status"), std::to_string(response.status));
    EXPECT_EQ(Member(response, "request_id"), response.fields.Get("Request-Id"));
    EXPECT_EQ(response.body.find("SELECT"), std::string::npos);
    std::string out = std::to_string(response.status) + " " + Member(response, "code");
    auto value = http::ParseJson(response.body);
    for (const auto& member : value->members) {
      if (member.name == "errors") out += " " + member.value.items[0].members[0].value.text;
    }
    return out;
  }

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  runtime::Settings settings_;
  runtime::WakeupBus bus_;
  runtime::Environment environment_;
  rpc::Service identity_{"identity"}, listing_{"listing"}, escrow_{"escrow"}, notifications_{"notifications"};
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::unique_ptr<Gateway> gateway_;
  std::thread thread_;
  int port_ = 0;
  std::string organization_, waited_after_, member_, token_ = "sk_test_good";
  std::set<std::string> scopes_;
  id::IssueTokenRequest asked_;
  CallContext seen_;
  google::api::HttpBody file_;
  bool published_ = false, validated_only_ = false;
  std::string hidden_ = FormatId("res", Uuid::New()), down_ = FormatId("res", Uuid::New());
  std::vector<std::string> listed_;
  std::atomic<int> reads_ = 0;
  listing::v1::Resource updated_;
  std::atomic<bool> revoked_ = false;
  std::atomic<int> authentications_ = 0;
};

const std::string kPlace = R"("place":{"longitude":113.9,"latitude":22.9,"coordinate_system":"WGS84"})";

TEST(Attempts, AreABucketForEachAddress) {
  Attempts attempts;
  auto now = Attempts::Clock::now();
  for (int i = 0; i < Attempts::kBurst; ++i) {
    EXPECT_TRUE(attempts.Check("1.2.3.4", now)) << i;
    attempts.Failed("1.2.3.4", now);
  }
  auto refused = attempts.Check("1.2.3.4", now);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooManyAttempts);
  EXPECT_EQ(refused.error().params.at("seconds"), "2");
  EXPECT_TRUE(attempts.Check("1.2.3.5", now));
  EXPECT_TRUE(attempts.Check("1.2.3.4", now + Attempts::kEach));
  attempts.Failed("1.2.3.4", now + Attempts::kEach);
  EXPECT_FALSE(attempts.Check("1.2.3.4", now + Attempts::kEach));
  EXPECT_TRUE(attempts.Check("1.2.3.4", now + Attempts::kBurst * Attempts::kEach));
}

TEST_F(GatewayTest, IssuesTokensByTheRulesOfOAuth) {
  auto token = [&](std::string form, std::vector<std::pair<std::string, std::string>> fields = {}) {
    fields.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    return Send({"POST", "/oauth2/token", std::move(form), std::move(fields), false});
  };
  auto basic = [](const std::string& text) {
    return std::vector<std::pair<std::string, std::string>>{{"Authorization", "Basic " + crypto::Base64(text)}};
  };
  auto good = token("grant_type=client_credentials&scope=sites%3Aread+bookings%3A*", basic("key_1:sk_test_%3A"));
  EXPECT_EQ(good.status, 200) << good.body;
  EXPECT_EQ(good.fields.Get("Cache-Control"), "no-store");
  EXPECT_EQ(good.body,
            R"({"access_token":"at_x","token_type":"Bearer","expires_in":3600,"scope":"sites:read bookings:*"})");
  EXPECT_EQ(asked_.client_id(), "key_1");
  EXPECT_EQ(asked_.client_secret(), "sk_test_:") << "both halves are form-encoded";
  EXPECT_EQ(asked_.audiences_size(), 2);
  EXPECT_EQ(asked_.audiences(1), "http://127.0.0.1:" + std::to_string(port_) + "/oauth2/token");
  EXPECT_EQ(token("grant_type=client_credentials&client_id=key_1&client_secret=s").status, 200);
  const std::string type = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
  EXPECT_EQ(token("grant_type=client_credentials&client_assertion=a.b.c&" + type).status, 200);
  EXPECT_EQ(asked_.assertion(), "a.b.c");
  // A host that any client could name is no audience.
  token("grant_type=client_credentials&client_assertion=a.b.c&" + type, {{"Host", "mill.example"}});
  EXPECT_EQ(asked_.audiences_size(), 0);

  struct Case {
    std::string form;
    std::vector<std::pair<std::string, std::string>> fields;
    int status;
    const char* error;
  };
  for (const Case& one : std::vector<Case>{
           {"grant_type=password&client_id=key_1&client_secret=s", {}, 400, "unsupported_grant_type"},
           {"client_id=key_1&client_secret=s", {}, 400, "invalid_request"},
           {"grant_type=client_credentials", {}, 401, "invalid_client"},
           {"grant_type=client_credentials&grant_type=client_credentials", basic("a:b"), 400, "invalid_request"},
           {"grant_type=client_credentials&client_secret=s", basic("a:b"), 400, "invalid_request"},
           {"grant_type=client_credentials&client_id=b", basic("a:b"), 401, "invalid_client"},
           {"grant_type=client_credentials", basic("nocolon"), 401, "invalid_client"},
           {"grant_type=client_credentials", {{"Authorization", "Basic %%"}}, 401, "invalid_client"},
           {"grant_type=client_credentials", {{"Authorization", "Bearer sk_test_good"}}, 401, "invalid_client"},
           {"grant_type=client_credentials&client_assertion=a.b.c", {}, 400, "invalid_request"},
           {"grant_type=client_credentials&" + type, {}, 400, "invalid_request"},
           {"grant_type=client_credentials&client_id=key_1&client_secret=wrong", {}, 401, "invalid_client"},
           {"grant_type=client_credentials&client_id=key_1&client_secret=s&scope=unknown", {}, 400, "invalid_scope"},
           {"grant_type=client_credentials%zz", {}, 400, "invalid_request"}}) {
    auto refused = token(one.form, one.fields);
    EXPECT_EQ(refused.status, one.status) << one.form << refused.body;
    EXPECT_EQ(Member(refused, "error"), one.error) << one.form;
    EXPECT_EQ(refused.fields.Get("Cache-Control"), "no-store");
    EXPECT_EQ(refused.fields.Get("WWW-Authenticate").starts_with("Basic"), one.status == 401 && !one.fields.empty());
  }
  EXPECT_EQ(Send({"GET", "/oauth2/token"}).status, 405);
  EXPECT_EQ(Send({"POST", "/oauth2/token", "{}"}).status, 415);
  // Guesses come to an end, whoever they are for. Some fit in meanwhile, so it may take more than the bucket holds.
  http::Response last;
  for (int i = 0; i < 1000 && last.status != 429; ++i)
    last = token("grant_type=client_credentials&client_id=key_1&client_secret=wrong");
  EXPECT_EQ(last.status, 429);
  EXPECT_EQ(Member(last, "code"), "TOO_MANY_ATTEMPTS");
  EXPECT_TRUE(last.fields.Has("Retry-After"));
  last.status = 0;
  for (int i = 0; i < 1000 && last.status != 429; ++i)
    last = Send({"GET", "/v1/me", "", {{"Authorization", "Bearer guess"}}});
  EXPECT_EQ(last.status, 429);
}

TEST_F(GatewayTest, LeadsClientsToTheTokenEndpoint) {
  auto refused = Send({"GET", "/v1/me", "", {}, false});
  EXPECT_EQ(refused.status, 401);
  std::string base = "http://127.0.0.1:" + std::to_string(port_);
  EXPECT_EQ(refused.fields.Get("WWW-Authenticate"),
            "Bearer realm=\"millrace\", resource_metadata=\"" + base + "/.well-known/oauth-protected-resource\"");
  auto resource = Send({"GET", "/.well-known/oauth-protected-resource", "", {}, false});
  EXPECT_EQ(resource.status, 200);
  EXPECT_EQ(Member(resource, "resource"), base);
  auto server = Send({"GET", "/.well-known/oauth-authorization-server", "", {}, false});
  EXPECT_EQ(Member(server, "issuer"), base);
  EXPECT_EQ(Member(server, "token_endpoint"), base + "/oauth2/token");
  for (const char* word : {"private_key_jwt", "EdDSA", "bookings:write", "events:read"})
    EXPECT_NE(server.body.find(word), std::string::npos) << word;
  // The bearer of a token for another purpose, a JWT, is nobody.
  EXPECT_EQ(Send({"GET", "/v1/me", "", {{"Authorization", "Bearer e30.e30.AA"}}}).status, 401);
}

// Every route of the contract asks for the scope of its noun and verb: another one is refused, its own one is not.
TEST_F(GatewayTest, EveryRouteAsksForItsScope) {
  RoutingTable table;
  int asked = 0;
  for (const auto& route : table.routes()) {
    if (route->rules->public_()) continue;
    std::string target;
    for (const auto& segment : route->segments)
      target += "/" + (segment.parameter ? std::string("x") : segment.literal);
    if (!route->verb.empty()) target += ":" + route->verb;
    ASSERT_TRUE(route->scope.ends_with(route->rule.method == "GET" ? ":read" : ":write")) << target;
    Forget({"nothing:write", "*:none", route->rule.method == "GET" ? "nothing:read" : "*:read"});
    auto refused = Send({route->rule.method, target});
    EXPECT_EQ(refused.status, 403) << target;
    EXPECT_EQ(Member(refused, "code"), "INSUFFICIENT_SCOPE") << target;
    EXPECT_NE(refused.body.find(route->scope), std::string::npos) << target;
    if (!channels_.contains(route->service)) continue;
    Forget({route->scope});
    auto passed = Send({route->rule.method, target});
    EXPECT_EQ(passed.body.find(route->scope), std::string::npos) << target << passed.body;
    ++asked;
  }
  EXPECT_GT(asked, 30);
  Forget({"bookings:write"});
  EXPECT_EQ(Member(Send({"GET", "/v1/stream"}), "code"), "INSUFFICIENT_SCOPE");
}

TEST_F(GatewayTest, TellsServicesWhoTheCallerIs) {
  member_ = FormatId("usr", Uuid::New());
  Forget({"me:read"});
  EXPECT_EQ(Send({"GET", "/v1/me"}).status, 200);
  EXPECT_EQ(seen_.member, IdOrNil(member_));
  EXPECT_EQ(seen_.scopes, std::set<std::string>{"me:read"});
}

TEST_F(GatewayTest, AuthenticatesAndForgetsRevokedKeysWithinFiveSeconds) {
  http::Response me = Send({"GET", "/v1/me"});
  EXPECT_EQ(me.status, 200);
  EXPECT_EQ(Member(me, "api_key_id"), "key_1");
  EXPECT_EQ(me.body.find("service"), std::string::npos);
  EXPECT_EQ(me.fields.Get("Cache-Control"), "no-store");
  EXPECT_TRUE(me.fields.Get("Request-Id").starts_with("req_"));
  EXPECT_EQ(me.fields.Get("traceparent").size(), 55u);
  Send({"GET", "/v1/me"});
  EXPECT_EQ(authentications_, 1);
  http::Response none = Send({.method = "GET", .target = "/v1/me", .key = false});
  EXPECT_EQ(none.status, 401);
  EXPECT_TRUE(none.fields.Get("WWW-Authenticate").starts_with("Bearer realm="));
  for (std::string bad :
       {"Bearer", "Bearer ", "Basic sk_test_good", "Bearer sk_test_bad", "Bearer a b", "sk_test_good"}) {
    EXPECT_EQ(Refusal({"GET", "/v1/me", "", {{"Authorization", bad}}}), "401 UNAUTHENTICATED") << bad;
  }
  revoked_ = true;
  auto begin = std::chrono::steady_clock::now();
  while (Send({"GET", "/v1/me"}).status == 200 && std::chrono::steady_clock::now() - begin < 8s)
    std::this_thread::sleep_for(50ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST_F(GatewayTest, CarriesTheContextAndNothingElseFromTheClient) {
  std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  Send({"POST",
        "/v1/sites",
        R"({"display_name":"A",)" + kPlace + "}",
        {{"Idempotency-Key", "\"quoted-key\""},
         {"If-Match", "\"5\""},
         {"traceparent", parent},
         {"X-Organization", "org_other"},
         {"millrace-roles", "service"},
         {"X-Forwarded-For", "1.2.3.4"}}});
  EXPECT_EQ(seen_.idempotency_key, "quoted-key");
  EXPECT_EQ(seen_.if_match, "5");
  EXPECT_EQ(FormatId("org", seen_.organization), organization_);
  EXPECT_EQ(seen_.actor, "key_1");
  EXPECT_FALSE(seen_.IsService());
  EXPECT_TRUE(seen_.organization_verified);
  EXPECT_EQ(seen_.language, Language::kEn);
  EXPECT_EQ(seen_.traceparent.substr(0, 36), parent.substr(0, 36));
  EXPECT_NE(seen_.traceparent, parent);
  EXPECT_TRUE(seen_.headers.empty());
  EXPECT_TRUE(seen_.raw_body.empty());
}

TEST_F(GatewayTest, BodyFieldQueryAndPath) {
  http::Response made = Send({"POST",
                              "/v1/sites?validate_only=true",
                              R"({"display_name":"A",)" + kPlace + "}",
                              {{"Idempotency-Key", "key-number-1"}}});
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_FALSE(made.fields.Has("Location"));
  EXPECT_EQ(made.fields.Get("ETag"), "\"7\"");
  EXPECT_FALSE(made.fields.Has("Idempotent-Replayed"));
  EXPECT_TRUE(validated_only_);
  EXPECT_TRUE(seen_.validate_only);
  http::Response page = Send({"GET", "/v1/organizations?state=PENDING&external_id=%E4%B8%AD+x&page_size=5"});
  EXPECT_EQ(Member(page, "next_page_token"), "5") << page.body;
  EXPECT_NE(page.body.find(R"("state":"PENDING")"), std::string::npos);
  EXPECT_NE(page.body.find(R"("external_id":"中 x")"), std::string::npos);
  http::Response verb = Send({"POST",
                              "/v1/organizations/" + organization_ + "%3Areject",
                              R"({"reason":"r"})",
                              {{"Idempotency-Key", "key-number-2"}}});
  EXPECT_EQ(Member(verb, "state_reason"), "r") << verb.body;
  verb = Send({"POST", "/v1/organizations/" + organization_ + ":reject", "", {{"Idempotency-Key", "key-number-3"}}});
  EXPECT_EQ(verb.status, 200) << verb.body;
}

TEST_F(GatewayTest, RefusesWithProblems) {
  std::string site = R"({"display_name":"A",)" + kPlace + "}";
  std::pair<std::string, std::string> key{"Idempotency-Key", "key-number-1"};
  EXPECT_EQ(Refusal({"GET", "/v1/nothing"}), "404 NO_SUCH_ROUTE");
  EXPECT_NE(
      Send({"POST", "/v1/organizations/org_1:approve", "{}"}).body.find(R"("POST /v1/organizations/{id}:verify")"),
      std::string::npos);
  EXPECT_EQ(Refusal({"GET", "/nothing"}), "404 NO_SUCH_ROUTE");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations/%ff"}), "404 NO_SUCH_ROUTE");
  EXPECT_EQ(Refusal({"DELETE", "/v1/organizations"}), "405 METHOD_NOT_ALLOWED");
  EXPECT_EQ(Send({"DELETE", "/v1/organizations"}).fields.Get("Allow"), "GET, HEAD, POST");
  EXPECT_EQ(Refusal({"POST", "/v1/stream"}), "405 METHOD_NOT_ALLOWED");
  EXPECT_EQ(Refusal({"OPTIONS", "/v1/me"}), "405 METHOD_NOT_ALLOWED");
  EXPECT_EQ(Refusal({"GET", "/v1/me?verbose=1"}), "400 INVALID_QUERY verbose");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?page_size=1&page_size=2"}), "400 INVALID_QUERY page_size");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?external_id=%ff"}), "400 INVALID_QUERY");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?page_size=x"}), "400 WRONG_TYPE page_size");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?page_size=-1"}), "422 OUT_OF_RANGE page_size");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?state=NEW"}), "400 WRONG_TYPE state");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations/bkg_1"}), "400 INVALID_ID id");
  EXPECT_EQ(Refusal({"POST", "/v1/sites?site=1", site, {key}}), "400 INVALID_QUERY site");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", "{", {key}}), "400 INVALID_JSON #");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", "", {key}}), "400 INVALID_JSON #");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", R"({"display_name":"A","nmae":1,)" + kPlace + "}", {key}}),
            "400 UNKNOWN_FIELD #/nmae");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", R"({"id":"sit_9","display_name":"A",)" + kPlace + "}", {key}}),
            "400 OUTPUT_ONLY #/id");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", "{" + kPlace + "}", {key}}), "400 REQUIRED #/display_name");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site}), "400 IDEMPOTENCY_KEY_REQUIRED");
  for (std::string bad : {"short", "\"short\"", "with spaces in it", "\"quo\"ted-key\""}) {
    EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {{"Idempotency-Key", bad}}}), "400 IDEMPOTENCY_KEY_INVALID") << bad;
  }
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {{"Idempotency-Key", std::string(256, 'k')}}}),
            "400 IDEMPOTENCY_KEY_INVALID");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {key, {"If-Match", "W/\"5\""}}}), "412 ETAG_MISMATCH");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {key, {"Content-Type", "application/x-www-form-urlencoded"}}}),
            "415 UNSUPPORTED_MEDIA_TYPE");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", std::string(1024 * 1024 + 1, ' '), {key}}), "413 PAYLOAD_TOO_LARGE");
  std::string reject = "/v1/organizations/" + organization_ + ":reject";
  EXPECT_EQ(Refusal({"POST", reject, R"({"id":")" + organization_ + R"("})", {key}}), "400 UNKNOWN_FIELD #/id");
  EXPECT_EQ(Refusal({"POST", reject + "?reason=x", "", {key}}), "400 INVALID_QUERY reason");
  EXPECT_EQ(Refusal({"POST", reject, R"({"reason":"internal"})", {key}}), "500 INTERNAL");
  EXPECT_EQ(Refusal({"POST", reject, R"({"reason":"throw"})", {key}}), "500 INTERNAL");
  EXPECT_EQ(Refusal({"DELETE", "/v1/api_keys/key_1", "{}"}), "415 UNSUPPORTED_MEDIA_TYPE");
}

TEST_F(GatewayTest, ReplaysEntityTagsAndHead) {
  std::string site = R"({"display_name":"A",)" + kPlace + "}";
  EXPECT_EQ(Send({"POST", "/v1/sites", site, {{"Idempotency-Key", "replayed-key"}}}).fields.Get("Idempotent-Replayed"),
            "true");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {{"Idempotency-Key", "refused-before"}}}), "409 ALREADY_EXISTS");
  std::string path = "/v1/organizations/" + organization_;
  EXPECT_EQ(Send({"GET", path}).fields.Get("ETag"), "\"3\"");
  for (std::string tags : {"\"3\"", "W/\"3\"", "\"1\", \"3\"", "*"}) {
    http::Response response = Send({"GET", path, "", {{"If-None-Match", tags}}});
    EXPECT_EQ(response.status, 304) << tags;
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(response.fields.Get("ETag"), "\"3\"");
  }
  EXPECT_EQ(Send({"GET", path, "", {{"If-None-Match", "\"4\""}}}).status, 200);
  http::Response head = Send({"HEAD", path});
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_NE(head.fields.Get("Content-Length"), "0");
}

TEST_F(GatewayTest, FilesGoInAndOutAsTheyAre) {
  std::string csv(2'000'000, '\xB8');
  http::Response made = Send({"POST",
                              "/v1/imports?publish=true",
                              csv,
                              {{"Content-Type", "text/csv; charset=gb18030"}, {"Idempotency-Key", "key-number-1"}}});
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(file_.content_type(), "text/csv; charset=gb18030");
  EXPECT_EQ(file_.data(), csv);
  EXPECT_TRUE(published_);
  http::Response out = Send({"GET", "/v1/import_template"});
  EXPECT_EQ(out.body, "a,b\r\n");
  EXPECT_EQ(out.fields.Get("Content-Type"), "text/csv; charset=utf-8");
  EXPECT_EQ(out.fields.Get("X-Content-Type-Options"), "nosniff");
}

TEST_F(GatewayTest, RefusesFormsAndEmptyFiles) {
  std::pair<std::string, std::string> key{"Idempotency-Key", "key-number-1"};
  for (const char* type : {"multipart/form-data; boundary=x", "application/x-www-form-urlencoded"}) {
    for (const char* path : {"/v1/imports", "/v1/attachments"}) {
      EXPECT_EQ(Refusal({"POST", path, "a,b", {key, {"Content-Type", type}}}), "415 UNSUPPORTED_MEDIA_TYPE");
    }
  }
  EXPECT_EQ(Refusal({"POST", "/v1/imports", "", {key, {"Content-Type", "text/csv"}}}), "400 REQUIRED #");
}

TEST_F(GatewayTest, LongBodiesAreForKnownCallersAndImportsHaveTime) {
  std::string csv(2'000'000, 'a');
  for (const char* target : {"/v1/imports", "/v1/attachments"}) {
    Sent stranger{"POST", target, csv, {{"Content-Type", "text/csv"}, {"Idempotency-Key", "key-number-1"}}, false};
    EXPECT_EQ(Refusal(stranger), "401 UNAUTHENTICATED");
    EXPECT_EQ(Send(stranger).fields.Get("Connection"), "close");
  }
  EXPECT_EQ(authentications_, 0);
  Send({"POST", "/v1/imports", csv, {{"Content-Type", "text/csv"}, {"Idempotency-Key", "key-number-1"}}});
  EXPECT_EQ(authentications_, 1);
  EXPECT_GT(seen_.deadline, WallNow() + limits::kCallDeadline);
  Send({"GET", "/v1/me"});
  EXPECT_LE(seen_.deadline, WallNow() + limits::kCallDeadline);
}

TEST_F(GatewayTest, SignedNoticesKeepTheirBytes) {
  std::string body = R"({ "notice_id":"n", "kind":"pay_in","transfer_id":"t" })";
  http::Response response = Send({"POST",
                                  "/v1/custodian/notices",
                                  body,
                                  {{"webhook-id", "n"}, {"webhook-timestamp", "1"}, {"webhook-signature", "v1,x"}},
                                  false});
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(seen_.raw_body, body);
  EXPECT_EQ(seen_.headers.at("webhook-signature"), "v1,x");
  EXPECT_TRUE(seen_.organization.IsNil());
  EXPECT_EQ(Refusal({"POST", "/v1/custodian/notices", std::string(5000, ' ')}), "413 PAYLOAD_TOO_LARGE");
}

TEST_F(GatewayTest, StreamsTheFeed) {
  EXPECT_EQ(Refusal({.method = "GET", .target = "/v1/stream", .key = false}), "401 UNAUTHENTICATED");
  EXPECT_EQ(Refusal({"GET", "/v1/stream?limit=5"}), "400 INVALID_QUERY limit");
  EXPECT_EQ(Refusal({"GET", "/v1/stream", "", {{"Last-Event-ID", "nonsense"}}}), "400 INVALID_ID");
  http::Request request{.method = "GET", .target = "/v1/stream"};
  request.fields.Set("Authorization", "Bearer sk_test_good");
  std::string last = FormatId("evt", Uuid::New());
  request.fields.Set("Last-Event-ID", last);
  std::string seen;
  auto response =
      http::FetchBlocking("http://127.0.0.1:" + std::to_string(port_), request, 10s, [&](std::string_view piece) {
        if (seen.empty()) EXPECT_EQ(waited_after_, last);
        seen += piece;
        return seen.find("evt_3") == seen.npos;
      });
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->fields.Get("Content-Type"), "text/event-stream");
  EXPECT_TRUE(seen.starts_with(
      "retry: 3000\n\nid: evt_1\nevent: booking.confirmed\ndata: {\"specversion\":\"\",\"id\":\"evt_1\""))
      << seen;
  EXPECT_NE(seen.find("\n\nid: evt_2\n"), std::string::npos);
}

TEST_F(GatewayTest, AStreamSaysWhereItStandsBeforeItsFirstEvent) {
  auto open = [this](std::string last, const std::string& enough) {
    http::Request request{.method = "GET", .target = "/v1/stream?after_seq=1"};
    request.fields.Set("Authorization", "Bearer sk_test_good");
    request.fields.Set("Last-Event-ID", std::move(last));
    std::string seen;
    auto response =
        http::FetchBlocking("http://127.0.0.1:" + std::to_string(port_), request, 10s, [&](std::string_view piece) {
          seen += piece;
          return seen.find(enough) == seen.npos;
        });
    EXPECT_TRUE(response && response->status == 200);
    return seen;
  };
  // This feed has three events.
  EXPECT_TRUE(open("41", "\n\n").starts_with("retry: 3000\nid: 42\n\n"));
  EXPECT_TRUE(open("2", "evt_3").starts_with("retry: 3000\n\nid: evt_3\n"));
  EXPECT_TRUE(open("", "evt_2").starts_with("retry: 3000\n\nid: evt_2\n"));
  EXPECT_EQ(Refusal({"GET", "/v1/stream", "", {{"Last-Event-ID", "99999999999999999999"}}}), "400 INVALID_ID");
}

TEST_F(GatewayTest, PatchesWhatIsStored) {
  std::string path = "/v1/resources/" + FormatId("res", Uuid::New());
  std::pair<std::string, std::string> key{"Idempotency-Key", "key-number-1"}, tag{"If-Match", "\"4\""};
  std::pair<std::string, std::string> type{"Content-Type", "application/merge-patch+json"};
  http::Response patched = Send({"PATCH", path, R"({"model":"M","etag":"4"})", {key, type, {"If-Match", "*"}}});
  EXPECT_EQ(patched.status, 200) << patched.body;
  EXPECT_EQ(updated_.maker(), "old");
  EXPECT_EQ(updated_.model(), "M");
  EXPECT_EQ(seen_.if_match, "4");
  std::string fingerprint = seen_.fingerprint;
  Send({"PATCH", path, R"( {"etag":"4", "model":"M"} )", {key, type, {"If-Match", "\"3\""}}});
  EXPECT_EQ(seen_.fingerprint, fingerprint);
  EXPECT_EQ(Refusal({"PATCH", path, R"({"model":"M"})", {key, type}}), "428 ETAG_REQUIRED");
  EXPECT_EQ(Refusal({"PATCH", path, R"({"etag":"5"})", {key, type, tag}}), "400 OUTPUT_ONLY #/etag");
  EXPECT_EQ(Refusal({"PATCH", path, R"({"kind":null})", {key, type, tag}}), "400 REQUIRED #/kind");
  EXPECT_EQ(Refusal({"PATCH", "/v1/resources/" + hidden_, "{}", {key, type, tag}}), "404 NOT_FOUND");
  http::Response wrong = Send({"PATCH", path, "{}", {key, tag}});
  EXPECT_EQ(wrong.status, 415);
  EXPECT_EQ(wrong.fields.Get("Accept-Patch"), "application/merge-patch+json");
  int reads = reads_;
  std::string body = R"({"kind":"EQUIPMENT","display_name":{"zh":"x"},"maker":"new")";
  EXPECT_EQ(Send({"PUT", path, body + "}", {key, tag}}).status, 200);
  EXPECT_EQ(reads_, reads);
  EXPECT_EQ(Send({"PUT", path, body + R"(,"etag":"4"})", {key, tag}}).status, 200);
  EXPECT_EQ(reads_, reads + 1);
  EXPECT_EQ(Refusal({"PUT", path, body + R"(,"etag":"5"})", {key, tag}}), "400 OUTPUT_ONLY #/etag");
}

TEST_F(GatewayTest, ExpandsEachObjectOnce) {
  std::string a = FormatId("res", Uuid::New());
  listed_ = {a, hidden_, a, FormatId("res", Uuid::New()), ""};
  http::Response page = Send({"GET", "/v1/listings?page_size=5&expand=resource,resource"});
  EXPECT_EQ(reads_, 3);
  EXPECT_EQ(page.fields.Get("Link"),
            "</v1/listings?page_size=5&expand=resource,resource&page_token=a%2Bb>; rel=\"next\"");
  auto value = http::ParseJson(page.body);
  const auto& entries = value->members.at(0).value.items;
  auto has = [](const http::JsonValue& entry) {
    return std::ranges::any_of(entry.members, [](const auto& member) { return member.name == "resource"; });
  };
  EXPECT_TRUE(has(entries.at(0)) && has(entries[2]) && has(entries[3]));
  EXPECT_FALSE(has(entries[1]) || has(entries[4]));
  listed_.push_back(down_);
  EXPECT_EQ(Refusal({"GET", "/v1/listings?expand=resource"}), "503 UNAVAILABLE");
  EXPECT_EQ(Refusal({"GET", "/v1/listings?expand=owner"}), "400 INVALID_QUERY expand");
  listed_.assign(501, "");
  for (std::string& id : listed_) id = FormatId("res", Uuid::New());
  EXPECT_EQ(Refusal({"GET", "/v1/listings?expand=resource"}), "400 INVALID_QUERY expand");
}

TEST_F(GatewayTest, DryRunsAndWhatIsAccepted) {
  std::string reject = "/v1/organizations/" + organization_ + ":reject";
  std::pair<std::string, std::string> key{"Idempotency-Key", "key-number-1"};
  http::Response dry = Send({"POST", reject + "?validate_only=true", "", {key}});
  EXPECT_EQ(dry.status, 200) << dry.body;
  EXPECT_TRUE(seen_.validate_only);
  http::Response real = Send({"POST", reject + "?validate_only=false", "", {key}});
  EXPECT_FALSE(seen_.validate_only);
  EXPECT_TRUE(real.fields.Get("Idempotency-Key-Expires").ends_with(" GMT"));
  std::string site = R"({"display_name":"A",)" + kPlace + "}";
  EXPECT_EQ(Send({"POST", "/v1/sites", site, {key}}).fields.Get("Location"), "/v1/sites/sit_1");
  EXPECT_EQ(Refusal({"POST", reject + "?validate_only=1", "", {key}}), "400 INVALID_QUERY validate_only");
  EXPECT_EQ(Refusal({"GET", "/v1/me?validate_only=true"}), "400 INVALID_QUERY validate_only");
  EXPECT_EQ(Refusal({"GET", "/v1/me", "", {{"Accept", "text/html"}}}), "406 NOT_ACCEPTABLE");
  EXPECT_EQ(Refusal({"GET", "/v1/import_template", "", {{"Accept", "application/json"}}}), "406 NOT_ACCEPTABLE");
  EXPECT_EQ(Refusal({"GET", "/v1/stream", "", {{"Accept", "application/json"}}}), "406 NOT_ACCEPTABLE");
}

TEST_F(GatewayTest, SaysWhatItIs) {
  EXPECT_EQ(Send({.method = "GET", .target = "/livez", .key = false}).status, 200);
  EXPECT_EQ(Send({.method = "GET", .target = "/readyz", .key = false}).status, 200);
  http::Response index = Send({.method = "GET", .target = "/v1", .key = false});
  EXPECT_TRUE(http::ParseJson(index.body));
  EXPECT_NE(index.body.find("/v1/stream"), std::string::npos);
  http::Response page = Send({.method = "GET", .target = "/problems/booking-conflict", .key = false});
  EXPECT_NE(page.body.find("The slot is taken"), std::string::npos);
  EXPECT_EQ(Refusal({"GET", "/problems/nothing"}), "404 NO_SUCH_ROUTE");
  http::Response docs = Send({.method = "GET", .target = "/docs?lang=zh", .key = false});
  EXPECT_NE(docs.body.find("http://127.0.0.1:" + std::to_string(port_) + "/v1/bookings"), std::string::npos);
}

}  // namespace
}  // namespace millrace::gateway
