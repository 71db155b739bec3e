// SPDX-License-Identifier: Apache-2.0
#include "services/identity/app/identity.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "common/base/uscc.h"
#include "common/crypto/crypto.h"
#include "common/postgres/migrate.h"
#include "services/identity/module.h"
#include "tests/support/private_postgres.h"

namespace millrace::identity {
namespace {

constexpr const char* kOthers[] = {"listing", "matching", "operations", "escrow", "credit", "notifications"};

// A whole identity service, and the bare cores of the services whose clocks it moves.
class Instance {
 public:
  explicit Instance(std::string url, bool test_clock = true, std::string operator_key = "operator-secret-0123456789",
                    bool with_others = false) {
    settings_.Set("database_url", url, "test");
    settings_.Set("internal_token", "instance-secret", "test");
    settings_.Set("operator_key", std::move(operator_key), "test");
    settings_.Set("regulator_key", "regulator-secret-0123456789", "test");
    settings_.Set("test_clock", test_clock ? "true" : "false", "test");
    environment_.executor = context_.get_executor();
    environment_.settings = &settings_;
    environment_.wakeups = &wakeups_;
    environment_.channel = [this](std::string_view service) -> rpc::Channel& {
      return *channels_.at(std::string(service));
    };
    module_ = MakeModule(environment_);
    channels_["identity"] = rpc::LocalChannel(module_->service());
    for (const char* name : kOthers) {
      if (!with_others) continue;
      cores_.push_back(std::make_unique<runtime::ServiceCore>(name, environment_));
      channels_[name] = rpc::LocalChannel(cores_.back()->service());
      cores_.back()->Start();
    }
    Result<void> started = Wait(module_->Start());
    EXPECT_TRUE(started) << started.error().cause;
  }
  ~Instance() {
    module_->Stop();
    for (auto& core : cores_) core->Stop();
    context_.restart();
    context_.run();
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
  template <class Response, class Request>
  Result<Response> Call(const char* method, CallContext context, Request request) {
    context.deadline = WallNow() + std::chrono::seconds(30);
    return Wait(rpc::Call<Response>(*channels_.at("identity"), std::string("millrace.identity.v1.Identity.") + method,
                                    std::move(context), std::move(request)));
  }

 private:
  template <class T>
  static Task<void> Fill(Task<T> task, std::optional<T>* value) {
    T done = co_await std::move(task);
    value->emplace(std::move(done));
  }

  boost::asio::io_context context_;
  runtime::Settings settings_;
  runtime::WakeupBus wakeups_;
  runtime::Environment environment_;
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::vector<std::unique_ptr<runtime::ServiceCore>> cores_;
  std::unique_ptr<runtime::Module> module_;
};

std::string MakeUscc(int number) {
  std::string digits = std::to_string(100000000 + number);
  std::string code = "91320583" + digits;
  return code + UsccCheckCharacter(code);
}

CallContext Caller(const Uuid& organization, std::set<std::string> roles, std::string key = {}) {
  CallContext context;
  context.organization = organization;
  context.actor = "key_test";
  context.roles = std::move(roles);
  context.idempotency_key = key.empty() ? "key-" + Uuid::New().Hex() : std::move(key);
  return context;
}
CallContext Operator(std::string key = {}) { return Caller(Uuid::FromHex(kOperatorHex), {"operator"}, std::move(key)); }
CallContext Nobody(std::string key = {}) { return Caller(Uuid(), {}, std::move(key)); }

v1::CreateOrganizationRequest Registration(int number) {
  v1::CreateOrganizationRequest request;
  auto* organization = request.mutable_organization();
  organization->set_display_name("昆山示例精密 " + std::to_string(number));
  organization->set_uscc(MakeUscc(number));
  organization->set_industry_code("C3425");
  organization->set_region_code("320583");
  organization->set_external_id("erp-" + std::to_string(number));
  return request;
}

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() : url_(test::PrivatePostgres::Instance().NewDatabase()) {
    Result<postgres::MigrationReport> migrated = postgres::Migrate(url_, "identity", Migrations());
    EXPECT_TRUE(migrated) << migrated.error().cause;
    postgres::DatabaseOptions options;
    options.url = url_;
    options.schema = "identity";
    admin_ = std::make_unique<postgres::Database>(options);
    instance_ = std::make_unique<Instance>(url_);
  }

  v1::CreateOrganizationResponse Register(int number) {
    auto made = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(), Registration(number));
    EXPECT_TRUE(made) << Name(made.error().code) << made.error().cause;
    return made.value_or(v1::CreateOrganizationResponse());
  }
  Result<v1::Organization> Do(const char* method, const std::string& id, std::string reason = {},
                              CallContext context = Operator()) {
    v1::OrganizationVerbRequest request;
    request.set_id(id);
    request.set_reason(std::move(reason));
    return instance_->Call<v1::Organization>(method, std::move(context), std::move(request));
  }
  Result<v1::AuthenticateResponse> Authenticate(const std::string& secret) {
    v1::AuthenticateRequest request;
    request.set_token(secret);
    return instance_->Call<v1::AuthenticateResponse>("Authenticate", CallContext::ForService("gateway"),
                                                     std::move(request));
  }
  // Every row of every table of the schema as text; bytes are in hexadecimal.
  std::string Dump() {
    std::string dump;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
      for (const char* table : {"organization", "site", "api_key", "idempotency", "event", "task"}) {
        std::string name = table;
        dump += tx.ExecuteText("SELECT coalesce(string_agg(t::text, ' '), '') FROM " + name + " t")[0].Text(0);
      }
    }));
    return dump;
  }
  int64_t Count(const std::string& sql) {
    int64_t count = -1;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) { count = tx.ExecuteText(sql)[0].Int(0); }));
    return count;
  }

  std::string url_;
  std::unique_ptr<postgres::Database> admin_;
  std::unique_ptr<Instance> instance_;
};

TEST_F(IdentityTest, RegistersOnceAndShowsTheSecretOnEveryReplay) {
  CallContext first = Nobody("registration-1"), again = Nobody("registration-1"), other = Nobody("registration-1");
  auto made = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", first, Registration(1));
  ASSERT_TRUE(made) << made.error().cause;
  EXPECT_EQ(made->organization().state(), v1::Organization::PENDING);
  ASSERT_EQ(made->organization().actions_size(), 3);
  EXPECT_EQ(made->organization().actions(2).action(), "expire");
  EXPECT_EQ(made->organization().actions(2).deadline_time().seconds() - made->organization().create_time().seconds(),
            90 * 86400);
  EXPECT_TRUE(made->api_key().secret().starts_with("sk_test_"));
  EXPECT_EQ(made->api_key().secret().size(), 8u + 43u);
  EXPECT_TRUE(made->api_key().secret().starts_with(made->api_key().hint()));

  auto replay = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", again, Registration(1));
  ASSERT_TRUE(replay);
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(replay->SerializeAsString(), made->SerializeAsString());
  auto reused = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", other, Registration(2));
  ASSERT_FALSE(reused);
  EXPECT_EQ(reused.error().code, ErrorCode::kIdempotencyKeyReused);
  EXPECT_EQ(Count("SELECT count(*) FROM organization WHERE uscc IS NOT NULL"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'organization.registered'"), 1);
}

TEST_F(IdentityTest, KeepsNoSecret) {
  std::string secret = Register(1).api_key().secret();
  v1::CreateApiKeyRequest request;
  request.mutable_api_key()->set_display_name("line 3");
  auto made = instance_->Call<v1::ApiKey>("CreateApiKey", Operator(), request);
  ASSERT_TRUE(made);
  std::string dump = Dump();
  EXPECT_NE(dump.find(crypto::Hex(crypto::Sha256(secret))), dump.npos)
      << "the dump does not look where secrets are kept";
  for (const std::string& text : {secret, made->secret(), std::string("operator-secret-0123456789")}) {
    EXPECT_EQ(dump.find(text), dump.npos);
    EXPECT_EQ(dump.find(crypto::Hex(text)), dump.npos);
    EXPECT_EQ(dump.find(crypto::Hex(text.substr(0, 20))), dump.npos);
  }
}

TEST_F(IdentityTest, RefusesWrongAndTakenCodes) {
  Register(1);
  auto code_of = [&](v1::CreateOrganizationRequest request) {
    auto made = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(), std::move(request));
    return made ? Error() : made.error();
  };
  v1::CreateOrganizationRequest wrong = Registration(2);
  std::string* uscc = wrong.mutable_organization()->mutable_uscc();
  uscc->back() = uscc->back() == '0' ? '1' : '0';
  EXPECT_EQ(code_of(wrong).code, ErrorCode::kUsccCheckDigit);

  v1::CreateOrganizationRequest same = Registration(2);
  same.mutable_organization()->set_uscc(MakeUscc(1));
  Error taken = code_of(same);
  EXPECT_EQ(taken.code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(taken.params.at("field"), "uscc");
  same = Registration(2);
  same.mutable_organization()->set_external_id("erp-1");
  taken = code_of(same);
  EXPECT_EQ(taken.code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(taken.params.at("field"), "external_id");

  v1::CreateOrganizationRequest both = Registration(2);
  both.mutable_organization()->set_industry_code("Z99");
  both.mutable_organization()->set_region_code("990000");
  EXPECT_EQ(code_of(both).violations.size(), 2u);
  EXPECT_EQ(Count("SELECT count(*) FROM organization WHERE uscc IS NOT NULL"), 1);

  v1::CreateOrganizationRequest check = Registration(2);
  check.set_validate_only(true);
  auto checked = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", Nobody(), check);
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->api_key().secret(), "");
  EXPECT_EQ(Count("SELECT count(*) FROM organization WHERE uscc IS NOT NULL"), 1);
}

TEST_F(IdentityTest, MovesByTheOperatorsVerbs) {
  std::string id = Register(1).organization().id();
  EXPECT_EQ(Do("SuspendOrganization", id, "why").error().code, ErrorCode::kStateConflict);
  EXPECT_EQ(Do("RejectOrganization", id).error().code, ErrorCode::kRequired);
  EXPECT_EQ(Do("VerifyOrganization", id, "", Caller(IdOrNil(id), {"provider", "buyer"})).error().code,
            ErrorCode::kInsufficientScope);
  auto verified = Do("VerifyOrganization", id);
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->state(), v1::Organization::VERIFIED);
  EXPECT_EQ(verified->etag(), "2");
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE kind = 'expire_organization'"), 0);
  auto suspended = Do("SuspendOrganization", id, "invoices unpaid");
  ASSERT_TRUE(suspended);
  EXPECT_EQ(suspended->state_reason(), "invoices unpaid");
  ASSERT_TRUE(Do("ReinstateOrganization", id));
  EXPECT_EQ(Do("VerifyOrganization", FormatId("org", Uuid::New())).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE aggregate = '" + id + "'"), 4);
  EXPECT_EQ(Count("SELECT max(aggregate_version) FROM event WHERE aggregate = '" + id + "'"), 4);
}

TEST_F(IdentityTest, OthersSeeNothing) {
  std::string mine = Register(1).organization().id(), theirs = Register(2).organization().id();
  auto get = [&](CallContext context, const std::string& id) {
    v1::GetOrganizationRequest request;
    request.set_id(id);
    return instance_->Call<v1::Organization>("GetOrganization", std::move(context), std::move(request));
  };
  std::set<std::string> roles = {"provider", "buyer"};
  EXPECT_TRUE(get(Caller(IdOrNil(mine), roles), mine));
  auto foreign = get(Caller(IdOrNil(mine), roles), theirs);
  auto random = get(Caller(IdOrNil(mine), roles), FormatId("org", Uuid::New()));
  ASSERT_FALSE(foreign);
  ASSERT_FALSE(random);
  EXPECT_EQ(foreign.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(foreign.error().params, random.error().params);
  EXPECT_TRUE(get(Operator(), theirs));
  EXPECT_TRUE(get(CallContext::ForService("operations"), theirs));

  // The rows themselves: as the reader, asking as another organization, with no condition at all.
  v1::CreateSiteRequest site;
  site.mutable_site()->set_display_name("plant");
  site.mutable_site()->mutable_place()->set_longitude(121);
  ASSERT_TRUE(instance_->Call<v1::Site>("CreateSite", Caller(IdOrNil(theirs), roles), site));
  auto visible = [&](const Uuid& asking) {
    std::string as = "SET ROLE identity_reader; SELECT identity.ask('" + asking.Hex() + "', 'provider,buyer'); ";
    std::string counts =
        "SELECT (SELECT count(*) FROM organization) * 100 + (SELECT count(*) FROM site) * 10 + "
        "(SELECT count(*) FROM api_key)";
    int64_t count = -1;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText(as);
      count = tx.ExecuteText(counts)[0].Int(0);
      tx.ExecuteText("RESET ROLE");
    }));
    return count;
  };
  EXPECT_EQ(visible(IdOrNil(theirs)), 111);
  EXPECT_EQ(visible(IdOrNil(mine)), 101);
  EXPECT_EQ(visible(Uuid::New()), 0);
}

TEST_F(IdentityTest, AuthenticatesUntilRevoked) {
  auto registered = Register(1);
  std::string secret = registered.api_key().secret(), id = registered.organization().id();
  auto pending = Authenticate(secret);
  ASSERT_TRUE(pending);
  EXPECT_EQ(pending->organization_id(), id);
  EXPECT_EQ(pending->api_key_id(), registered.api_key().id());
  EXPECT_FALSE(pending->verified());
  ASSERT_EQ(pending->roles_size(), 2);
  EXPECT_EQ(pending->roles(0), "buyer");
  ASSERT_TRUE(Do("VerifyOrganization", id));
  EXPECT_TRUE(Authenticate(secret)->verified());
  ASSERT_TRUE(Do("SuspendOrganization", id, "why"));
  EXPECT_FALSE(Authenticate(secret)->verified());

  for (const std::string& bad : {std::string(), std::string("sk_test_"), secret + "x", secret.substr(1)}) {
    EXPECT_EQ(Authenticate(bad).error().code, ErrorCode::kUnauthenticated);
  }
  v1::RevokeApiKeyRequest revoke;
  revoke.set_id(registered.api_key().id());
  CallContext owner = Caller(IdOrNil(id), {"buyer"}), stranger = Caller(Uuid::New(), {"buyer"});
  EXPECT_EQ(instance_->Call<v1::ApiKey>("RevokeApiKey", owner, revoke).error().code, ErrorCode::kEtagRequired);
  owner.if_match = "99";
  EXPECT_EQ(instance_->Call<v1::ApiKey>("RevokeApiKey", owner, revoke).error().code, ErrorCode::kEtagMismatch);
  owner.if_match = stranger.if_match = "*";
  auto foreign = instance_->Call<v1::ApiKey>("RevokeApiKey", stranger, revoke);
  EXPECT_EQ(foreign.error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(Authenticate(secret));
  auto revoked = instance_->Call<v1::ApiKey>("RevokeApiKey", owner, revoke);
  ASSERT_TRUE(revoked);
  EXPECT_EQ(Authenticate(secret).error().code, ErrorCode::kUnauthenticated);
  owner.idempotency_key = "another-key";
  auto twice = instance_->Call<v1::ApiKey>("RevokeApiKey", owner, revoke);
  ASSERT_TRUE(twice);
  EXPECT_EQ(twice->revoke_time().seconds(), revoked->revoke_time().seconds());
}

TEST_F(IdentityTest, MakesKeysOfNoMoreThanTheCallersRoles) {
  std::string id = Register(1).organization().id();
  auto make = [&](CallContext context, std::vector<std::string> roles, std::string organization = {}) {
    v1::CreateApiKeyRequest request;
    request.mutable_api_key()->set_display_name("a key");
    for (std::string& role : roles) request.mutable_api_key()->add_roles(std::move(role));
    request.set_organization_id(std::move(organization));
    return instance_->Call<v1::ApiKey>("CreateApiKey", std::move(context), std::move(request));
  };
  auto buyer = make(Caller(IdOrNil(id), {"provider", "buyer"}, "make-a-key"), {"buyer"});
  ASSERT_TRUE(buyer);
  auto again = make(Caller(IdOrNil(id), {"provider", "buyer"}, "make-a-key"), {"buyer"});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->secret(), buyer->secret());
  EXPECT_EQ(Authenticate(buyer->secret())->roles_size(), 1);
  EXPECT_EQ(make(Caller(IdOrNil(id), {"provider", "buyer"}), {"operator"}).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(make(Caller(IdOrNil(id), {"buyer"}), {"provider"}).error().code, ErrorCode::kInsufficientScope);
  EXPECT_EQ(make(Caller(Uuid::New(), {"buyer"}), {}, id).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(make(Operator(), {}, id));

  v1::ListApiKeysRequest list;
  list.set_page_size(2);
  auto page = instance_->Call<v1::ListApiKeysResponse>("ListApiKeys", Caller(IdOrNil(id), {"buyer"}), list);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->data_size(), 2);
  EXPECT_EQ(page->data(0).secret(), "");
  list.set_page_token(page->next_page_token());
  page = instance_->Call<v1::ListApiKeysResponse>("ListApiKeys", Caller(IdOrNil(id), {"buyer"}), list);
  ASSERT_TRUE(page);
  EXPECT_EQ(page->data_size(), 1);
  EXPECT_EQ(page->next_page_token(), "");
  list.set_page_token("nonsense");
  auto refused = instance_->Call<v1::ListApiKeysResponse>("ListApiKeys", Caller(IdOrNil(id), {"buyer"}), list);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidPageToken);
}

TEST_F(IdentityTest, KeepsSitesInWgs84) {
  std::string id = Register(1).organization().id();
  v1::CreateSiteRequest request;
  request.mutable_site()->set_display_name("二号厂房");
  request.mutable_site()->set_external_id("plant-2");
  request.mutable_site()->mutable_place()->set_longitude(120.98);
  request.mutable_site()->mutable_place()->set_latitude(31.38);
  request.mutable_site()->mutable_place()->set_coordinate_system(type::Place::GCJ02);
  std::set<std::string> roles = {"provider", "buyer"};
  auto made = instance_->Call<v1::Site>("CreateSite", Caller(IdOrNil(id), roles), request);
  ASSERT_TRUE(made) << made.error().cause;
  EXPECT_EQ(made->place().coordinate_system(), type::Place::WGS84);
  EXPECT_NE(made->place().longitude(), 120.98);
  EXPECT_NEAR(made->place().longitude(), 120.98, 0.01);
  EXPECT_EQ(made->etag(), "1");
  auto twice = instance_->Call<v1::Site>("CreateSite", Caller(IdOrNil(id), roles), request);
  EXPECT_EQ(twice.error().code, ErrorCode::kAlreadyExists);
  v1::GetSiteRequest get;
  get.set_id(made->id());
  EXPECT_TRUE(instance_->Call<v1::Site>("GetSite", Caller(IdOrNil(id), roles), get));
  EXPECT_EQ(instance_->Call<v1::Site>("GetSite", Caller(Uuid::New(), roles), get).error().code, ErrorCode::kNotFound);
  request.mutable_site()->set_external_id("plant-3");
  request.mutable_site()->mutable_place()->set_latitude(91);
  EXPECT_EQ(instance_->Call<v1::Site>("CreateSite", Caller(IdOrNil(id), roles), request).error().code,
            ErrorCode::kOutOfRange);
  v1::ListSitesRequest list;
  list.set_external_id("plant-2");
  EXPECT_EQ(instance_->Call<v1::ListSitesResponse>("ListSites", Caller(IdOrNil(id), roles), list)->data_size(), 1);
  EXPECT_EQ(instance_->Call<v1::ListSitesResponse>("ListSites", Caller(Uuid::New(), roles), list)->data_size(), 0);
}

TEST_F(IdentityTest, MakesTheOfficesAtEveryStart) {
  auto office = Authenticate("operator-secret-0123456789");
  ASSERT_TRUE(office);
  EXPECT_TRUE(office->verified());
  ASSERT_EQ(office->roles_size(), 1);
  EXPECT_EQ(office->roles(0), "operator");
  EXPECT_EQ(Authenticate("regulator-secret-0123456789")->roles(0), "regulator");
  instance_.reset();
  instance_ = std::make_unique<Instance>(url_, true, "another-secret-0123456789");
  EXPECT_FALSE(Authenticate("operator-secret-0123456789")) << "a replaced secret ends the old one";
  ASSERT_TRUE(Authenticate("another-secret-0123456789"));
  EXPECT_EQ(Count("SELECT count(*) FROM organization"), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM api_key"), 2);
}

TEST_F(IdentityTest, MovesTheClockThroughEveryTimer) {
  instance_.reset();
  for (const char* name : kOthers) EXPECT_TRUE(postgres::Migrate(url_, name, {}));
  instance_ = std::make_unique<Instance>(url_, true, "operator-secret-0123456789", true);
  std::string first = Register(1).organization().id(), second = Register(2).organization().id();
  ASSERT_TRUE(Do("VerifyOrganization", second));
  auto now = instance_->Call<v1::Clock>("GetClock", Operator(), v1::GetClockRequest());
  ASSERT_TRUE(now);
  EXPECT_TRUE(now->test());
  v1::AdvanceClockRequest request;
  request.mutable_to_time()->set_seconds(now->now().seconds() + 91 * 86400);
  EXPECT_EQ(instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", Caller(IdOrNil(first), {"buyer"}), request)
                .error()
                .code,
            ErrorCode::kInsufficientScope);
  CallContext again = Operator("advance-91");
  auto moved = instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", Operator("advance-91"), request);
  ASSERT_TRUE(moved) << Name(moved.error().code) << moved.error().cause;
  EXPECT_EQ(moved->fired(), 1);
  EXPECT_EQ(moved->clock().now().seconds(), request.to_time().seconds());
  auto replay = instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", again, request);
  ASSERT_TRUE(replay);
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(replay->SerializeAsString(), moved->SerializeAsString());
  EXPECT_EQ(instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", Operator(), request).error().code,
            ErrorCode::kClockNotAdjustable);

  v1::GetOrganizationRequest get;
  get.set_id(first);
  auto rejected = instance_->Call<v1::Organization>("GetOrganization", Operator(), get);
  EXPECT_EQ(rejected->state(), v1::Organization::REJECTED);
  // It fired at its own time, a day before the end of the advance.
  EXPECT_LT(rejected->update_time().seconds(), request.to_time().seconds() - 86000);
  get.set_id(second);
  EXPECT_EQ(instance_->Call<v1::Organization>("GetOrganization", Operator(), get)->state(), v1::Organization::VERIFIED);

  instance_.reset();
  instance_ = std::make_unique<Instance>(url_, false);
  request.mutable_to_time()->set_seconds(request.to_time().seconds() + 86400);
  EXPECT_EQ(instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", Operator(), request).error().code,
            ErrorCode::kClockNotAdjustable);
  EXPECT_TRUE(Register(3).api_key().secret().starts_with("sk_live_"));
}

}  // namespace
}  // namespace millrace::identity
