// SPDX-License-Identifier: Apache-2.0
// A whole listing service over a private PostgreSQL, for tests; identity and credit are cores with their own event
// logs, and identity answers what the test tells it to.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>

#include "common/postgres/migrate.h"
#include "google/api/httpbody.pb.h"
#include "millrace/credit/v1/risk_tier.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "millrace/runtime/v1/runtime.pb.h"
#include "services/listing/module.h"
#include "tests/support/private_postgres.h"

namespace millrace::listing {

struct NoRows : postgres::WorkingSet {};
struct NoStore : postgres::Store<NoRows> {
  void Load(postgres::Transaction&, NoRows&) override {}
  void Save(postgres::Transaction&, NoRows&) override {}
};

class ListingInstance : public ::testing::Test {
 protected:
  ListingInstance()
      : url_(test::PrivatePostgres::Instance().NewDatabase(
            {{"listing", Migrations()}, {"identity", {}}, {"credit", {}}})) {
    folder_ = std::filesystem::temp_directory_path() / ("millrace-listing-" + Uuid::New().Hex());
    settings_.Set("database_url", url_, "test");
    settings_.Set("data_folder", folder_.string(), "test");
    environment_.executor = context_.get_executor();
    environment_.settings = &settings_;
    environment_.wakeups = &wakeups_;
    environment_.channel = [this](std::string_view service) -> rpc::Channel& {
      return *channels_.at(std::string(service));
    };
    for (const char* name : {"identity", "credit"}) {
      cores_[name] = std::make_unique<runtime::ServiceCore>(name, environment_);
      channels_[name] = rpc::LocalChannel(cores_[name]->service());
      writers_[name] =
          std::make_unique<postgres::Writer<NoRows>>(context_.get_executor(), cores_[name]->worker(), no_store_);
      runtime::ServiceCore* core = cores_[name].get();
      writers_[name]->OnCommit([core] { core->Committed(); });
    }
    ServeIdentity();
    for (auto& [name, core] : cores_) core->Start();
    postgres::DatabaseOptions options;
    options.url = url_;
    options.schema = "listing";
    admin_ = std::make_unique<postgres::Database>(options);
    options.role = "listing_reader";
    reader_ = std::make_unique<postgres::Database>(options);
    module_ = MakeModule(environment_);
    channels_["listing"] = rpc::LocalChannel(module_->service());
    EXPECT_TRUE(Wait(module_->Start()));
  }
  ~ListingInstance() override {
    module_->Stop();
    for (auto& [name, core] : cores_) core->Stop();
    context_.restart();
    context_.run();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  // Runs the loop until the coroutine has its value.
  template <class T>
  T Wait(Task<T> task) {
    std::optional<T> value;
    Spawn(context_.get_executor(), Fill(std::move(task), &value), "test");
    context_.restart();
    while (!value) context_.run_one();
    return *std::move(value);
  }
  // Runs the loop until `done`, at most ten seconds.
  template <class F>
  bool Until(F done) {
    for (Time end = WallNow() + std::chrono::seconds(10); WallNow() < end;) {
      if (done()) return true;
      context_.restart();
      context_.run_for(std::chrono::milliseconds(20));
    }
    return false;
  }
  rpc::Channel& channel() { return *channels_.at("listing"); }
  template <class Response, class Request>
  Result<Response> Call(const std::string& method, CallContext context, Request request) {
    context.deadline = WallNow() + std::chrono::seconds(60);
    std::string name = method.find('.') == std::string::npos ? "millrace.listing.v1.ListingService." + method : method;
    return Wait(rpc::Call<Response>(*channels_.at("listing"), name, std::move(context), std::move(request)));
  }

  static CallContext Caller(const Uuid& organization, std::set<std::string> roles, std::string key = {}) {
    CallContext context;
    context.organization = organization;
    context.actor = "key_test";
    context.roles = std::move(roles);
    context.organization_verified = true;
    context.idempotency_key = key.empty() ? "key-" + Uuid::New().Hex() : std::move(key);
    context.language = Language::kEn;
    return context;
  }
  CallContext Provider(const std::string& key = {}) { return Caller(provider_, {"provider", "buyer"}, key); }
  CallContext Stranger() { return Caller(stranger_, {"provider", "buyer"}); }
  CallContext Operator(const std::string& key = {}) { return Caller(operator_, {"operator"}, key); }

  // Puts a fact into another service's log.
  template <class Payload>
  void Announce(const std::string& source, const std::string& type, const std::string& aggregate, int64_t version,
                const Payload& payload) {
    postgres::Command<NoRows> command;
    command.decide = [&](NoRows& set) -> Result<std::string> {
      postgres::NewEvent event;
      event.type = type;
      event.aggregate = aggregate;
      event.aggregate_version = version;
      event.payload_type = Payload::descriptor()->full_name();
      event.payload = payload.SerializeAsString();
      set.events.push_back(std::move(event));
      return std::string();
    };
    ASSERT_TRUE(Wait(writers_.at(source)->Submit(std::move(command))));
  }
  void AnnounceOrganization(const std::string& type, const Uuid& id, int64_t version) {
    identity::v1::Organization organization;
    organization.set_id(FormatId("org", id));
    Announce("identity", type, organization.id(), version, organization);
  }
  // Identity's site as it is from now on.
  identity::v1::Site PutSite(const std::string& id, double longitude, int64_t version) {
    identity::v1::Site site;
    site.set_id(id);
    site.set_organization_id(FormatId("org", provider_));
    site.mutable_place()->set_longitude(longitude);
    site.mutable_place()->set_latitude(31.5);
    site.set_etag(std::to_string(version));
    sites_[id] = site;
    return site;
  }
  void AnnounceTier(const Uuid& id, int tier, int64_t version) {
    credit::v1::RiskTier message;
    message.set_organization_id(FormatId("org", id));
    message.set_role(credit::v1::PROVIDER);
    message.set_tier(tier);
    message.set_version(version);
    Announce("credit", "risk_tier.changed", message.organization_id() + "/provider", version, message);
    ASSERT_TRUE(Until([&] {
      return Number("SELECT count(*) FROM organization WHERE id = '" + id.Hex() +
                    "' AND tier_version >= " + std::to_string(version)) == 1;
    }));
  }

  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) { number = tx.ExecuteText(sql)[0].Int(0); }));
    return number;
  }
  void Advance(int hours) {
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("UPDATE runtime.clock SET test = true, ahead = ahead + make_interval(hours => " +
                     std::to_string(hours) + ")");
    }));
    auto fired = Call<runtime::v1::FireResponse>("millrace.runtime.v1.Runtime.Fire",
                                                 CallContext::ForService("identity"), runtime::v1::FireRequest());
    EXPECT_TRUE(fired);
  }

  static v1::Resource Mill(const std::string& external_id = "M-1") {
    v1::Resource resource;
    resource.set_kind(v1::Resource::EQUIPMENT);
    resource.set_external_id(external_id);
    resource.mutable_display_name()->set_zh("五轴加工中心");
    resource.mutable_attributes()->mutable_equipment()->set_axes(5);
    return resource;
  }
  v1::Resource MakeResource(const v1::Resource& content) {
    v1::CreateResourceRequest request;
    *request.mutable_resource() = content;
    auto made = Call<v1::Resource>("CreateResource", Provider(), request);
    EXPECT_TRUE(made) << Name(made.error().code) << " " << made.error().cause;
    return made.value_or(v1::Resource());
  }
  static v1::Listing Complete(const std::string& resource_id, const std::string& external_id = {}) {
    v1::Listing listing;
    listing.set_resource_id(resource_id);
    listing.set_external_id(external_id);
    listing.mutable_capability()->add_processes("separating.milling.five_axis");
    listing.mutable_capability()->add_materials("aluminium");
    listing.mutable_calendar()->set_time_zone("Asia/Shanghai");
    auto* rule = listing.mutable_calendar()->add_weekly();
    rule->set_weekday(1);
    rule->set_start_minute(480);
    rule->set_end_minute(1080);
    auto* plan = listing.mutable_price_plan();
    plan->set_currency("CNY");
    plan->set_unit(v1::PricePlan::HOUR);
    plan->add_steps()->set_unit_price(12000);
    return listing;
  }
  v1::Listing MakeListing(const v1::Listing& content) {
    v1::CreateListingRequest request;
    *request.mutable_listing() = content;
    auto made = Call<v1::Listing>("CreateListing", Provider(), request);
    EXPECT_TRUE(made) << Name(made.error().code) << " " << made.error().cause;
    return made.value_or(v1::Listing());
  }
  Result<v1::Listing> Act(const char* method, CallContext context, const std::string& id,
                          const std::string& reason = {}) {
    v1::ListingVerbRequest request;
    request.set_id(id);
    request.set_reason(reason);
    return Call<v1::Listing>(method, std::move(context), request);
  }
  Result<v1::Listing> Get(CallContext context, const std::string& id) {
    v1::GetListingRequest request;
    request.set_id(id);
    return Call<v1::Listing>("GetListing", std::move(context), request);
  }

  const Uuid provider_ = Uuid::New(), stranger_ = Uuid::New(), operator_ = Uuid::New();
  // What identity knows.
  std::map<std::string, identity::v1::Site> sites_;
  std::map<std::string, identity::v1::Organization> organizations_;  // by external_id
  boost::asio::io_context context_;
  std::string url_;
  std::filesystem::path folder_;
  std::unique_ptr<postgres::Database> admin_, reader_;

 private:
  template <class T>
  static Task<void> Fill(Task<T> task, std::optional<T>* value) {
    T done = co_await std::move(task);
    value->emplace(std::move(done));
  }
  void ServeIdentity() {
    rpc::Service& service = cores_["identity"]->service();
    service.On<identity::v1::GetSiteRequest, identity::v1::Site>(
        "millrace.identity.v1.Identity.GetSite",
        [this](CallContext context, identity::v1::GetSiteRequest request) -> Task<Result<identity::v1::Site>> {
          auto found = sites_.find(request.id());
          bool own = found != sites_.end() && found->second.organization_id() == FormatId("org", context.organization);
          if (!own) co_return Fail(ErrorCode::kNotFound);
          co_return found->second;
        });
    service.On<identity::v1::ListOrganizationsRequest, identity::v1::ListOrganizationsResponse>(
        "millrace.identity.v1.Identity.ListOrganizations",
        [this](CallContext, identity::v1::ListOrganizationsRequest request)
            -> Task<Result<identity::v1::ListOrganizationsResponse>> {
          identity::v1::ListOrganizationsResponse response;
          auto found = organizations_.find(request.external_id());
          if (found != organizations_.end()) *response.add_data() = found->second;
          co_return response;
        });
    service.On<identity::v1::GetOrganizationRequest, identity::v1::Organization>(
        "millrace.identity.v1.Identity.GetOrganization",
        [this](CallContext, identity::v1::GetOrganizationRequest request) -> Task<Result<identity::v1::Organization>> {
          for (const auto& [external_id, organization] : organizations_) {
            if (organization.id() == request.id()) co_return organization;
          }
          co_return Fail(ErrorCode::kNotFound);
        });
  }

  runtime::Settings settings_;
  runtime::WakeupBus wakeups_;
  runtime::Environment environment_;
  NoStore no_store_;
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::map<std::string, std::unique_ptr<runtime::ServiceCore>> cores_;
  std::map<std::string, std::unique_ptr<postgres::Writer<NoRows>>> writers_;
  std::unique_ptr<runtime::Module> module_;
};

}  // namespace millrace::listing
