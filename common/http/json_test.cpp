// SPDX-License-Identifier: Apache-2.0
#include "common/http/json.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/struct.pb.h>
#include <gtest/gtest.h>

#include <random>

#include "common/base/limits.h"
#include "common/http/json_parse.h"
#include "millrace/events/v1/events.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/listing/v1/attributes.pb.h"
#include "millrace/type/common.pb.h"
#include "millrace/type/money.pb.h"
#include "tests/support/rounds.h"

namespace millrace::http {
namespace {

struct Fault {
  std::string json;
  std::string pointer;
  ErrorCode code;
};

// Reads into M and returns "pointer CODE" of each violation.
template <class M>
std::vector<std::string> Faults(std::string_view json, std::string_view pointer = "#") {
  M message;
  Result<void> result = ReadJson(json, &message, pointer);
  std::vector<std::string> out;
  if (result) return out;
  for (const Violation& violation : result.error().violations) {
    out.push_back(violation.pointer + " " + std::string(Name(violation.code)));
  }
  return out;
}

template <class M>
void ExpectFault(const Fault& fault) {
  EXPECT_EQ(Faults<M>(fault.json), (std::vector<std::string>{fault.pointer + " " + std::string(Name(fault.code))}))
      << fault.json;
}

TEST(JsonText, RefusesEverythingTwoParsersCouldReadDifferently) {
  std::string deep = std::string(65, '[') + std::string(65, ']');
  const std::vector<std::pair<std::string, std::string>> kBad = {
      {"", "#"},
      {"{", "#"},
      {"[1,]", "#/1"},
      {R"({"a":1,})", "#"},
      {R"({"a":1,"a":2})", "#/a"},
      {R"({"a":{"b":1,"\u0062":2}})", "#/a/b"},
      {"{a:1}", "#"},
      {"{'a':1}", "#"},
      {R"({"a":NaN})", "#/a"},
      {R"({"a":Infinity})", "#/a"},
      {R"({"a":-Infinity})", "#/a"},
      {R"({"a":01})", "#/a"},
      {R"({"a":+1})", "#/a"},
      {R"({"a":.5})", "#/a"},
      {R"({"a":1.})", "#/a"},
      {R"({"a":1e})", "#/a"},
      {R"({"a":0x10})", "#"},
      {R"({"a":"\ud800"})", "#/a"},
      {R"({"a":"\udc00\ud800"})", "#/a"},
      {R"({"a":"\ud800\u0041"})", "#/a"},
      {R"({"a":"\x41"})", "#/a"},
      {"{\"a\":\"\xC0\xAF\"}", "#/a"},
      {"{\"a\":\"\xED\xA0\x80\"}", "#/a"},
      {"{\"a\":\"\xF4\x90\x80\x80\"}", "#/a"},
      {"{\"a\":\"\xFF\"}", "#/a"},
      {"{\"a\":\"line\nbreak\"}", "#/a"},
      {"{\"a\":\"open", "#/a"},
      {"\xEF\xBB\xBF{}", "#"},
      {"{} {}", "#"},
      {"{}//comment", "#"},
      {R"({"a":tru})", "#/a"},
      {deep, ""},
      {R"({"a":)" + std::string(101, '1') + "}", "#/a"},
  };
  for (const auto& [text, pointer] : kBad) {
    Result<JsonValue> value = ParseJson(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, ErrorCode::kInvalidJson);
    ASSERT_EQ(value.error().violations.size(), 1u);
    if (!pointer.empty()) EXPECT_EQ(value.error().violations[0].pointer, pointer) << text;
  }
}

TEST(JsonText, SaysWhere) {
  Result<JsonValue> value = ParseJson("{\n  \"a\": [1,\n  x]\n}");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().params.at("line"), "3");
  EXPECT_EQ(value.error().params.at("column"), "3");
  EXPECT_EQ(value.error().violations[0].pointer, "#/a/1");
}

TEST(JsonText, TakesWhatIsAllowed) {
  for (std::string text : {"0", "-0", "1.5e+10", " [ ] ", R"("\ud83d\ude00\u4e2d")", "null", R"({"":{"":[]}})"}) {
    EXPECT_TRUE(ParseJson(text)) << text;
  }
  std::string deepest = std::string(64, '[') + std::string(64, ']');
  EXPECT_TRUE(ParseJson(deepest));
  EXPECT_EQ(ParseJson(R"("\ud83d\ude00\u4e2d\n\/")")->text, "😀中\n/");
}

TEST(JsonText, PointersEscape) { EXPECT_EQ(PointerToken("a/b~c d中"), "a~1b~0c%20d%E4%B8%AD"); }

TEST(ReadJson, MoneyIsAnExactInteger) {
  for (std::string amount : {"1250000", R"("1250000")"}) {
    type::Money money;
    ASSERT_TRUE(ReadJson(R"({"currency":"CNY","amount":)" + amount + "}", &money));
    EXPECT_EQ(money.amount(), 1250000);
  }
  type::Money money;
  ASSERT_TRUE(ReadJson(R"({"amount":"9007199254740993"})", &money));
  EXPECT_EQ(money.amount(), 9007199254740993);
  ASSERT_TRUE(ReadJson(R"({"amount":-9223372036854775808})", &money));
  for (std::string amount :
       {"12.5", "12.0", "1e3", R"("1e3")", R"("12.5")", R"(" 1")", R"("+1")", R"("01")", R"("")", R"("0x1")", "true",
        "[]", "{}", "9223372036854775808", R"("-9223372036854775809")", "1e400", "-0"}) {
    ExpectFault<type::Money>({R"({"amount":)" + amount + "}", "#/amount", ErrorCode::kWrongType});
  }
}

TEST(ReadJson, TimesNeedAnOffset) {
  type::Interval interval;
  ASSERT_TRUE(ReadJson(R"({"start_time":"2026-10-01T08:00:00+08:00","end_time":"1969-12-31T23:59:59.5Z"})", &interval));
  EXPECT_EQ(interval.start_time().seconds(), 1790812800);
  EXPECT_EQ(interval.end_time().seconds(), -1);
  EXPECT_EQ(interval.end_time().nanos(), 500'000'000);
  ExpectFault<type::Interval>(
      {R"({"start_time":"2026-10-01T08:00:00"})", "#/start_time", ErrorCode::kTimeWithoutOffset});
  ExpectFault<type::Interval>({R"({"start_time":"yesterday"})", "#/start_time", ErrorCode::kInvalidFormat});
  ExpectFault<type::Interval>({R"({"start_time":1790812800})", "#/start_time", ErrorCode::kWrongType});
}

TEST(ReadJson, EnumsByNameOnly) {
  type::Place place;
  ASSERT_TRUE(ReadJson(R"({"longitude":113.88,"latitude":22,"coordinate_system":"GCJ02"})", &place));
  EXPECT_EQ(place.coordinate_system(), type::Place::GCJ02);
  for (std::string value : {R"("COORDINATE_SYSTEM_UNSPECIFIED")", R"("gcj02")", "2", R"("2")", "true"}) {
    ExpectFault<type::Place>({R"({"coordinate_system":)" + value + "}", "#/coordinate_system", ErrorCode::kWrongType});
  }
  ExpectFault<type::Place>({R"({"latitude":"22"})", "#/latitude", ErrorCode::kWrongType});
  ExpectFault<type::Place>({R"({"latitude":1e400})", "#/latitude", ErrorCode::kWrongType});
}

TEST(ReadJson, ReportsEveryFaultAtOnce) {
  auto faults = Faults<identity::v1::Organization>(
      R"({"id":"org_1","display_name":5,"idd":1,"metadata":{"a/b":1,"c":null},"roles":[],"uscc":null})",
      "#/organization");
  EXPECT_EQ(faults,
            (std::vector<std::string>{"#/organization/id OUTPUT_ONLY", "#/organization/display_name WRONG_TYPE",
                                      "#/organization/idd UNKNOWN_FIELD", "#/organization/metadata/a~1b WRONG_TYPE",
                                      "#/organization/metadata/c WRONG_TYPE", "#/organization/roles OUTPUT_ONLY"}));
  identity::v1::Organization message;
  Result<void> result = ReadJson(R"({"idd":1})", &message);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnknownField);
  EXPECT_EQ(result.error().params.at("field"), "idd");
}

TEST(ReadJson, StopsReportingAtTheLimit) {
  std::string json = "{";
  for (int i = 0; i < 300; ++i) json += (i ? ",\"x" : "\"x") + std::to_string(i) + "\":1";
  EXPECT_EQ(Faults<type::Money>(json + "}").size(), limits::kViolationsReported);
}

TEST(ReadJson, OptionalMapsListsOneofsBytes) {
  listing::v1::EquipmentAttributes attributes;
  ASSERT_TRUE(ReadJson(R"({"axes":0,"year_built":null})", &attributes));
  EXPECT_TRUE(attributes.has_axes());
  EXPECT_FALSE(attributes.has_year_built());
  ExpectFault<listing::v1::EquipmentAttributes>({R"({"axes":3000000000})", "#/axes", ErrorCode::kOutOfRange});

  google::protobuf::Value value;
  ASSERT_TRUE(ReadJson(
      R"({"struct_value":{"fields":{"k":{"list_value":{"values":[{"string_value":"x"},{"bool_value":true}]}}}}})",
      &value));
  EXPECT_EQ(value.struct_value().fields().at("k").list_value().values_size(), 2);
  ExpectFault<google::protobuf::Value>(
      {R"({"number_value":1,"string_value":"x"})", "#/string_value", ErrorCode::kInvalidFormat});
  ExpectFault<google::protobuf::Value>(
      {R"({"list_value":{"values":[{"bool_value":true},null]}})", "#/list_value/values/1", ErrorCode::kWrongType});
  ExpectFault<google::protobuf::Value>(
      {R"({"list_value":{"values":{}}})", "#/list_value/values", ErrorCode::kWrongType});
  ExpectFault<google::protobuf::Value>({"[]", "#", ErrorCode::kWrongType});

  events::v1::Event event;
  ASSERT_TRUE(ReadJson(R"({"payload":"AAH/"})", &event));
  EXPECT_EQ(event.payload(), std::string("\x00\x01\xFF", 3));
  ExpectFault<events::v1::Event>({R"({"payload":"AAH"})", "#/payload", ErrorCode::kInvalidFormat});
}

TEST(ReadText, TakesPathAndQueryParameters) {
  google::protobuf::Value value;
  auto field = [](const google::protobuf::Message& m, const char* name) {
    return m.GetDescriptor()->FindFieldByName(name);
  };
  EXPECT_TRUE(ReadText("true", &value, field(value, "bool_value"), "#/bool_value"));
  EXPECT_FALSE(ReadText("yes", &value, field(value, "bool_value"), "#/bool_value"));
  EXPECT_TRUE(ReadText("-1.5", &value, field(value, "number_value"), "#/n"));
  EXPECT_FALSE(ReadText("inf", &value, field(value, "number_value"), "#/n"));
  type::Money money;
  EXPECT_TRUE(ReadText("12", &money, field(money, "amount"), "#/amount"));
  EXPECT_FALSE(ReadText("12.0", &money, field(money, "amount"), "#/amount"));
  events::v1::Event event;
  EXPECT_TRUE(ReadText("org_1", &event, field(event, "parties"), "#/parties"));
  EXPECT_TRUE(ReadText("org_2", &event, field(event, "parties"), "#/parties"));
  EXPECT_EQ(event.parties_size(), 2);
  EXPECT_TRUE(ReadText("2026-10-01T00:00:00Z", &event, field(event, "time"), "#/time"));
  EXPECT_EQ(ReadText("2026-10-01T00:00:00", &event, field(event, "time"), "#/time").error().code,
            ErrorCode::kTimeWithoutOffset);
}

TEST(WriteJson, PrintsPlainFieldsAlwaysAndOthersWhenSet) {
  EXPECT_EQ(WriteJson(type::Money()), R"({"amount":"0","currency":""})");
  EXPECT_EQ(WriteJson(type::Place()), R"({"longitude":0,"latitude":0})");
  type::Place place;
  place.set_longitude(113.88);
  place.set_coordinate_system(type::Place::WGS84);
  EXPECT_EQ(WriteJson(place), R"({"longitude":113.88,"latitude":0,"coordinate_system":"WGS84"})");
  EXPECT_EQ(WriteJson(type::Interval()), "{}");
  EXPECT_EQ(WriteJson(listing::v1::EquipmentAttributes()).find("axes"), std::string::npos);
  identity::v1::ListSitesResponse page;
  EXPECT_EQ(WriteJson(page).find("next_page_token"), std::string::npos);
  page.set_next_page_token("t");
  EXPECT_NE(WriteJson(page).find(R"("next_page_token":"t")"), std::string::npos);
}

TEST(WriteJson, EscapesSortsAndIndents) {
  identity::v1::Organization organization;
  (*organization.mutable_metadata())["b"] = "\"\\\n\x01";
  (*organization.mutable_metadata())["a"] = "中";
  std::string text = WriteJson(organization);
  EXPECT_NE(text.find(R"("metadata":{"a":"中","b":"\"\\\n\u0001"})"), std::string::npos) << text;
  type::Money money;
  money.set_amount(-5);
  EXPECT_EQ(WriteJson(money, true), "{\n  \"amount\": \"-5\",\n  \"currency\": \"\"\n}");
}

TEST(WriteJson, AnyIsTheObjectInside) {
  type::Money money;
  money.set_amount(9007199254740993);
  google::protobuf::Any any;
  any.PackFrom(money);
  EXPECT_EQ(WriteJson(any), R"({"amount":"9007199254740993","currency":""})");
  any.set_type_url("type.googleapis.com/no.such.Message");
  EXPECT_EQ(WriteJson(any), "{}");
}

TEST(RoundTrip, WhatIsWrittenReadsBack) {
  google::protobuf::Value value;
  auto& fields = *value.mutable_struct_value()->mutable_fields();
  fields["中/~\""].set_number_value(0.1);
  fields["big"].set_number_value(1.7976931348623157e308);
  fields["list"].mutable_list_value()->add_values()->set_string_value(std::string("\0\x7F", 2));
  google::protobuf::Value back;
  for (bool indent : {false, true}) {
    back.Clear();
    Result<void> read = ReadJson(WriteJson(value, indent), &back);
    ASSERT_TRUE(read);
    EXPECT_EQ(WriteJson(back), WriteJson(value));
  }
}

// Whatever comes in is either read, and then means the same after a round trip, or refused with a pointer.
TEST(RoundTrip, MutatedBodiesAreReadOrRefusedWithAPointer) {
  const std::string kSeed =
      R"({"struct_value":{"fields":{"a\u4e2d":{"number_value":-1.5e3},"b":{"list_value":{"values":[{"bool_value":true},)"
      R"({"string_value":"x\ud83d\ude00"}]}}}}})";
  const std::string kBytes = "{}[]\",:\\u0d8e+-.\x80\xFF\x00\n n9";
  std::mt19937 random(20261124);
  int read = 0, refused = 0;
  for (int i = 0; i < Rounds(20000); ++i) {
    std::string text = kSeed;
    for (unsigned changes = random() % 4 + 1; changes > 0; --changes) {
      size_t at = random() % text.size();
      char byte = kBytes[random() % kBytes.size()];
      switch (random() % 3) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        default:
          text.erase(at, random() % 3 + 1);
          break;
      }
    }
    google::protobuf::Value value, back;
    Result<void> result = ReadJson(text, &value);
    if (result) {
      ++read;
      ASSERT_TRUE(ReadJson(WriteJson(value), &back)) << text;
      ASSERT_EQ(WriteJson(back), WriteJson(value)) << text;
    } else {
      ++refused;
      ASSERT_FALSE(result.error().violations.empty()) << text;
      for (const Violation& violation : result.error().violations)
        ASSERT_TRUE(violation.pointer.starts_with("#")) << text;
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace millrace::http
