// SPDX-License-Identifier: Apache-2.0
// What organizations and sites become: changed by whom, and what stays.
#include "services/identity/identity_test.h"

namespace millrace::identity {
namespace {

class ChangeTest : public IdentityTest {
 protected:
  Result<v1::Organization> Update(CallContext context, const std::string& id, const v1::Organization& wanted,
                                  std::string if_match = "*") {
    v1::UpdateOrganizationRequest request;
    request.set_id(id);
    *request.mutable_organization() = wanted;
    context.if_match = std::move(if_match);
    return instance_->Call<v1::Organization>("UpdateOrganization", std::move(context), std::move(request));
  }
  static CallContext Admin(const std::string& id) { return Caller(IdOrNil(id), {"admin", "provider", "buyer"}); }
  Result<v1::Site> UpdateSite(CallContext context, const std::string& id, const v1::Site& wanted,
                              std::string if_match = "*") {
    v1::UpdateSiteRequest request;
    request.set_id(id);
    *request.mutable_site() = wanted;
    context.if_match = std::move(if_match);
    return instance_->Call<v1::Site>("UpdateSite", std::move(context), std::move(request));
  }
  Result<v1::DeleteSiteResponse> DeleteSite(CallContext context, const std::string& id, std::string if_match = "*") {
    v1::DeleteSiteRequest request;
    request.set_id(id);
    context.if_match = std::move(if_match);
    return instance_->Call<v1::DeleteSiteResponse>("DeleteSite", std::move(context), std::move(request));
  }
  static v1::Site Plant(const std::string& external_id, double longitude = 121) {
    v1::Site site;
    site.set_display_name("plant");
    site.set_external_id(external_id);
    site.mutable_place()->set_longitude(longitude);
    site.mutable_place()->set_latitude(31);
    return site;
  }
  Result<v1::Site> CreateSite(CallContext context, const v1::Site& site) {
    v1::CreateSiteRequest request;
    *request.mutable_site() = site;
    return instance_->Call<v1::Site>("CreateSite", std::move(context), std::move(request));
  }
};

TEST_F(ChangeTest, APendingOrganizationCorrectsItself) {
  std::string id = Register(1).organization().id();
  v1::Organization wanted = Registration(2).organization();
  wanted.set_industry_code("C34");
  (*wanted.mutable_metadata())["erp"] = "sap";
  auto changed = Update(Admin(id), id, wanted, "1");
  ASSERT_TRUE(changed) << Name(changed.error().code) << changed.error().cause;
  EXPECT_EQ(changed->uscc(), MakeUscc(2));
  EXPECT_EQ(changed->display_name(), "昆山示例精密 2");
  EXPECT_EQ(changed->external_id(), "erp-2");
  EXPECT_EQ(changed->industry_code(), "C34");
  EXPECT_EQ(changed->metadata().at("erp"), "sap");
  EXPECT_EQ(changed->state(), v1::Organization::PENDING);
  EXPECT_EQ(changed->etag(), "2");
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'organization.changed' AND aggregate_version = 2"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'act.performed'"), 1);
  EXPECT_EQ(Count("SELECT count(*) FROM task WHERE kind = 'expire_organization'"), 1);
  // What it gave up is free, what it has is taken.
  std::string other = Register(1).organization().id();
  wanted = Registration(1).organization();
  wanted.set_uscc(MakeUscc(2));
  Result<v1::Organization> taken = Update(Admin(other), other, wanted);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(taken.error().violations.at(0).pointer, "#/organization/uscc");
  wanted = Registration(1).organization();
  wanted.set_external_id("erp-2");
  EXPECT_EQ(Update(Admin(other), other, wanted).error().violations.at(0).pointer, "#/organization/external_id");
  wanted = Registration(1).organization();
  wanted.mutable_uscc()->back() = wanted.uscc().back() == '0' ? '1' : '0';
  EXPECT_EQ(Update(Admin(other), other, wanted).error().code, ErrorCode::kUsccCheckDigit);
  wanted = Registration(1).organization();
  wanted.set_industry_code("Z99");
  wanted.set_region_code("990000");
  EXPECT_EQ(Update(Admin(other), other, wanted).error().violations.size(), 2u);
  wanted = Registration(1).organization();
  wanted.clear_external_id();
  ASSERT_TRUE(Update(Admin(other), other, wanted));
  EXPECT_EQ(Count("SELECT count(*) FROM organization WHERE external_id IS NOT NULL"), 1);
}

TEST_F(ChangeTest, WhoMayChangeAnOrganization) {
  std::string mine = Register(1).organization().id(), theirs = Register(2).organization().id();
  v1::Organization same = Registration(1).organization();
  auto foreign = Update(Admin(theirs), mine, same), random = Update(Admin(theirs), FormatId("org", Uuid::New()), same);
  ASSERT_FALSE(foreign);
  ASSERT_FALSE(random);
  EXPECT_EQ(foreign.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(random.error().code, ErrorCode::kNotFound);
  EXPECT_EQ(foreign.error().params, random.error().params);
  EXPECT_EQ(Update(Caller(IdOrNil(mine), {"provider", "buyer"}), mine, same).error().code,
            ErrorCode::kInsufficientScope);
  EXPECT_EQ(Update(Admin(mine), mine, same, "").error().code, ErrorCode::kEtagRequired);
  EXPECT_EQ(Update(Admin(mine), mine, same, "7").error().code, ErrorCode::kEtagMismatch);
  EXPECT_EQ(Update(Operator(), FormatId("org", Uuid::New()), same).error().code, ErrorCode::kNotFound);
  CallContext check = Admin(mine);
  check.validate_only = true;
  EXPECT_TRUE(Update(check, mine, same));
  EXPECT_EQ(Count("SELECT count(*) FROM event WHERE type = 'organization.changed'"), 0);
  EXPECT_EQ(Update(Admin(mine), mine, same, "1")->etag(), "2");
  EXPECT_EQ(Update(Operator(), mine, same, "2")->etag(), "3");
  // A replay under its key is the same answer, though the version has moved on.
  CallContext first = Admin(mine), again = Admin(mine);
  again.idempotency_key = first.idempotency_key;
  auto once = Update(first, mine, same, "3"), twice = Update(again, mine, same, "3");
  ASSERT_TRUE(once);
  ASSERT_TRUE(twice);
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(once->SerializeAsString(), twice->SerializeAsString());
}

TEST_F(ChangeTest, LegalFactsStayAfterTheDecision) {
  std::string id = Register(1).organization().id(), rejected = Register(3).organization().id();
  ASSERT_TRUE(Do("VerifyOrganization", id));
  ASSERT_TRUE(RejectByTwoPersons(rejected, "no licence"));
  v1::Organization wanted = Registration(1).organization();
  wanted.set_region_code("320500");
  ASSERT_TRUE(Update(Admin(id), id, wanted));
  wanted.set_display_name("改名");
  Result<v1::Organization> refused = Update(Admin(id), id, wanted);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kImmutableField);
  EXPECT_EQ(refused.error().violations.at(0).pointer, "#/organization/display_name");
  ASSERT_TRUE(Do("SuspendOrganization", id, "why"));
  auto renamed = Update(Operator(), id, wanted);
  ASSERT_TRUE(renamed);
  EXPECT_EQ(renamed->display_name(), "改名");
  EXPECT_EQ(renamed->state(), v1::Organization::SUSPENDED);
  EXPECT_EQ(renamed->state_reason(), "why");
  wanted.set_uscc(MakeUscc(9));
  wanted.set_display_name("又改名");
  wanted.set_synthetic(true);
  EXPECT_EQ(Update(Admin(id), id, wanted).error().violations.size(), 3u) << "all faults at once";
  EXPECT_EQ(Update(Operator(), id, wanted).error().violations.size(), 2u);
  v1::Organization theirs = Registration(3).organization();
  for (CallContext context : {Admin(rejected), Operator()}) {
    auto over = Update(context, rejected, theirs);
    ASSERT_FALSE(over);
    EXPECT_EQ(over.error().code, ErrorCode::kStateConflict);
    EXPECT_EQ(over.error().params.at("state"), "REJECTED");
  }
  EXPECT_EQ(Count("SELECT count(*) FROM organization WHERE uscc = '" + MakeUscc(9) + "'"), 0);
}

TEST_F(ChangeTest, ASiteMovesAndGivesItsNameFree) {
  std::string mine = Register(1).organization().id(), theirs = Register(2).organization().id();
  std::string id = CreateSite(Admin(mine), Plant("p-1"))->id(), other = CreateSite(Admin(mine), Plant("p-2"))->id();
  v1::Site wanted = Plant("p-1", 120.98);
  wanted.mutable_place()->set_coordinate_system(type::Place::GCJ02);
  wanted.set_region_code("320583");
  auto moved = UpdateSite(Admin(mine), id, wanted, "1");
  ASSERT_TRUE(moved) << Name(moved.error().code) << moved.error().cause;
  EXPECT_EQ(moved->etag(), "2");
  EXPECT_EQ(moved->place().coordinate_system(), type::Place::WGS84);
  EXPECT_NEAR(moved->place().longitude(), 120.98, 0.01);
  EXPECT_EQ(moved->region_code(), "320583");
  EXPECT_TRUE(moved->has_create_time());
  EXPECT_EQ(UpdateSite(Admin(mine), id, Plant("p-2")).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(UpdateSite(Admin(mine), id, Plant("p-1", 181)).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(UpdateSite(Admin(mine), id, Plant("p-1"), "1").error().code, ErrorCode::kEtagMismatch);
  EXPECT_EQ(UpdateSite(Admin(mine), id, Plant("p-1"), "").error().code, ErrorCode::kEtagRequired);
  for (const std::string& nobodys : {id, FormatId("sit", Uuid::New())}) {
    EXPECT_EQ(UpdateSite(Admin(theirs), nobodys, Plant("p-1")).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(DeleteSite(Admin(theirs), nobodys).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(DeleteSite(Operator(), nobodys).error().code, ErrorCode::kNotFound);
  }
  ASSERT_TRUE(UpdateSite(Admin(mine), id, Plant("p-3")));
  EXPECT_TRUE(CreateSite(Admin(mine), Plant("p-1"))) << "free again";

  EXPECT_EQ(DeleteSite(Admin(mine), id, "").error().code, ErrorCode::kEtagRequired);
  EXPECT_EQ(DeleteSite(Admin(mine), id, "2").error().code, ErrorCode::kEtagMismatch);
  CallContext first = Admin(mine), again = Admin(mine);
  again.idempotency_key = first.idempotency_key;
  ASSERT_TRUE(DeleteSite(first, id, "3"));
  EXPECT_TRUE(DeleteSite(again, id, "3")) << "the same wish";
  EXPECT_TRUE(again.reply->replayed);
  EXPECT_EQ(DeleteSite(Admin(mine), id).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(UpdateSite(Admin(mine), id, Plant("p-3")).error().code, ErrorCode::kNotFound);
  v1::GetSiteRequest get;
  get.set_id(id);
  EXPECT_EQ(instance_->Call<v1::Site>("GetSite", Admin(mine), get).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(CreateSite(Admin(mine), Plant("p-3"))) << "free again";
  std::string events = "SELECT count(*) FROM event WHERE aggregate = '" + id + "'";
  EXPECT_EQ(Count(events), 4);
  EXPECT_EQ(Count(events + " AND type = 'site.created' AND aggregate_version = 1"), 1);
  EXPECT_EQ(Count(events + " AND type = 'site.changed'"), 2);
  EXPECT_EQ(Count(events + " AND type = 'site.deleted' AND aggregate_version = 4"), 1);
}

}  // namespace
}  // namespace millrace::identity
