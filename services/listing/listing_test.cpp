// SPDX-License-Identifier: Apache-2.0
#include "services/listing/test_instance.h"

namespace millrace::listing {
namespace {

template <class T>
std::string CodeOf(const Result<T>& result) {
  return result ? "OK" : std::string(Name(result.error().code));
}

TEST_F(ListingInstance, AListingLivesFromDraftToRetired) {
  v1::Resource resource = MakeResource(Mill());
  EXPECT_EQ(resource.etag(), "1");
  EXPECT_EQ(resource.units(), 1);
  v1::Listing draft = MakeListing(Complete(resource.id()));
  EXPECT_EQ(draft.state(), v1::Listing::DRAFT);
  EXPECT_EQ(draft.version(), 1);
  EXPECT_EQ(CodeOf(Get(Stranger(), draft.id())), "NOT_FOUND");

  auto published = Act("PublishListing", Provider("publish-once-1"), draft.id());
  ASSERT_TRUE(published) << CodeOf(published);
  EXPECT_EQ(published->state(), v1::Listing::PUBLISHED);
  CallContext again = Provider("publish-once-1");
  auto reply = again.reply;
  auto replay = Act("PublishListing", again, draft.id());
  ASSERT_TRUE(replay);
  EXPECT_EQ(replay->SerializeAsString(), published->SerializeAsString());
  EXPECT_TRUE(reply->replayed);
  EXPECT_EQ(reply->etag, "2");

  auto seen = Get(Stranger(), draft.id());
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->actions_size(), 0);
  EXPECT_EQ(CodeOf(Act("PauseListing", Stranger(), draft.id())), "NOT_FOUND");
  EXPECT_EQ(CodeOf(Act("ResumeListing", Provider(), draft.id())), "STATE_CONFLICT");
  CallContext stale = Provider();
  stale.if_match = "1";
  EXPECT_EQ(CodeOf(Act("PauseListing", stale, draft.id())), "ETAG_MISMATCH");
  EXPECT_EQ(Act("PauseListing", Provider(), draft.id())->state(), v1::Listing::PAUSED);
  EXPECT_EQ(CodeOf(Get(Stranger(), draft.id())), "NOT_FOUND");
  EXPECT_EQ(Act("ResumeListing", Provider(), draft.id())->state(), v1::Listing::PUBLISHED);
  EXPECT_EQ(CodeOf(Act("BlockListing", Operator(), draft.id())), "REQUIRED");
  auto blocked = Act("BlockListing", Operator(), draft.id(), "wrong data");
  ASSERT_TRUE(blocked) << CodeOf(blocked);
  EXPECT_EQ(blocked->state_reason(), "wrong data");
  EXPECT_EQ(CodeOf(Act("PublishListing", Provider(), draft.id())), "STATE_CONFLICT");
  EXPECT_EQ(Act("PublishListing", Operator(), draft.id())->state(), v1::Listing::PUBLISHED);
  auto retired = Act("RetireListing", Provider(), draft.id());
  ASSERT_TRUE(retired);
  EXPECT_EQ(retired->state(), v1::Listing::RETIRED);
  EXPECT_EQ(retired->version(), 7);
  EXPECT_EQ(Number("SELECT count(*) FROM event WHERE aggregate = '" + draft.id() + "'"), 7);
  EXPECT_EQ(Number("SELECT count(DISTINCT aggregate_version) FROM event"), 7);
}

TEST_F(ListingInstance, RefusesWhatIsIncompleteOrUnknown) {
  v1::Resource resource = MakeResource(Mill());
  v1::Listing empty;
  empty.set_resource_id(resource.id());
  v1::Listing draft = MakeListing(empty);
  auto published = Act("PublishListing", Provider(), draft.id());
  ASSERT_FALSE(published);
  EXPECT_EQ(published.error().params.at("missing"), "capability.processes, calendar, price_plan");

  v1::CreateListingRequest request;
  *request.mutable_listing() = Complete(resource.id());
  request.mutable_listing()->mutable_capability()->add_processes("separating.wishing");
  auto unknown = Call<v1::Listing>("CreateListing", Provider(), request);
  ASSERT_EQ(CodeOf(unknown), "UNKNOWN_PROCESS");
  EXPECT_EQ(unknown.error().violations.at(0).pointer, "#/listing/capability/processes/1");
  *request.mutable_listing() = Complete(FormatId("res", Uuid::New()));
  EXPECT_EQ(CodeOf(Call<v1::Listing>("CreateListing", Provider(), request)), "NOT_FOUND");
  *request.mutable_listing() = Complete(resource.id());
  EXPECT_EQ(CodeOf(Call<v1::Listing>("CreateListing", Stranger(), request)), "NOT_FOUND");

  v1::CreateResourceRequest wrong;
  *wrong.mutable_resource() = Mill("M-2");
  wrong.mutable_resource()->mutable_attributes()->mutable_tooling()->set_cavities(2);
  EXPECT_EQ(CodeOf(Call<v1::Resource>("CreateResource", Provider(), wrong)), "WRONG_TYPE");
  auto odd = wrong;
  odd.mutable_resource()->mutable_attributes()->mutable_equipment()->set_year_built(20260);
  odd.mutable_resource()->mutable_attributes()->mutable_equipment()->set_spindle_speed_rpm(-1);
  odd.mutable_resource()->mutable_attributes()->mutable_equipment()->set_temperature_min_cdeg(-4000);
  auto refused = Call<v1::Resource>("CreateResource", Provider(), odd);
  ASSERT_FALSE(refused);
  ASSERT_EQ(refused.error().violations.size(), 2u);
  EXPECT_EQ(refused.error().violations[0].pointer, "#/resource/attributes/equipment/year_built");
  EXPECT_EQ(refused.error().violations[1].pointer, "#/resource/attributes/equipment/spindle_speed_rpm");
  *wrong.mutable_resource() = Mill("M-1");
  EXPECT_EQ(CodeOf(Call<v1::Resource>("CreateResource", Provider(), wrong)), "ALREADY_EXISTS");
  *wrong.mutable_resource() = Mill("M-3");
  wrong.mutable_resource()->add_parent_ids(FormatId("res", Uuid::New()));
  EXPECT_EQ(CodeOf(Call<v1::Resource>("CreateResource", Provider(), wrong)), "NOT_FOUND");
  *wrong.mutable_resource() = Mill("M-4");
  wrong.set_validate_only(true);
  EXPECT_EQ(CodeOf(Call<v1::Resource>("CreateResource", Provider(), wrong)), "OK");
  EXPECT_EQ(Number("SELECT count(*) FROM resource"), 1);
}

TEST_F(ListingInstance, ChangesNeedTheVersionThatWasRead) {
  v1::Resource resource = MakeResource(Mill());
  v1::Listing listing = MakeListing(Complete(resource.id()));
  v1::UpdateListingRequest update;
  update.set_id(listing.id());
  *update.mutable_listing() = Complete(resource.id());
  update.mutable_listing()->mutable_price_plan()->mutable_steps(0)->set_unit_price(9900);
  EXPECT_EQ(CodeOf(Call<v1::Listing>("UpdateListing", Provider(), update)), "ETAG_REQUIRED");
  CallContext stale = Provider();
  stale.if_match = "7";
  EXPECT_EQ(CodeOf(Call<v1::Listing>("UpdateListing", stale, update)), "ETAG_MISMATCH");
  CallContext fresh = Provider();
  fresh.if_match = listing.etag();
  auto changed = Call<v1::Listing>("UpdateListing", fresh, update);
  ASSERT_TRUE(changed) << CodeOf(changed);
  EXPECT_EQ(changed->version(), 2);
  EXPECT_EQ(changed->price_plan().steps(0).unit_price(), 9900);

  // A resource's change reaches its listings as a new version each.
  v1::UpdateResourceRequest rename;
  rename.set_id(resource.id());
  *rename.mutable_resource() = Mill();
  rename.mutable_resource()->set_model("DMU 50");
  CallContext of_resource = Provider();
  of_resource.if_match = "1";
  ASSERT_TRUE(Call<v1::Resource>("UpdateResource", of_resource, rename));
  EXPECT_EQ(Get(Provider(), listing.id())->version(), 3);
  v1::GetBookableRequest wanted;
  wanted.set_listing_id(listing.id());
  auto bookable = Call<v1::Bookable>("GetBookable", CallContext::ForService("operations"), wanted);
  ASSERT_TRUE(bookable);
  EXPECT_EQ(bookable->resource().model(), "DMU 50");
  EXPECT_EQ(bookable->listing().version(), 3);
  rename.mutable_resource()->set_kind(v1::Resource::TOOLING);
  rename.mutable_resource()->clear_attributes();
  CallContext second = Provider();
  second.if_match = "2";
  EXPECT_EQ(CodeOf(Call<v1::Resource>("UpdateResource", second, rename)), "INVALID_FORMAT");
}

TEST_F(ListingInstance, SuspensionBlocksAndReinstatementGoesBack) {
  v1::Resource resource = MakeResource(Mill());
  std::string open = MakeListing(Complete(resource.id())).id(), paused = MakeListing(Complete(resource.id())).id();
  std::string draft = MakeListing(Complete(resource.id())).id(), blocked = MakeListing(Complete(resource.id())).id();
  for (const std::string& id : {open, paused, blocked}) ASSERT_TRUE(Act("PublishListing", Provider(), id));
  ASSERT_TRUE(Act("PauseListing", Provider(), paused));
  ASSERT_TRUE(Act("BlockListing", Operator(), blocked, "copy"));
  AnnounceOrganization("organization.suspended", provider_, 2);
  ASSERT_TRUE(Until([&] { return Get(Provider(), open)->state() == v1::Listing::BLOCKED; }));
  EXPECT_EQ(Get(Provider(), paused)->state(), v1::Listing::BLOCKED);
  EXPECT_EQ(Get(Provider(), draft)->state(), v1::Listing::DRAFT);
  EXPECT_EQ(CodeOf(Act("PublishListing", Provider(), draft)), "ORGANIZATION_NOT_VERIFIED");
  EXPECT_EQ(CodeOf(Act("PublishListing", Operator(), open)), "STATE_CONFLICT");
  AnnounceOrganization("organization.reinstated", provider_, 3);
  ASSERT_TRUE(Until([&] { return Get(Provider(), open)->state() == v1::Listing::PUBLISHED; }));
  EXPECT_EQ(Get(Provider(), paused)->state(), v1::Listing::PAUSED);
  EXPECT_EQ(Get(Provider(), blocked)->state(), v1::Listing::BLOCKED);
  EXPECT_TRUE(Act("PublishListing", Provider(), draft));
}

TEST_F(ListingInstance, TheFourthTierIsReviewedFirst) {
  v1::Resource resource = MakeResource(Mill());
  std::string first = MakeListing(Complete(resource.id())).id(), second = MakeListing(Complete(resource.id())).id();
  AnnounceTier(provider_, 4, 1);
  auto waiting = Act("PublishListing", Provider(), first);
  ASSERT_TRUE(waiting);
  EXPECT_EQ(waiting->state(), v1::Listing::IN_REVIEW);
  bool has_deadline = false;
  for (const auto& action : waiting->actions()) has_deadline = has_deadline || action.has_deadline_time();
  EXPECT_TRUE(has_deadline);
  EXPECT_EQ(CodeOf(Get(Stranger(), first)), "NOT_FOUND");
  ASSERT_TRUE(Act("PublishListing", Provider(), second));
  EXPECT_EQ(CodeOf(Act("PublishListing", Provider(), first)), "STATE_CONFLICT");
  EXPECT_EQ(Act("PublishListing", Operator(), first)->state(), v1::Listing::PUBLISHED);
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 1);
  Advance(71);
  EXPECT_EQ(Get(Provider(), second)->state(), v1::Listing::IN_REVIEW);
  Advance(2);
  EXPECT_EQ(Get(Provider(), second)->state(), v1::Listing::PUBLISHED);
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 0);
}

TEST_F(ListingInstance, PlacesAreKeptAsWgs84AndComeFromTheSite) {
  v1::Resource given = Mill("P-1");
  given.mutable_place()->set_longitude(121.4737);
  given.mutable_place()->set_latitude(31.2304);
  given.mutable_place()->set_coordinate_system(type::Place::GCJ02);
  v1::Resource kept = MakeResource(given);
  EXPECT_EQ(kept.place().coordinate_system(), type::Place::WGS84);
  EXPECT_NEAR(kept.place().longitude(), 121.4692, 0.001);
  EXPECT_NEAR(kept.place().latitude(), 31.2323, 0.001);

  identity::v1::Site site;
  site.set_id(FormatId("sit", Uuid::New()));
  site.set_organization_id(FormatId("org", provider_));
  site.mutable_place()->set_longitude(120.5);
  site.mutable_place()->set_latitude(31.5);
  sites_[site.id()] = site;
  v1::Resource at_site = Mill("P-2");
  at_site.set_site_id(site.id());
  EXPECT_EQ(MakeResource(at_site).place().longitude(), 120.5);
  v1::CreateResourceRequest request;
  *request.mutable_resource() = at_site;
  auto foreign = Call<v1::Resource>("CreateResource", Stranger(), request);
  ASSERT_EQ(CodeOf(foreign), "NOT_FOUND");
  EXPECT_EQ(foreign.error().violations.at(0).pointer, "#/resource/site_id");
}

TEST_F(ListingInstance, ResourcesMoveWithTheirSite) {
  std::string id = FormatId("sit", Uuid::New());
  PutSite(id, 120.5, 1);
  v1::Resource at_site = Mill("S-1"), elsewhere = Mill("S-2");
  at_site.set_site_id(id);
  elsewhere.mutable_place()->set_longitude(120.5);
  elsewhere.mutable_place()->set_latitude(31.5);
  v1::Resource moving = MakeResource(at_site), staying = MakeResource(elsewhere);
  std::string listing = MakeListing(Complete(moving.id())).id();
  ASSERT_TRUE(Act("PublishListing", Provider(), listing));
  int64_t before = Get(Provider(), listing)->version();
  auto place_of = [&](const std::string& resource) {
    v1::GetResourceRequest get;
    get.set_id(resource);
    return Call<v1::Resource>("GetResource", Provider(), get)->place().longitude();
  };
  Announce("identity", "site.changed", id, 2, PutSite(id, 121.5, 2));
  ASSERT_TRUE(Until([&] { return place_of(moving.id()) == 121.5; }));
  EXPECT_EQ(place_of(staying.id()), 120.5);
  EXPECT_EQ(Get(Provider(), listing)->version(), before + 1);
  EXPECT_EQ(Number("SELECT count(*) FROM event WHERE type = 'listing.updated' AND aggregate = '" + listing + "'"), 1);
  // Only its name changed: no listing has a new version.
  Announce("identity", "site.changed", id, 3, PutSite(id, 121.5, 3));
  ASSERT_TRUE(Until([&] { return Number("SELECT version FROM site") == 3; }));
  EXPECT_EQ(Get(Provider(), listing)->version(), before + 1);
  // An answer that is older than what was heard.
  PutSite(id, 120.5, 1);
  at_site.set_external_id("S-3");
  EXPECT_EQ(MakeResource(at_site).place().longitude(), 121.5);
}

TEST_F(ListingInstance, ADeletedSiteKeepsWhatStandsThereAndTakesNothingNew) {
  std::string id = FormatId("sit", Uuid::New());
  PutSite(id, 120.5, 1);
  v1::Resource at_site = Mill("S-1");
  at_site.set_site_id(id);
  v1::Resource kept = MakeResource(at_site), other = MakeResource(Mill("S-2"));
  Announce("identity", "site.deleted", id, 2, sites_.at(id));
  sites_.clear();
  auto update = [&](v1::Resource content, const std::string& resource) {
    v1::UpdateResourceRequest request;
    request.set_id(resource);
    *request.mutable_resource() = std::move(content);
    CallContext context = Provider();
    context.if_match = "*";
    return Call<v1::Resource>("UpdateResource", std::move(context), request);
  };
  at_site.set_model("DMU 50");
  auto changed = update(at_site, kept.id());
  ASSERT_TRUE(changed) << CodeOf(changed);
  EXPECT_EQ(changed->model(), "DMU 50");
  EXPECT_EQ(changed->site_id(), id);
  EXPECT_EQ(changed->place().longitude(), 120.5);
  at_site.set_external_id("S-2");
  auto moved = update(at_site, other.id());
  ASSERT_EQ(CodeOf(moved), "NOT_FOUND");
  EXPECT_EQ(moved.error().violations.at(0).pointer, "#/resource/site_id");
  at_site.set_external_id("S-3");
  v1::CreateResourceRequest request;
  *request.mutable_resource() = at_site;
  EXPECT_EQ(CodeOf(Call<v1::Resource>("CreateResource", Provider(), request)), "NOT_FOUND");
}

// The third migration finds the site in messages that were kept before there was a column.
TEST_F(ListingInstance, OldRowsAreFoundByTheirSite) {
  std::string id = FormatId("sit", Uuid::New());
  PutSite(id, 120.5, 1);
  v1::Resource at_site = Mill("S-1");
  at_site.set_site_id(id);
  MakeResource(at_site);
  MakeResource(Mill("S-2"));
  std::string sql;
  for (const EmbeddedFile& file : Migrations()) {
    size_t at = file.bytes.find("UPDATE resource SET site");
    if (at != file.bytes.npos) sql = std::string(file.bytes.substr(at, file.bytes.find(';', at) - at));
  }
  ASSERT_FALSE(sql.empty());
  EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) {
    tx.ExecuteText("UPDATE resource SET site = NULL");
    tx.ExecuteText(sql);
  }));
  EXPECT_EQ(Number("SELECT count(*) FROM resource WHERE site = '" + id + "'"), 1);
  EXPECT_EQ(Number("SELECT count(*) FROM resource WHERE site IS NULL"), 1);
}

TEST_F(ListingInstance, PagesNeitherSkipNorRepeatAndBelongToOneCaller) {
  std::set<std::string> made, seen;
  for (int i = 0; i < 7; ++i) made.insert(MakeResource(Mill("R-" + std::to_string(i))).id());
  v1::ListResourcesRequest request;
  request.set_page_size(3);
  int pages = 0;
  do {
    auto page = Call<v1::ListResourcesResponse>("ListResources", Provider(), request);
    ASSERT_TRUE(page) << CodeOf(page);
    for (const auto& resource : page->data()) EXPECT_TRUE(seen.insert(resource.id()).second);
    request.set_page_token(page->next_page_token());
    if (++pages == 1) {
      EXPECT_EQ(CodeOf(Call<v1::ListResourcesResponse>("ListResources", Stranger(), request)), "INVALID_PAGE_TOKEN");
    }
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(seen, made);
  EXPECT_EQ(Call<v1::ListResourcesResponse>("ListResources", Stranger(), v1::ListResourcesRequest())->data_size(), 0);
  EXPECT_EQ(Call<v1::ListResourcesResponse>("ListResources", Operator(), v1::ListResourcesRequest())->data_size(), 7);
}

TEST_F(ListingInstance, TheDatabaseItselfHidesOthersRows) {
  v1::Resource resource = MakeResource(Mill());
  std::string draft = MakeListing(Complete(resource.id())).id();
  ASSERT_TRUE(Act("PublishListing", Provider(), MakeListing(Complete(resource.id())).id()));
  auto rows = [&](const Uuid& asking, const char* table) {
    int64_t number = -1;
    EXPECT_TRUE(reader_->RunHere([&](postgres::Transaction& tx) {
      if (!asking.IsNil()) tx.ExecuteText("SELECT set_config('millrace.organization', '" + asking.Hex() + "', true)");
      number = tx.ExecuteText(std::string("SELECT count(*) FROM ") + table)[0].Int(0);
    }));
    return number;
  };
  EXPECT_EQ(rows(provider_, "resource"), 1);
  EXPECT_EQ(rows(stranger_, "resource"), 0);
  EXPECT_EQ(rows({}, "resource"), 0);
  EXPECT_EQ(rows(provider_, "listing"), 2);
  EXPECT_EQ(rows(stranger_, "listing"), 1);  // the published one
  EXPECT_FALSE(reader_->RunHere([&](postgres::Transaction& tx) { tx.ExecuteText("UPDATE listing SET version = 9"); }));
}

TEST_F(ListingInstance, PricesAndNamesOfProcesses) {
  v1::Resource resource = MakeResource(Mill());
  std::string id = MakeListing(Complete(resource.id())).id();
  v1::PriceListingRequest request;
  request.set_id(id);
  request.set_units(2);
  request.mutable_window()->mutable_start_time()->set_seconds(1'800'000'000);
  request.mutable_window()->mutable_end_time()->set_seconds(1'800'000'000 + 2 * 3600);
  auto price = Call<v1::Price>("PriceListing", Provider(), request);
  ASSERT_TRUE(price) << CodeOf(price);
  EXPECT_EQ(price->total().amount(), 2 * 2 * 12000);
  EXPECT_EQ(CodeOf(Call<v1::Price>("PriceListing", Stranger(), request)), "NOT_FOUND");
  v1::ListProcessesRequest q;
  q.set_q("五轴");
  auto found = Call<v1::ListProcessesResponse>("ListProcesses", Stranger(), q);
  ASSERT_TRUE(found);
  bool five_axis = false;
  for (const auto& node : found->data()) five_axis = five_axis || node.code() == "separating.milling.five_axis";
  EXPECT_TRUE(five_axis);
  EXPECT_LT(found->data_size(), 10);
  EXPECT_GT(Call<v1::ListProcessesResponse>("ListProcesses", Stranger(), v1::ListProcessesRequest())->data_size(), 200);
}

TEST_F(ListingInstance, AttachmentsAreTheOrganizationsOwn) {
  v1::CreateAttachmentRequest request;
  request.mutable_file()->set_content_type("application/pdf");
  request.mutable_file()->set_data(std::string("%PDF\0\xff", 6));
  auto stored = Call<v1::Attachment>("CreateAttachment", Provider(), request);
  ASSERT_TRUE(stored) << CodeOf(stored);
  EXPECT_EQ(stored->size(), 6);
  EXPECT_EQ(Call<v1::Attachment>("CreateAttachment", Provider(), request)->sha256(), stored->sha256());
  EXPECT_EQ(Number("SELECT count(*) FROM attachment"), 1);
  v1::GetAttachmentRequest wanted;
  wanted.set_sha256(stored->sha256());
  auto read = Call<google::api::HttpBody>("GetAttachment", Provider(), wanted);
  ASSERT_TRUE(read) << CodeOf(read);
  EXPECT_EQ(read->data(), request.file().data());
  EXPECT_EQ(read->content_type(), "application/pdf");
  EXPECT_EQ(CodeOf(Call<google::api::HttpBody>("GetAttachment", Stranger(), wanted)), "NOT_FOUND");
}

TEST_F(ListingInstance, ASnapshotHoldsWhatWasEverPublished) {
  v1::Resource resource = MakeResource(Mill());
  std::set<std::string> published;
  for (int i = 0; i < 5; ++i) {
    std::string id = MakeListing(Complete(resource.id())).id();
    ASSERT_TRUE(Act("PublishListing", Provider(), id));
    published.insert(id);
  }
  ASSERT_TRUE(Act("RetireListing", Provider(), *published.begin()));
  MakeListing(Complete(resource.id()));
  ASSERT_TRUE(Until([&] { return Number("SELECT count(*) FROM event WHERE seq IS NULL") == 0; }));
  v1::SnapshotListingsRequest request;
  request.set_limit(2);
  std::set<std::string> seen;
  bool more = true;
  while (more) {
    auto page = Call<v1::SnapshotListingsResponse>("SnapshotListings", CallContext::ForService("matching"), request);
    ASSERT_TRUE(page) << CodeOf(page);
    EXPECT_EQ(page->seq(), 12);
    for (const auto& bookable : page->data()) {
      EXPECT_TRUE(seen.insert(bookable.listing().id()).second);
      EXPECT_EQ(bookable.resource().id(), resource.id());
      request.set_after_id(bookable.listing().id());
    }
    more = page->more();
  }
  EXPECT_EQ(seen, published);
  EXPECT_EQ(CodeOf(Call<v1::SnapshotListingsResponse>("SnapshotListings", Provider(), request)), "INSUFFICIENT_SCOPE");
}

}  // namespace
}  // namespace millrace::listing
