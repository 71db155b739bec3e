// SPDX-License-Identifier: Apache-2.0
// The contract of a channel: the same assertions over the local and the gRPC transport, the latter with and without
// certificates.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <thread>

#include "common/rpc/channel.h"
#include "common/rpc/exchange.h"
#include "common/rpc/metadata.h"
#include "common/telemetry/trace.h"
#include "millrace/events/v1/events.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/runtime/v1/runtime.pb.h"
#include "tests/support/loop.h"
#include "tests/support/role_certificates.h"

namespace millrace::rpc {
namespace {

using events::v1::ListEventsRequest;
using events::v1::ListEventsResponse;
using identity::v1::ApiKey;
using identity::v1::CreateApiKeyRequest;
using identity::v1::CreateSiteRequest;
using identity::v1::Organization;
using identity::v1::OrganizationVerbRequest;
using identity::v1::Site;
using runtime::v1::HeadRequest;
using runtime::v1::HeadResponse;
using namespace std::chrono_literals;

constexpr const char* kListEvents = "millrace.events.v1.EventLog.ListEvents";
constexpr const char* kHead = "millrace.runtime.v1.Runtime.Head";
constexpr const char* kFire = "millrace.runtime.v1.Runtime.Fire";
constexpr const char* kCreateSite = "millrace.identity.v1.Identity.CreateSite";
constexpr const char* kReject = "millrace.identity.v1.Identity.RejectOrganization";
constexpr const char* kToken = "an internal secret";

Time Soon(std::chrono::milliseconds after = 5000ms) { return WallNow() + after; }

CallContext Caller() {
  CallContext context;
  context.organization = Uuid::New();
  context.actor = "key_01J9ZK3V6M2E8QW4T7Y1N5R0AB";
  context.roles = {"provider", "buyer"};
  context.organization_verified = true;
  context.request_id = FormatId("req", Uuid::New());
  context.traceparent = telemetry::NewTraceparent();
  context.idempotency_key = "key-of-the-test-1";
  context.deadline = Soon();
  return context;
}

CreateSiteRequest GoodSite() {
  CreateSiteRequest request;
  request.mutable_site()->set_display_name("一号厂房");
  request.mutable_site()->mutable_place()->set_longitude(114.4);
  return request;
}

// A service with small handlers; `seen` is the context of the last call.
struct World {
  explicit World(std::string name) : service(std::move(name)) {
    service.On<HeadRequest, HeadResponse>(
        kHead, [this](CallContext c, HeadRequest r) { return Head(std::move(c), std::move(r)); });
    service.On<ListEventsRequest, ListEventsResponse>(
        kListEvents, [this](CallContext c, ListEventsRequest r) { return ListEvents(std::move(c), std::move(r)); });
    service.On<CreateSiteRequest, Site>(
        kCreateSite, [this](CallContext c, CreateSiteRequest r) { return CreateSite(std::move(c), std::move(r)); });
    service.On<OrganizationVerbRequest, Organization>(
        kReject, [this](CallContext c, OrganizationVerbRequest r) { return Reject(std::move(c), std::move(r)); });
  }
  Task<Result<Organization>> Reject(CallContext context, OrganizationVerbRequest request) {
    seen = context;
    ++rejected;
    Organization organization;
    organization.set_id(request.id());
    co_return organization;
  }
  Task<Result<HeadResponse>> Head(CallContext context, HeadRequest) {
    seen = context;
    HeadResponse response;
    response.set_seq(static_cast<int64_t>(service.name().size()));
    co_return response;
  }
  // after_seq chooses what happens.
  Task<Result<ListEventsResponse>> ListEvents(CallContext, ListEventsRequest request) {
    ++entered;
    if (request.after_seq() == 4) co_return Fail(ErrorCode::kNotFound, {{"id", "\xFF\xFE"}});
    if (request.after_seq() == 1) throw std::runtime_error("disk on fire");
    if (request.after_seq() == 2) {
      co_await Sleep(300ms);
      late = true;
    }
    ListEventsResponse response;
    response.set_head_seq(request.after_seq());
    if (request.after_seq() == 3) response.add_events()->set_payload(std::string(20 * 1024 * 1024, 'x'));
    co_return response;
  }
  Task<Result<Site>> CreateSite(CallContext context, CreateSiteRequest request) {
    seen = context;
    if (request.site().external_id() == "taken") {
      Error error = Error::At("#/site/external_id", ErrorCode::kAlreadyExists, {{"value", "taken 已用"}});
      co_return std::unexpected(std::move(error).With("alternatives", R"([{"start_time":"机"}])"));
    }
    context.reply->replayed = true;
    context.reply->etag = "7";
    co_return request.site();
  }
  Service service;
  CallContext seen;
  bool late = false;
  int entered = 0;  // calls that ListEvents has begun
  int rejected = 0;
};

enum class Transport { kLocal, kGrpc, kTls };

class ChannelTest : public testing::TestWithParam<Transport> {
 protected:
  ChannelTest() : world_("escrow"), other_("credit-two") {
    if (GetParam() == Transport::kLocal) {
      channel_ = LocalChannel(world_.service);
      return;
    }
    access_.token = kToken;
    if (GetParam() == Transport::kTls) {
      certificates_.emplace();
      access_ = certificates_->For({"escrow", "credit-two", "gateway", "test", "t"});
    }
    server_.emplace(loop_.executor(), "127.0.0.1:0", access_);
    server_->Add(other_.service);
    server_->Add(world_.service);
    Result<int> port = server_->Start();
    EXPECT_TRUE(port);
    address_ = "127.0.0.1:" + std::to_string(port.value_or(0));
    channel_ = GrpcChannel(loop_.executor(), address_, access_, "escrow");
  }
  ~ChannelTest() override {
    if (server_) Run(server_->Shutdown(1000ms));
  }

  void Run(Task<void> task) {
    loop_.Start(std::move(task));
    loop_.Run();
  }
  template <class Response, class Request>
  Result<Response> Ask(const char* method, CallContext context, Request request, Channel* channel = nullptr) {
    Result<Response> out = Fail(ErrorCode::kInternal);
    if (channel == nullptr) channel = channel_.get();
    auto ask = [&](CallContext c, Request r) -> Task<void> {
      out = co_await Call<Response>(*channel, method, std::move(c), std::move(r));
    };
    Run(ask(std::move(context), std::move(request)));
    return out;
  }
  template <class Response, class Request>
  Error Refused(const char* method, CallContext context, Request request, Channel* channel = nullptr) {
    Result<Response> answer = Ask<Response>(method, std::move(context), std::move(request), channel);
    EXPECT_FALSE(answer) << method;
    return answer ? Error() : answer.error();
  }

  test::Loop loop_;
  World world_, other_;
  std::optional<test::RoleCertificates> certificates_;
  Access access_;
  std::optional<GrpcServer> server_;
  std::string address_;
  std::unique_ptr<Channel> channel_;
};

TEST_P(ChannelTest, CarriesRequestAndResponse) {
  Result<Site> site = Ask<Site>(kCreateSite, Caller(), GoodSite());
  ASSERT_TRUE(site);
  EXPECT_EQ(site->SerializeAsString(), GoodSite().site().SerializeAsString());
}

TEST_P(ChannelTest, CarriesTheContextAndTheReply) {
  CallContext context = Caller();
  context.if_match = "版本";  // any bytes
  context.validate_only = true;
  context.language = Language::kEn;
  context.headers = {{"webhook-id", "notice 1"}, {"webhook-signature", ""}};
  context.raw_body = std::string("{\0\xFF\n}", 5);
  ASSERT_TRUE(Ask<Site>(kCreateSite, context, GoodSite()));
  const CallContext& seen = world_.seen;
  EXPECT_EQ(seen.organization, context.organization);
  EXPECT_EQ(seen.actor, context.actor);
  EXPECT_EQ(seen.roles, context.roles);
  EXPECT_TRUE(seen.organization_verified);
  EXPECT_EQ(seen.request_id, context.request_id);
  EXPECT_EQ(seen.traceparent, context.traceparent);
  EXPECT_EQ(seen.idempotency_key, context.idempotency_key);
  EXPECT_EQ(seen.if_match, context.if_match);
  EXPECT_TRUE(seen.validate_only);
  EXPECT_EQ(seen.language, Language::kEn);
  EXPECT_EQ(seen.headers, context.headers);
  EXPECT_EQ(seen.raw_body, context.raw_body);
  EXPECT_LT(seen.deadline, context.deadline + 500ms);
  EXPECT_GT(seen.deadline, context.deadline - 2s);
  EXPECT_EQ(seen.fingerprint.size(), 32u);
  EXPECT_TRUE(context.reply->replayed);
  EXPECT_EQ(context.reply->etag, "7");
}

TEST_P(ChannelTest, CarriesTheWholeError) {
  CreateSiteRequest request = GoodSite();
  request.mutable_site()->set_external_id("taken");
  Error error = Refused<Site>(kCreateSite, Caller(), request);
  EXPECT_EQ(error.code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(error.params.at("value"), "taken 已用");
  ASSERT_EQ(error.violations.size(), 1u);
  EXPECT_EQ(error.violations[0].pointer, "#/site/external_id");
  EXPECT_EQ(error.violations[0].code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(error.violations[0].params.at("field"), "external_id");
  EXPECT_EQ(error.extensions.at("alternatives"), R"([{"start_time":"机"}])");
}

TEST_P(ChannelTest, ReportsAllViolations) {
  CreateSiteRequest request;
  Site& site = *request.mutable_site();
  site.set_id("sit_x");
  site.set_region_code("a");
  Error error = Refused<Site>(kCreateSite, Caller(), request);
  EXPECT_EQ(error.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(error.params.at("count"), "4");
  ASSERT_EQ(error.violations.size(), 4u);
  EXPECT_EQ(error.violations[0].code, ErrorCode::kOutputOnly);
  EXPECT_EQ(error.violations[1].pointer, "#/site/display_name");
  EXPECT_EQ(error.violations[2].pointer, "#/site/place");
  EXPECT_EQ(error.violations[3].code, ErrorCode::kInvalidFormat);
}

TEST_P(ChannelTest, CarriesManyLongViolations) {
  CreateApiKeyRequest request;  // this service has no such method: rules come first, so the route does
  identity::v1::CreateOrganizationRequest organization;
  Error error = Refused<ApiKey>("millrace.identity.v1.Identity.CreateApiKey", Caller(), request);
  EXPECT_EQ(error.code, ErrorCode::kNoSuchRoute);
  CreateSiteRequest site = GoodSite();
  site.mutable_site()->set_external_id("taken");
  site.mutable_site()->set_display_name(std::string(200, 'n'));
  EXPECT_EQ(Refused<Site>(kCreateSite, Caller(), site).code, ErrorCode::kAlreadyExists);
}

TEST_P(ChannelTest, EndsAtTheDeadline) {
  // The first call makes the connection, which may take longer than the deadline below.
  ASSERT_TRUE(Ask<HeadResponse>(kHead, CallContext::ForService("test"), HeadRequest()));
  ListEventsRequest request;
  request.set_after_seq(2);
  CallContext context = CallContext::ForService("test");
  context.deadline = Soon(100ms);
  Error error;
  Time started = WallNow(), ended;
  bool late_then = true;
  auto ask = [&](CallContext c, ListEventsRequest r) -> Task<void> {
    Result<ListEventsResponse> answer =
        co_await Call<ListEventsResponse>(*channel_, kListEvents, std::move(c), std::move(r));
    if (!answer) error = answer.error();
    ended = WallNow();
    late_then = world_.late;
    co_await Sleep(400ms);  // the handler goes on to its end
  };
  Run(ask(context, request));
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_GE(ended - started, 95ms);
  EXPECT_FALSE(late_then);
  EXPECT_TRUE(world_.late);
  context.deadline = WallNow() - 1s;
  EXPECT_EQ(Refused<ListEventsResponse>(kListEvents, context, request).code, ErrorCode::kDeadlineExceeded);
}

TEST_P(ChannelTest, ACallWithoutDeadlineIsAnswered) {
  CallContext context = CallContext::ForService("test");
  context.deadline = Time::max();
  ASSERT_TRUE(Ask<HeadResponse>(kHead, context, HeadRequest()));
  EXPECT_EQ(world_.seen.deadline, Time::max());
}

TEST_P(ChannelTest, AnExceptionIsInternalAndItsCauseStaysInside) {
  ListEventsRequest request;
  request.set_after_seq(1);
  Error error = Refused<ListEventsResponse>(kListEvents, CallContext::ForService("test"), request);
  EXPECT_EQ(error.code, ErrorCode::kInternal);
  EXPECT_TRUE(error.params.empty());
}

TEST_P(ChannelTest, LargeAnswersPass) {
  ListEventsRequest request;
  request.set_after_seq(3);
  CallContext context = CallContext::ForService("test");
  context.deadline = Soon(60s);
  Result<ListEventsResponse> answer = Ask<ListEventsResponse>(kListEvents, context, request);
  ASSERT_TRUE(answer) << Name(answer.error().code) << " " << answer.error().cause;
  EXPECT_EQ(answer->events(0).payload().size(), 20u * 1024 * 1024);
}

TEST_P(ChannelTest, AMethodWithoutHandlerIsNoRoute) {
  Error error = Refused<runtime::v1::FireResponse>(kFire, CallContext::ForService("test"), runtime::v1::FireRequest());
  EXPECT_EQ(error.code, ErrorCode::kNoSuchRoute);
  EXPECT_EQ(error.params.at("path"), kFire);
}

TEST_P(ChannelTest, TheMethodsRulesComeFirst) {
  auto code = [&](auto change) {
    CallContext context = Caller();
    change(context);
    return Refused<Site>(kCreateSite, context, CreateSiteRequest()).code;
  };
  EXPECT_EQ(code([](CallContext& c) { c.organization = {}; }), ErrorCode::kUnauthenticated);
  EXPECT_EQ(code([](CallContext& c) { c.roles = {"regulator"}; }), ErrorCode::kInsufficientScope);
  EXPECT_EQ(code([](CallContext& c) { c.roles = {}; }), ErrorCode::kInsufficientScope);
  EXPECT_EQ(code([](CallContext& c) { c.idempotency_key.clear(); }), ErrorCode::kIdempotencyKeyRequired);
  EXPECT_EQ(code([](CallContext& c) { c.idempotency_key = "short"; }), ErrorCode::kIdempotencyKeyInvalid);
  EXPECT_EQ(code([](CallContext& c) { c.idempotency_key = "has a blank"; }), ErrorCode::kIdempotencyKeyInvalid);
  EXPECT_EQ(code([](CallContext& c) { c.idempotency_key = std::string(256, 'k'); }), ErrorCode::kIdempotencyKeyInvalid);
  EXPECT_EQ(code([](CallContext&) {}), ErrorCode::kRequired);
  EXPECT_EQ(Refused<HeadResponse>(kHead, Caller(), HeadRequest()).code, ErrorCode::kInsufficientScope);
}

TEST_P(ChannelTest, TheFingerprintFollowsTheContent) {
  auto fingerprint = [&](CreateSiteRequest request) {
    EXPECT_TRUE(Ask<Site>(kCreateSite, Caller(), std::move(request)));
    return world_.seen.fingerprint;
  };
  std::string first = fingerprint(GoodSite());
  EXPECT_EQ(fingerprint(GoodSite()), first);
  CreateSiteRequest other = GoodSite();
  other.mutable_site()->set_display_name("二号厂房");
  EXPECT_NE(fingerprint(other), first);
}

TEST_P(ChannelTest, ACommandOfTwoPersonsRunsUnderItsApprovalAlone) {
  OrganizationVerbRequest request;
  request.set_id(FormatId("org", Uuid::New()));
  request.set_reason("a shell company");
  std::string approval = FormatId("apr", Uuid::New());
  auto officer = [&] {
    CallContext context = Caller();
    context.roles = {"operator"};
    context.member = Uuid::New();
    context.idempotency_key = approval;
    return context;
  };
  auto code = [&](CallContext context) {
    Result<Organization> answer = Ask<Organization>(kReject, std::move(context), request);
    return answer ? ErrorCode::kInternal : answer.error().code;
  };
  // Nobody to ask: it does not run.
  EXPECT_EQ(code(officer()), ErrorCode::kUnavailable);

  std::vector<ApprovalUse> asked;
  Result<void> says;
  world_.service.CheckApprovalsBy([&](ApprovalUse use) -> Task<Result<void>> {
    asked.push_back(std::move(use));
    Result<void> answer = says;
    co_return answer;
  });
  for (ErrorCode refusal : {ErrorCode::kApprovalMismatch, ErrorCode::kApprovalNotGiven, ErrorCode::kApprovalExpired,
                            ErrorCode::kUnavailable}) {
    says = Fail(refusal);
    EXPECT_EQ(code(officer()), refusal);
  }
  says = Fail(ErrorCode::kNotFound);
  EXPECT_EQ(code(officer()), ErrorCode::kApprovalRequired) << "the object is there; the approval is not";
  asked.clear();
  says = {};
  CallContext plain_key = officer(), nobody = officer(), other_prefix = officer(), buyer = officer();
  plain_key.idempotency_key = "key-of-the-test-1";
  Error required = Refused<Organization>(kReject, plain_key, request);
  EXPECT_EQ(required.code, ErrorCode::kApprovalRequired);
  EXPECT_EQ(required.params.at("method"), kReject);
  other_prefix.idempotency_key = FormatId("bkg", Uuid::New());
  EXPECT_EQ(code(other_prefix), ErrorCode::kApprovalRequired);
  plain_key.validate_only = true;
  EXPECT_EQ(code(plain_key), ErrorCode::kApprovalRequired) << "a check answers as if it were done";
  nobody.member = {};
  EXPECT_EQ(code(nobody), ErrorCode::kMemberRequired);
  buyer.roles = {"buyer"};
  EXPECT_EQ(code(buyer), ErrorCode::kInsufficientScope);
  OrganizationVerbRequest good = request;
  request.set_id("org_x");
  EXPECT_EQ(code(officer()), ErrorCode::kInvalidId) << "what cannot run is not asked about";
  request = good;
  EXPECT_TRUE(asked.empty());
  EXPECT_EQ(world_.rejected, 0);

  CallContext context = officer();
  ASSERT_TRUE(Ask<Organization>(kReject, context, request));
  EXPECT_EQ(world_.rejected, 1);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].approval, approval);
  EXPECT_EQ(asked[0].method, kReject);
  EXPECT_EQ(asked[0].organization, context.organization);
  EXPECT_EQ(asked[0].member, context.member);
  EXPECT_EQ(asked[0].fingerprint, Fingerprint(FindMethod(kReject), request));
  EXPECT_EQ(asked[0].fingerprint, world_.seen.fingerprint);
  EXPECT_LE(asked[0].deadline, context.deadline + 500ms);
  events::v1::Act act;
  ASSERT_TRUE(act.ParseFromString(world_.seen.act));
  EXPECT_EQ(act.approval_id(), approval);
  // Whatever a key stands for, an approval stands for the content.
  context.headers[std::string(kFingerprintHeader)] = "something else";
  ASSERT_TRUE(Ask<Organization>(kReject, context, request));
  EXPECT_EQ(asked[1].fingerprint, asked[0].fingerprint);
  EXPECT_NE(world_.seen.fingerprint, asked[0].fingerprint);
  request.set_reason("another reason");
  ASSERT_TRUE(Ask<Organization>(kReject, officer(), request));
  EXPECT_NE(asked[2].fingerprint, asked[0].fingerprint);

  // An operator's other commands need none, and their acts name none.
  CallContext operators = Caller();
  operators.roles = {"operator"};
  ASSERT_TRUE(Ask<Site>(kCreateSite, operators, GoodSite()));
  ASSERT_TRUE(act.ParseFromString(world_.seen.act));
  EXPECT_EQ(act.approval_id(), "");
  EXPECT_EQ(asked.size(), 3u);
}

TEST(ReadableJson, ShowsNoSecretAndNoHalfCharacter) {
  identity::v1::IssueTokenRequest request;
  request.set_client_id("key_1");
  request.set_client_secret("sk_test_x");
  EXPECT_EQ(ReadableJson(request), R"({"client_id":"key_1"})");
  OrganizationVerbRequest wide;
  for (int i = 0; i < 3000; ++i) *wide.mutable_reason() += "整";
  events::v1::Act act;
  act.set_method("m");
  std::string bytes = act.SerializeAsString();
  ShowInAct(wide, &bytes);
  ASSERT_TRUE(act.ParseFromString(bytes));
  EXPECT_EQ(act.method(), "m");
  EXPECT_LE(act.request().size(), 4096u);
  EXPECT_GT(act.request().size(), 4090u);
  EXPECT_EQ(static_cast<unsigned char>(act.request().back()), static_cast<unsigned char>(std::string("整").back()));
}

std::string NameOf(const testing::TestParamInfo<Transport>& info) {
  return info.param == Transport::kLocal ? "Local" : info.param == Transport::kGrpc ? "Grpc" : "Tls";
}

INSTANTIATE_TEST_SUITE_P(Transports, ChannelTest, testing::Values(Transport::kLocal, Transport::kGrpc, Transport::kTls),
                         NameOf);

class GrpcTest : public ChannelTest {};

// Over plaintext it is all that tells a caller from a stranger; certificates stand in its place.
TEST_P(GrpcTest, AWrongTokenIsRefusedWhereThereAreNoCertificates) {
  for (const char* token : {"another secret", ""}) {
    access_.token = token;
    auto channel = GrpcChannel(loop_.executor(), address_, access_, "escrow");
    Result<HeadResponse> answer =
        Ask<HeadResponse>(kHead, CallContext::ForService("test"), HeadRequest(), channel.get());
    EXPECT_EQ(answer.has_value(), GetParam() == Transport::kTls);
    if (!answer) EXPECT_EQ(answer.error().code, ErrorCode::kUnauthenticated);
  }
}

TEST_P(GrpcTest, OneProcessServesSeveralServices) {
  EXPECT_EQ(Ask<HeadResponse>(kHead, CallContext::ForService("t"), HeadRequest())->seq(), 6);
  auto other = GrpcChannel(loop_.executor(), address_, access_, "credit-two");
  EXPECT_EQ(Ask<HeadResponse>(kHead, CallContext::ForService("t"), HeadRequest(), other.get())->seq(), 10);
  auto none = GrpcChannel(loop_.executor(), address_, access_, "gateway");
  EXPECT_EQ(Refused<HeadResponse>(kHead, CallContext::ForService("t"), HeadRequest(), none.get()).code,
            ErrorCode::kNoSuchRoute);
}

TEST_P(GrpcTest, AnUnreachableServiceIsUnavailable) {
  auto nobody = GrpcChannel(loop_.executor(), "127.0.0.1:1", access_, "escrow");
  Error error = Refused<HeadResponse>(kHead, CallContext::ForService("test"), HeadRequest(), nobody.get());
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
}

TEST_P(GrpcTest, ATakenPortIsRefused) {
  GrpcServer second(loop_.executor(), address_, access_);
  Result<int> port = second.Start();
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().cause.find(address_), std::string::npos);
}

TEST_P(GrpcTest, ShutdownLetsCallsFinish) {
  ListEventsRequest request;
  request.set_after_seq(2);
  Result<ListEventsResponse> answer = Fail(ErrorCode::kInternal);
  auto ask = [&](CallContext c, ListEventsRequest r) -> Task<void> {
    answer = co_await Call<ListEventsResponse>(*channel_, kListEvents, std::move(c), std::move(r));
  };
  auto stop = [&]() -> Task<void> {
    for (Time end = Soon(30s); world_.entered == 0 && WallNow() < end;) co_await Sleep(1ms);
    co_await server_->Shutdown(20000ms);
  };
  loop_.Start(ask(CallContext::ForService("test"), request));
  Run(stop());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->head_seq(), 2);
  EXPECT_EQ(Refused<HeadResponse>(kHead, CallContext::ForService("test"), HeadRequest()).code, ErrorCode::kUnavailable);
}

TEST_P(GrpcTest, ShutdownEndsWhatOutlivesItsGrace) {
  ListEventsRequest request;
  request.set_after_seq(2);
  Error error;
  auto ask = [&](CallContext c, ListEventsRequest r) -> Task<void> {
    Result<ListEventsResponse> answer =
        co_await Call<ListEventsResponse>(*channel_, kListEvents, std::move(c), std::move(r));
    if (!answer) error = answer.error();
  };
  auto stop = [&]() -> Task<void> {
    for (Time end = Soon(30s); world_.entered == 0 && WallNow() < end;) co_await Sleep(1ms);
    co_await server_->Shutdown(50ms);
    EXPECT_FALSE(world_.late);
  };
  loop_.Start(ask(CallContext::ForService("test"), request));
  Run(stop());
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_TRUE(world_.late);
}

// Calls share messages: what one of them carries must not make the message unreadable.
TEST_P(GrpcTest, AnyBytesHarmNobodyElse) {
  CallContext wild = CallContext::ForService("test");
  if (GetParam() == Transport::kGrpc) wild.actor = "\xFF";  // a certificate vouches for the actor
  wild.scopes = {"\xC0:read"};
  wild.request_id = "\x80";
  wild.traceparent = "00-\xFE";
  wild.idempotency_key = std::string("key\0\xFF\xFE", 6);
  wild.headers = {{"webhook-signature", "\xFF"}};
  ListEventsRequest request;
  request.set_after_seq(4);
  std::vector<Result<ListEventsResponse>> answers;
  auto ask = [&](CallContext c, ListEventsRequest r) -> Task<void> {
    Result<ListEventsResponse> answer =
        co_await Call<ListEventsResponse>(*channel_, kListEvents, std::move(c), std::move(r));
    answers.push_back(std::move(answer));
  };
  for (int i = 0; i < 4; ++i) {
    if (i == 1) loop_.Start(ask(wild, request));  // its error is wild too
    loop_.Start(ask(CallContext::ForService("test"), ListEventsRequest()));
  }
  Result<HeadResponse> head = Fail(ErrorCode::kInternal);
  auto look = [&](CallContext c) -> Task<void> {
    head = co_await Call<HeadResponse>(*channel_, kHead, std::move(c), HeadRequest());
  };
  Run(look(wild));
  ASSERT_EQ(answers.size(), 5u);
  EXPECT_EQ(std::ranges::count_if(answers, [](const auto& each) { return each.has_value(); }), 4);
  for (const auto& each : answers) {
    if (!each) EXPECT_EQ(each.error().code, ErrorCode::kInternal);
  }
  ASSERT_TRUE(head);
  EXPECT_EQ(world_.seen.actor, wild.actor);
  EXPECT_EQ(world_.seen.scopes, wild.scopes);
  EXPECT_EQ(world_.seen.idempotency_key, wild.idempotency_key);
  EXPECT_EQ(world_.seen.headers, wild.headers);
}

// Nobody waits for it any more.
TEST_P(GrpcTest, ACallThatIsTakenUpAfterItsDeadlineIsNotServed) {
  ASSERT_TRUE(Ask<HeadResponse>(kHead, CallContext::ForService("test"), HeadRequest()));
  Error error;
  auto ask = [&](CallContext c) -> Task<void> {
    Result<ListEventsResponse> answer =
        co_await Call<ListEventsResponse>(*channel_, kListEvents, std::move(c), ListEventsRequest());
    if (!answer) error = answer.error();
  };
  auto busy = [&]() -> Task<void> {
    CallContext context = CallContext::ForService("test");
    context.deadline = Soon(5ms);
    loop_.Start(ask(std::move(context)));
    std::this_thread::sleep_for(30ms);  // the loop has no time to send it, or none to take it up
    co_await Sleep(100ms);
  };
  Run(busy());
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(world_.entered, 0);
}

TEST_P(GrpcTest, AChannelThatGoesEndsItsCalls) {
  ListEventsRequest request;
  request.set_after_seq(2);
  Error error;
  auto ask = [&](CallContext c, ListEventsRequest r) -> Task<void> {
    Result<ListEventsResponse> answer =
        co_await Call<ListEventsResponse>(*channel_, kListEvents, std::move(c), std::move(r));
    if (!answer) error = answer.error();
  };
  auto go = [&]() -> Task<void> {
    for (Time end = Soon(30s); world_.entered == 0 && WallNow() < end;) co_await Sleep(1ms);
    channel_.reset();
  };
  loop_.Start(ask(CallContext::ForService("test"), request));
  Run(go());
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
}

TEST_P(GrpcTest, AChannelToAMutePeerEndsAtOnce) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);  // it takes connections and never says a word
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof where;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&where), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size), 0);
  auto mute = GrpcChannel(loop_.executor(), "127.0.0.1:" + std::to_string(ntohs(where.sin_port)), access_, "escrow");
  CallContext context = CallContext::ForService("test");
  context.deadline = Soon(100ms);
  Error error = Refused<HeadResponse>(kHead, context, HeadRequest(), mute.get());
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  Time begin = WallNow();
  mute.reset();
  EXPECT_LT(WallNow() - begin, 2s);
  close(listener);
}

TEST_P(GrpcTest, ShutdownEndsThoughCallsKeepComing) {
  bool stopped = false;
  auto ask = [&]() -> Task<void> {
    while (!stopped) {
      CallContext context = CallContext::ForService("test");
      context.deadline = Soon(30s);
      Result<HeadResponse> answer = co_await Call<HeadResponse>(*channel_, kHead, std::move(context), HeadRequest());
      if (!answer) EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
    }
  };
  Duration took{};
  auto stop = [&]() -> Task<void> {
    co_await Sleep(50ms);
    Time begin = WallNow();
    co_await server_->Shutdown(20000ms);
    took = WallNow() - begin;
    stopped = true;
  };
  for (int i = 0; i < 64; ++i) loop_.Start(ask());
  Run(stop());
  EXPECT_LT(took, 10s);
}

TEST_P(GrpcTest, EveryCallEndsWhileItsServerComesAndGoes) {
  std::mt19937 random(20261201);
  auto below = [&](int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); };
  bool stopped = false;
  int good = 0, begun = 0, ended = 0;
  auto ask = [&]() -> Task<void> {
    while (!stopped) {
      CallContext context = CallContext::ForService("test");
      context.deadline = Soon(std::chrono::milliseconds(below(60)));
      ListEventsRequest request;
      if (below(8) == 0) request.set_after_seq(2);
      ++begun;
      Result<ListEventsResponse> answer =
          co_await Call<ListEventsResponse>(*channel_, kListEvents, std::move(context), std::move(request));
      ++ended;
      if (answer) ++good;
      ErrorCode code = answer ? ErrorCode::kUnavailable : answer.error().code;
      EXPECT_TRUE(code == ErrorCode::kUnavailable || code == ErrorCode::kDeadlineExceeded) << Name(code);
      if (!answer) co_await Sleep(std::chrono::milliseconds(below(5)));
    }
  };
  auto restart = [&]() -> Task<void> {
    for (int round = 0; round < 6; ++round) {
      co_await Sleep(std::chrono::milliseconds(below(150)));
      co_await server_->Shutdown(std::chrono::milliseconds(below(3) * 50));
      server_.emplace(loop_.executor(), address_, access_);
      server_->Add(world_.service);
      EXPECT_TRUE(server_->Start());
      if (round == 3) channel_ = GrpcChannel(loop_.executor(), address_, access_, "escrow");  // with calls in flight
    }
    co_await Sleep(200ms);
    stopped = true;
  };
  for (int i = 0; i < 48; ++i) loop_.Start(ask());
  Run(restart());
  EXPECT_EQ(begun, ended);
  EXPECT_GT(good, 0);
  bool back = false;
  for (Time end = Soon(20s); !back && WallNow() < end;) {
    CallContext context = CallContext::ForService("test");
    context.deadline = Soon(1s);
    back = Ask<HeadResponse>(kHead, context, HeadRequest()).has_value();
    if (!back) std::this_thread::sleep_for(10ms);
  }
  EXPECT_TRUE(back);
}

TEST(Outbox, ExactlyOneSideEndsIt) {
  Outbox<runtime::v1::Answers, runtime::v1::IncomingAnswer> outbox(&runtime::v1::Answers::mutable_answers);
  EXPECT_TRUE(outbox.Add({}));
  EXPECT_FALSE(outbox.Add({}));
  bool closed = true;
  EXPECT_EQ(outbox.Next(false, &closed)->answers_size(), 2);
  EXPECT_FALSE(outbox.Next(false, &closed));  // whoever wrote leaves with this
  EXPECT_TRUE(outbox.Close());                // so whoever closes ends it
  EXPECT_FALSE(closed);
  Outbox<runtime::v1::Answers, runtime::v1::IncomingAnswer> other(&runtime::v1::Answers::mutable_answers);
  EXPECT_TRUE(other.Add({}));
  EXPECT_FALSE(other.Close());
  EXPECT_FALSE(other.Next(false, &closed));
  EXPECT_TRUE(closed);
}

TEST(Outbox, WhatIsRemovedDoesNotLeave) {
  Outbox<runtime::v1::Calls, runtime::v1::OutgoingCall> outbox(&runtime::v1::Calls::mutable_calls);
  for (int64_t id : {1, 2, 4}) {
    runtime::v1::OutgoingCall call;
    call.set_id(id);
    outbox.Add(std::move(call));
  }
  for (int64_t id : {2, 3, 5}) outbox.Remove(id);
  std::optional<runtime::v1::Calls> calls = outbox.Next();
  ASSERT_TRUE(calls);
  ASSERT_EQ(calls->calls_size(), 2);
  EXPECT_EQ(calls->calls(1).id(), 4);
  outbox.Remove(4);
  EXPECT_FALSE(outbox.Next());
}

INSTANTIATE_TEST_SUITE_P(Transports, GrpcTest, testing::Values(Transport::kGrpc, Transport::kTls), NameOf);

}  // namespace
}  // namespace millrace::rpc
