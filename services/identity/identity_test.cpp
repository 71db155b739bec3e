// SPDX-License-Identifier: Apache-2.0
// Organizations, sites and the clock.
#include "services/identity/identity_test.h"

namespace millrace::identity {
namespace {

TEST_F(IdentityTest, RegistersOnceAndShowsTheSecretOnEveryReplay) {
  CallContext first = Nobody("registration-1"), again = Nobody("registration-1"), other = Nobody("registration-1");
  auto made = instance_->Call<v1::CreateOrganizationResponse>("CreateOrganization", first, Registration(1));
  ASSERT_TRUE(made) << made.error().cause;
  EXPECT_EQ(made->organization().state(), v1::Organization::PENDING);
  ASSERT_EQ(made->organization().actions_size(), 4);
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
  EXPECT_EQ(Do("SuspendOrganization", id).error().code, ErrorCode::kRequired);
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
  EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
    std::string owner = "'" + IdOrNil(theirs).Hex() + "'", zeros = "decode(repeat('00', 32), 'hex')";
    tx.ExecuteText("INSERT INTO member VALUES (gen_random_uuid(), " + owner + ", 1, 'a@b', '{}', " + zeros +
                   ", '', 1, now())");
    tx.ExecuteText("INSERT INTO access_token SELECT " + zeros +
                   ", id, '{}', now() + interval '1 hour' FROM api_key WHERE organization = " + owner);
    tx.ExecuteText("INSERT INTO approval SELECT gen_random_uuid(), organization, 1, 'm', " + zeros +
                   ", id, NULL, now(), NULL, '', 1, now() FROM member WHERE organization = " + owner);
    tx.ExecuteText("INSERT INTO audit_entry VALUES (1, now(), 'x', 1, 'e', " + owner + ", '', " + zeros + ", " + zeros +
                   ")");
  }));
  auto visible = [&](const Uuid& asking) {
    std::string as = "SET ROLE identity_reader; SELECT identity.ask('" + asking.Hex() + "', 'provider,buyer'); ";
    std::string counts =
        "SELECT (SELECT count(*) FROM organization) * 100 + (SELECT count(*) FROM site) * 10 + "
        "(SELECT count(*) FROM api_key) + (SELECT count(*) FROM access_token) * 1000 + "
        "(SELECT count(*) FROM audit_entry) * 10000 + (SELECT count(*) FROM member) * 100000 + "
        "(SELECT count(*) FROM approval) * 1000000";
    int64_t count = -1;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText(as);
      count = tx.ExecuteText(counts)[0].Int(0);
      tx.ExecuteText("RESET ROLE");
    }));
    return count;
  };
  EXPECT_EQ(visible(IdOrNil(theirs)), 1110111) << "its tokens no organization sees, not even its own";
  EXPECT_EQ(visible(IdOrNil(mine)), 101);
  EXPECT_EQ(visible(Uuid::New()), 0);
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
  ASSERT_EQ(office->roles_size(), 2);
  EXPECT_EQ(office->roles(1), "operator");
  EXPECT_EQ(Authenticate("regulator-secret-0123456789")->roles(1), "regulator");
  instance_.reset();
  instance_ = std::make_unique<Instance>(url_, true, "another-secret-0123456789");
  EXPECT_FALSE(Authenticate("operator-secret-0123456789")) << "a replaced secret ends the old one";
  ASSERT_TRUE(Authenticate("another-secret-0123456789"));
  EXPECT_EQ(Count("SELECT count(*) FROM organization"), 2);
  EXPECT_EQ(Count("SELECT count(*) FROM api_key"), 2);
}

TEST_F(IdentityTest, MovesTheClockThroughEveryTimer) {
  instance_.reset();
  postgres::Migrator migrator(url_);
  for (const char* name : kOthers) EXPECT_TRUE(migrator.Apply(name, {}));
  instance_ = std::make_unique<Instance>(url_, true, "operator-secret-0123456789", true);
  std::string first = Register(1).organization().id(), second = Register(2).organization().id();
  ASSERT_TRUE(Do("VerifyOrganization", second));
  v1::InviteMemberRequest invitation;
  invitation.mutable_member()->set_display_name("Late");
  invitation.mutable_member()->set_email("late@example.com");
  invitation.mutable_member()->add_roles("buyer");
  auto invited =
      instance_->Call<v1::Member>("Members.InviteMember", Caller(IdOrNil(second), {"admin", "buyer"}), invitation);
  ASSERT_TRUE(invited);
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
  EXPECT_EQ(moved->fired(), 2);
  v1::GetMemberRequest get_member;
  get_member.set_id(invited->id());
  auto late = instance_->Call<v1::Member>("Members.GetMember", Caller(IdOrNil(second), {"admin"}), get_member);
  EXPECT_EQ(late->state(), v1::Member::EXPIRED);
  EXPECT_EQ(moved->clock().now().seconds(), request.to_time().seconds());
  auto replay = instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", again, request);
  ASSERT_TRUE(replay);
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(replay->SerializeAsString(), moved->SerializeAsString());
  EXPECT_EQ(instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", Operator(), request).error().code,
            ErrorCode::kClockNotAdjustable);
  v1::AdvanceClockRequest last;
  last.mutable_to_time()->set_seconds(253402300799);  // the end of the year 9999
  EXPECT_EQ(instance_->Call<v1::AdvanceClockResponse>("AdvanceClock", Operator(), last).error().code,
            ErrorCode::kOutOfRange);

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
