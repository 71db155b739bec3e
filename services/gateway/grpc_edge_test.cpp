// SPDX-License-Identifier: Apache-2.0
// The gateway's gRPC over loopback, with services of the test's own behind local channels.
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "common/base/limits.h"
#include "common/rpc/edge_client.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "millrace/runtime/v1/runtime.pb.h"
#include "services/gateway/contract.h"
#include "services/gateway/gateway_world.h"
#include "services/gateway/routes.h"
#include "tests/support/role_certificates.h"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;
namespace id = identity::v1;
namespace reflect = grpc::reflection::v1alpha;

constexpr int kDeadlineExceeded = 4, kPermissionDenied = 7, kUnavailable = 14, kResourceExhausted = 8,
              kUnimplemented = 12, kInvalidArgument = 3, kInternal = 13, kUnauthenticated = 16;
const std::string kIdentity = "/millrace.identity.v1.Identity/";
const std::vector<rpc::MetadataPair> kKey = {{"authorization", "Bearer sk_test_good"}};
const std::vector<std::string> kServices = {"identity", "listing", "matching",     "operations",
                                            "escrow",   "credit",  "notifications"};

class GrpcEdgeTest : public GatewayWorld {
 protected:
  GrpcEdgeTest() : GatewayWorld(kServices) {
    settings_.Set("grpc_address", "127.0.0.1:0", "test");
    Register();
  }
  void SetUp() override {
    GatewayWorld::SetUp();
    ASSERT_NE(gateway_->grpc_port(), 0);
    client_ = std::make_unique<rpc::EdgeClient>("127.0.0.1:" + std::to_string(gateway_->grpc_port()));
  }
  void TearDown() override {
    client_.reset();
    GatewayWorld::TearDown();
  }
  void Register() {
    for (const std::string& name : kServices) {
      services_[name]->On<runtime::v1::NextDueRequest, runtime::v1::NextDueResponse>(
          "millrace.runtime.v1.Runtime.NextDue",
          [](CallContext, runtime::v1::NextDueRequest) -> Task<Result<runtime::v1::NextDueResponse>> {
            co_return runtime::v1::NextDueResponse();
          });
    }
    services_["identity"]->On<id::AuthenticateRequest, id::AuthenticateResponse>(
        "millrace.identity.v1.Identity.Authenticate",
        [this](CallContext, id::AuthenticateRequest request) -> Task<Result<id::AuthenticateResponse>> {
          bool scoped = request.token() == "sk_test_scoped";
          if (request.token() != "sk_test_good" && !scoped) co_return Fail(ErrorCode::kUnauthenticated);
          id::AuthenticateResponse caller;
          if (scoped) caller.add_scopes("bookings:read");
          caller.set_organization_id(organization_);
          caller.set_api_key_id("key_1");
          for (const char* role : {"provider", "service"}) caller.add_roles(role);
          caller.set_verified(true);
          co_return caller;
        });
    On<id::GetMeRequest, id::Me>("identity", "millrace.identity.v1.Identity.GetMe",
                                 [](const CallContext& context, const auto&) -> Result<id::Me> {
                                   id::Me me;
                                   me.mutable_organization()->set_id(FormatId("org", context.organization));
                                   return me;
                                 });
    On<id::GetOrganizationRequest, id::Organization>("identity", "millrace.identity.v1.Identity.GetOrganization",
                                                     [](const CallContext&, const auto&) -> Result<id::Organization> {
                                                       return Fail(Error::Internal("SELECT secret"));
                                                     });
    On<id::CreateSiteRequest, id::Site>(
        "identity", "millrace.identity.v1.Identity.CreateSite",
        [](const CallContext& context, const id::CreateSiteRequest& request) -> Result<id::Site> {
          context.reply->etag = "7";
          context.reply->replayed = context.idempotency_key == "replayed-key";
          return request.site();
        });
  }

  rpc::EdgeReply Call(const std::string& method, const google::protobuf::Message& request,
                      std::vector<rpc::MetadataPair> metadata = kKey, std::chrono::milliseconds timeout = 30s) {
    return client_->Call(kIdentity + method, request.SerializeAsString(), metadata, timeout);
  }
  static id::CreateSiteRequest GoodSite() {
    id::CreateSiteRequest request;
    request.mutable_site()->set_display_name("一号厂房");
    request.mutable_site()->mutable_place()->set_longitude(114.4);
    return request;
  }
  reflect::ServerReflectionResponse Reflect(const reflect::ServerReflectionRequest& request,
                                            const std::string& version = "v1alpha") {
    auto answers = client_->Converse("/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo",
                                     {request.SerializeAsString()});
    reflect::ServerReflectionResponse response;
    EXPECT_EQ(answers.size(), 1u);
    if (!answers.empty()) EXPECT_TRUE(response.ParseFromString(answers[0]));
    return response;
  }
  // 1 is SERVING, 2 NOT_SERVING of grpc.health.v1; 0: the call failed.
  int Health(const std::string& service) {
    std::string request = service.empty() ? "" : std::string("\n") + static_cast<char>(service.size()) + service;
    rpc::EdgeReply reply = client_->Call("/grpc.health.v1.Health/Check", request);
    return reply.ok() && reply.message.size() == 2 ? reply.message[1] : 0;
  }

  std::unique_ptr<rpc::EdgeClient> client_;
};

// The details of a status by type.
template <class T>
std::optional<T> DetailOf(const rpc::WireStatus& status) {
  google::rpc::Status carried;
  if (!carried.ParseFromString(status.details)) return std::nullopt;
  for (const auto& any : carried.details()) {
    T detail;
    if (any.Is<T>() && any.UnpackTo(&detail)) return detail;
  }
  return std::nullopt;
}

TEST_F(GrpcEdgeTest, AnswersAKnownCaller) {
  rpc::EdgeReply reply = Call("GetMe", id::GetMeRequest());
  ASSERT_TRUE(reply.ok()) << reply.status.message;
  id::Me me;
  ASSERT_TRUE(me.ParseFromString(reply.message));
  EXPECT_EQ(me.organization().id(), organization_);
  EXPECT_TRUE(reply.Trailer("request-id").starts_with("req_"));
  EXPECT_FALSE(seen_.Has("service")) << "no key makes its bearer a service";
}

TEST_F(GrpcEdgeTest, RefusesStrangersAndForgedContexts) {
  EXPECT_EQ(Call("GetMe", id::GetMeRequest(), {}).status.code, kUnauthenticated);
  EXPECT_EQ(Call("GetMe", id::GetMeRequest(), {{"authorization", "Bearer sk_test_bad"}}).status.code, kUnauthenticated);
  // What services write between each other means nothing here.
  std::vector<rpc::MetadataPair> forged = {{"millrace-organization", organization_},
                                           {"millrace-roles", "operator,service"},
                                           {"millrace-actor", "service:gateway"},
                                           {"millrace-verified", "1"}};
  EXPECT_EQ(Call("GetMe", id::GetMeRequest(), forged).status.code, kUnauthenticated);
  forged.insert(forged.end(), kKey.begin(), kKey.end());
  EXPECT_TRUE(Call("GetMe", id::GetMeRequest(), forged).ok());
  EXPECT_EQ(seen_.roles, (std::set<std::string>{"provider"}));
}

TEST_F(GrpcEdgeTest, ScopesHoldHereToo) {
  const std::vector<rpc::MetadataPair> scoped = {{"authorization", "Bearer sk_test_scoped"}};
  rpc::EdgeReply reply = Call("GetMe", id::GetMeRequest(), scoped);
  EXPECT_EQ(reply.status.code, kPermissionDenied);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(reply.status)->reason(), "INSUFFICIENT_SCOPE");
}

// HTTP and gRPC share one quota.
class GrpcEdgeQuotaTest : public GrpcEdgeTest {
 protected:
  GrpcEdgeQuotaTest() {
    settings_.Set("rate_limit_requests", "3", "test");
    settings_.Set("rate_limit_window", "3600", "test");
  }
};

TEST_F(GrpcEdgeQuotaTest, AKeysQuotaEnds) {
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Call("GetMe", id::GetMeRequest()).ok());
  rpc::EdgeReply reply = Call("GetMe", id::GetMeRequest());
  EXPECT_EQ(reply.status.code, kResourceExhausted);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(reply.status)->reason(), "RATE_LIMITED");
  EXPECT_TRUE(DetailOf<google::rpc::RetryInfo>(reply.status)->has_retry_delay());
}

// With a certificate there is no plain way in.
class GrpcEdgeTlsTest : public GrpcEdgeTest {
 protected:
  GrpcEdgeTlsTest() {
    rpc::Access access = certificates_.For({"gateway"});
    settings_.Set("tls_certificate", access.certificate, "test");
    settings_.Set("tls_key", access.key, "test");
  }
  test::RoleCertificates certificates_;
};

TEST_F(GrpcEdgeTlsTest, SpeaksTlsAlone) {
  EXPECT_EQ(Call("GetMe", id::GetMeRequest()).status.code, kUnavailable) << "plaintext";
  std::string address = "127.0.0.1:" + std::to_string(gateway_->grpc_port());
  std::string ca = certificates_.path() + "/ca.pem", request = id::GetMeRequest().SerializeAsString();
  rpc::EdgeClient client(address, ca, "gateway.millrace.internal");
  EXPECT_TRUE(client.Call(kIdentity + "GetMe", request, kKey).ok());
  rpc::EdgeClient misled(address, ca, "another.example.org");
  EXPECT_EQ(misled.Call(kIdentity + "GetMe", request, kKey).status.code, kUnavailable);
}

TEST_F(GrpcEdgeTest, CarriesKeyTagLanguageAndTrace) {
  std::vector<rpc::MetadataPair> metadata = kKey;
  metadata.push_back({"idempotency-key", "replayed-key"});
  metadata.push_back({"if-match", "\"5\""});
  metadata.push_back({"accept-language", "en"});
  metadata.push_back({"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"});
  rpc::EdgeReply reply = Call("CreateSite", GoodSite(), metadata);
  ASSERT_TRUE(reply.ok()) << reply.status.message;
  EXPECT_EQ(reply.Trailer("etag"), "\"7\"");
  EXPECT_EQ(reply.Trailer("replayed"), "true");
  EXPECT_EQ(seen_.if_match, "5");
  EXPECT_EQ(seen_.language, Language::kEn);
  EXPECT_NE(seen_.traceparent.find("0af7651916cd43dd8448eb211c80319c"), std::string::npos);
  EXPECT_NE(reply.Trailer("traceparent").find("0af7651916cd43dd8448eb211c80319c"), std::string::npos);
}

TEST_F(GrpcEdgeTest, ErrorsSayWhatHttpSays) {
  std::vector<rpc::MetadataPair> metadata = kKey;
  metadata.push_back({"idempotency-key", "key-of-the-test"});
  metadata.push_back({"accept-language", "zh"});
  id::CreateSiteRequest request;
  request.mutable_site()->set_id("sit_x");
  rpc::EdgeReply reply = Call("CreateSite", request, metadata);
  EXPECT_EQ(reply.status.code, kInvalidArgument);
  auto info = DetailOf<google::rpc::ErrorInfo>(reply.status);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->reason(), "INVALID_REQUEST");
  EXPECT_EQ(info->domain(), "millrace");
  auto faults = DetailOf<google::rpc::BadRequest>(reply.status);
  ASSERT_TRUE(faults);
  std::set<std::string> fields;
  for (const auto& fault : faults->field_violations()) fields.insert(fault.field() + " " + fault.reason());
  EXPECT_EQ(fields,
            (std::set<std::string>{"site.id OUTPUT_ONLY", "site.display_name REQUIRED", "site.place REQUIRED"}));
  auto sentence = DetailOf<google::rpc::LocalizedMessage>(reply.status);
  ASSERT_TRUE(sentence);
  EXPECT_EQ(sentence->locale(), "zh-CN");
  EXPECT_EQ(DetailOf<google::rpc::RequestInfo>(reply.status)->request_id(), reply.Trailer("request-id"));

  EXPECT_EQ(Call("CreateSite", GoodSite()).status.code, kInvalidArgument) << "no idempotency-key";
  metadata.back() = {"if-match", "W/\"5\""};
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(Call("CreateSite", GoodSite(), metadata).status)->reason(),
            "ETAG_MISMATCH");
}

TEST_F(GrpcEdgeTest, CausesStayInside) {
  id::GetOrganizationRequest request;
  request.set_id(organization_);
  rpc::EdgeReply reply = Call("GetOrganization", request);
  EXPECT_EQ(reply.status.code, kInternal);
  EXPECT_EQ((reply.status.message + reply.status.details).find("SELECT"), std::string::npos);
}

TEST_F(GrpcEdgeTest, WhatHasNoRouteIsNotThere) {
  for (const char* path :
       {"/millrace.identity.v1.Identity/Authenticate", "/millrace.runtime.v1.Runtime/Fire",
        "/millrace.events.v1.EventLog/ListEvents", "/millrace.escrow.v1.EscrowService/Hold",
        "/millrace.escrow.v1.EscrowService/CustodianNotice", "/millrace.identity.v1.Identity/Nothing", "/x/y"}) {
    EXPECT_EQ(client_->Call(path, "", kKey).status.code, kUnimplemented) << path;
  }
}

// Every method of the contract is served if, and only if, it has a route.
TEST_F(GrpcEdgeTest, EveryMethodWithARouteIsServed) {
  for (const auto* file : ContractFiles()) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int k = 0; k < file->service(i)->method_count(); ++k) {
        const auto* method = file->service(i)->method(k);
        const auto& rules = method->options().GetExtension(type::method);
        bool public_route = !HttpRuleOf(method).method.empty() && !rules.internal();
        bool is_signed = method->name() == "CustodianNotice";
        std::string path = "/" + file->service(i)->full_name() + "/" + method->name();
        int code = client_->Call(path, "").status.code;
        EXPECT_EQ(code != kUnimplemented, public_route && !is_signed) << path << " " << code;
      }
    }
  }
}

TEST_F(GrpcEdgeTest, ACallersDeadlineEndsItsCall) {
  slow_ = true;
  EXPECT_EQ(Call("GetMe", id::GetMeRequest(), kKey, 100ms).status.code, kDeadlineExceeded);
  slow_ = false;
  EXPECT_TRUE(Call("GetMe", id::GetMeRequest()).ok());
}

TEST_F(GrpcEdgeTest, MessagesHaveALimitAndStrangersSendNone) {
  std::vector<rpc::MetadataPair> metadata = kKey;
  metadata.push_back({"idempotency-key", "key-of-the-test"});
  id::CreateSiteRequest request = GoodSite();
  request.mutable_site()->set_external_id(std::string(limits::kHttpBodyBytes, 'x'));
  rpc::EdgeReply reply = Call("CreateSite", request, metadata);
  EXPECT_EQ(reply.status.code, kResourceExhausted);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(reply.status)->reason(), "PAYLOAD_TOO_LARGE");
  // Refused by its headers alone, however much it wants to send.
  request.mutable_site()->set_external_id(std::string(8 * limits::kHttpBodyBytes, 'x'));
  EXPECT_EQ(Call("CreateSite", request, {}).status.code, kUnauthenticated);
  EXPECT_EQ(client_->Call(kIdentity + "CreateSite", "\xff\xff\xff", metadata).status.code, kInvalidArgument);
  EXPECT_TRUE(Call("GetMe", id::GetMeRequest()).ok());
  // gRPC may end the connection that sent too long headers; another one does not notice.
  rpc::EdgeClient neighbour("127.0.0.1:" + std::to_string(gateway_->grpc_port()));
  EXPECT_TRUE(neighbour.Call(kIdentity + "GetMe", "", kKey).ok());
  metadata.push_back({"x-much", std::string(3 * limits::kHttpHeaderBytes, 'x')});
  EXPECT_EQ(Call("CreateSite", GoodSite(), metadata).status.code, kResourceExhausted);
  rpc::EdgeReply after = neighbour.Call(kIdentity + "GetMe", "", kKey);
  EXPECT_TRUE(after.ok()) << after.status.code << " " << after.status.message;
}

TEST_F(GrpcEdgeTest, FieldsThatTheContractDoesNotHaveAreDropped) {
  std::vector<rpc::MetadataPair> metadata = kKey;
  metadata.push_back({"idempotency-key", "key-of-the-test"});
  id::CreateSiteRequest request = GoodSite();
  std::string known = request.site().SerializeAsString();
  request.mutable_site()->GetReflection()->MutableUnknownFields(request.mutable_site())->AddVarint(9999, 1);
  rpc::EdgeReply reply = Call("CreateSite", request, metadata);
  ASSERT_TRUE(reply.ok()) << reply.status.message;
  EXPECT_EQ(reply.message, known);
}

TEST_F(GrpcEdgeTest, ReflectionShowsWhatCallersMayUse) {
  for (const char* version : {"v1alpha", "v1"}) {
    reflect::ServerReflectionRequest request;
    request.set_list_services("*");
    reflect::ServerReflectionResponse response = Reflect(request, version);
    std::set<std::string> names;
    for (const auto& service : response.list_services_response().service()) names.insert(service.name());
    EXPECT_TRUE(names.contains("millrace.identity.v1.Identity"));
    EXPECT_TRUE(names.contains("grpc.health.v1.Health"));
    EXPECT_FALSE(names.contains("millrace.runtime.v1.Runtime"));
    EXPECT_FALSE(names.contains("millrace.events.v1.EventLog"));
  }
  reflect::ServerReflectionRequest request;
  request.set_file_containing_symbol("millrace.escrow.v1.EscrowService");
  reflect::ServerReflectionResponse response = Reflect(request);
  ASSERT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 1);
  google::protobuf::FileDescriptorProto file;
  ASSERT_TRUE(file.ParseFromString(response.file_descriptor_response().file_descriptor_proto(0)));
  std::set<std::string> methods;
  for (const auto& method : file.service(0).method()) methods.insert(method.name());
  EXPECT_FALSE(methods.empty());
  EXPECT_FALSE(methods.contains("Hold"));
  for (const char* hidden : {"millrace.runtime.v1.Runtime", "millrace.escrow.v1.EscrowService.Hold", "no.such.Thing"}) {
    request.set_file_containing_symbol(hidden);
    EXPECT_TRUE(Reflect(request).has_error_response()) << hidden;
  }
}

// A client that knows nothing builds every service from reflection alone.
TEST_F(GrpcEdgeTest, ReflectionIsWhole) {
  google::protobuf::DescriptorPool pool;
  std::set<std::string> have;
  std::function<void(const std::string&)> load = [&](const std::string& name) {
    if (!have.insert(name).second) return;
    reflect::ServerReflectionRequest request;
    request.set_file_by_filename(name);
    reflect::ServerReflectionResponse response = Reflect(request);
    ASSERT_EQ(response.file_descriptor_response().file_descriptor_proto_size(), 1) << name;
    google::protobuf::FileDescriptorProto file;
    ASSERT_TRUE(file.ParseFromString(response.file_descriptor_response().file_descriptor_proto(0)));
    for (const std::string& dependency : file.dependency()) load(dependency);
    EXPECT_NE(pool.BuildFile(file), nullptr) << name;
  };
  load("millrace/identity/v1/identity.proto");
  load("millrace/operations/v1/operations.proto");
  EXPECT_NE(pool.FindMethodByName("millrace.identity.v1.Identity.GetMe"), nullptr);
  EXPECT_EQ(pool.FindMethodByName("millrace.identity.v1.Identity.Authenticate"), nullptr);
}

TEST_F(GrpcEdgeTest, HealthIsPerService) {
  EXPECT_EQ(Health(""), 1);
  EXPECT_EQ(Health("millrace.identity.v1.Identity"), 1);
  EXPECT_EQ(Health("millrace.listing.v1.ListingService"), 1);
  EXPECT_EQ(Health("millrace.runtime.v1.Runtime"), 0) << "not for callers outside";
}

}  // namespace
}  // namespace millrace::gateway
