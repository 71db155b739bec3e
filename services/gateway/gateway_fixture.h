// SPDX-License-Identifier: Apache-2.0
// For tests: the gateway over HTTP, before services that say what they were asked.
#pragma once

#include "common/http/http.h"
#include "common/http/json_parse.h"
#include "google/api/httpbody.pb.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "millrace/notifications/v1/notifications.pb.h"
#include "services/gateway/gateway_world.h"

namespace millrace::gateway {

namespace id = identity::v1;

class GatewayTest : public GatewayWorld {
 protected:
  GatewayTest() : GatewayWorld({"identity", "listing", "escrow", "notifications"}) {
    RegisterIdentity();
    RegisterOthers();
  }

  void RegisterIdentity() {
    On<id::AuthenticateRequest, id::AuthenticateResponse>(
        "identity", "millrace.identity.v1.Identity.Authenticate",
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
        "identity", "millrace.identity.v1.Identity.IssueToken",
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
    On<id::GetMeRequest, id::Me>("identity", "millrace.identity.v1.Identity.GetMe",
                                 [](const CallContext& context, const auto&) -> Result<id::Me> {
                                   id::Me me;
                                   me.mutable_organization()->set_id(FormatId("org", context.organization));
                                   me.set_api_key_id(context.actor);
                                   for (const auto& role : context.roles) me.add_roles(role);
                                   return me;
                                 });
    On<id::CreateSiteRequest, id::Site>(
        "identity", "millrace.identity.v1.Identity.CreateSite",
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
        "identity", "millrace.identity.v1.Identity.GetOrganization",
        [](const CallContext& context, const auto& request) -> Result<id::Organization> {
          context.reply->etag = "3";
          id::Organization organization;
          organization.set_id(request.id());
          return organization;
        });
    On<id::ListOrganizationsRequest, id::ListOrganizationsResponse>(
        "identity", "millrace.identity.v1.Identity.ListOrganizations",
        [](const CallContext&, const auto& request) -> Result<id::ListOrganizationsResponse> {
          id::ListOrganizationsResponse page;
          page.add_data()->set_external_id(request.external_id());
          page.mutable_data(0)->set_state(request.state());
          page.set_next_page_token(std::to_string(request.page_size()));
          return page;
        });
    On<id::OrganizationVerbRequest, id::Organization>(
        "identity", "millrace.identity.v1.Identity.SuspendOrganization",
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
        "listing", "millrace.listing.v1.ListingService.CreateImport",
        [this](const CallContext&, const auto& request) -> Result<listing::v1::Import> {
          file_ = request.file();
          published_ = request.publish();
          return listing::v1::Import();
        });
    On<listing::v1::GetImportTemplateRequest, google::api::HttpBody>(
        "listing", "millrace.listing.v1.ListingService.GetImportTemplate",
        [](const CallContext&, const auto&) -> Result<google::api::HttpBody> {
          google::api::HttpBody body;
          body.set_content_type("text/csv; charset=utf-8");
          body.set_data("a,b\r\n");
          return body;
        });
    RegisterResources();
    On<escrow::v1::CustodianNoticeRequest, escrow::v1::CustodianNoticeResponse>(
        "escrow", "millrace.escrow.v1.EscrowService.CustodianNotice",
        [](const CallContext&, const auto&) -> Result<escrow::v1::CustodianNoticeResponse> {
          return escrow::v1::CustodianNoticeResponse();
        });
    On<notifications::v1::WaitFeedRequest, notifications::v1::WaitFeedResponse>(
        "notifications", "millrace.notifications.v1.Notifications.WaitFeed",
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
        "listing", "millrace.listing.v1.ListingService.GetResource",
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
        "listing", "millrace.listing.v1.ListingService.UpdateResource",
        [this](const CallContext& context, const auto& request) -> Result<listing::v1::Resource> {
          updated_ = request.resource();
          context.reply->etag = "5";
          return request.resource();
        });
    On<listing::v1::ListListingsRequest, listing::v1::ListListingsResponse>(
        "listing", "millrace.listing.v1.ListingService.ListListings",
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
    auto response = http::FetchBlocking("http://127.0.0.1:" + std::to_string(port_), request, std::chrono::seconds(10));
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

  std::string waited_after_, member_, token_ = "sk_test_good";
  std::set<std::string> scopes_;
  id::IssueTokenRequest asked_;
  google::api::HttpBody file_;
  bool published_ = false, validated_only_ = false;
  std::string hidden_ = FormatId("res", Uuid::New()), down_ = FormatId("res", Uuid::New());
  std::vector<std::string> listed_;
  std::atomic<int> reads_ = 0;
  listing::v1::Resource updated_;
  std::atomic<bool> revoked_ = false;
  std::atomic<int> authentications_ = 0;
};

}  // namespace millrace::gateway
