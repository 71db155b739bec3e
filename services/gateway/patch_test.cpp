// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/patch.h"

#include <gtest/gtest.h>

#include "millrace/operations/v1/operations.pb.h"
#include "services/gateway/negotiate.h"

namespace millrace::gateway {
namespace {

JsonValue Parsed(std::string_view text) { return http::ParseJson(text).value(); }

// RFC 7396, appendix A, and its example in section 1.
TEST(MergePatch, DoesAsTheRfcSays) {
  struct Case {
    const char *target, *patch, *result;
  };
  constexpr Case kCases[] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", R"(null)", R"(null)"},
      {R"({"a":"foo"})", R"("bar")", R"("bar")"},
      {R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
      {R"({"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"})",
       R"({"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]})",
       R"({"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"})"},
  };
  for (const Case& each : kCases) {
    EXPECT_EQ(WriteTree(MergePatch(Parsed(each.target), Parsed(each.patch))), each.result) << each.patch;
  }
}

TEST(Patched, KeepsOutputOnlyMembersOut) {
  const auto* type = operations::v1::Booking::descriptor();
  constexpr const char* kStored = R"({"id":"bkg_1","state":"HELD","units":2,"work":"w","version":"3"})";
  auto patched = [&](const char* patch, bool stale = false) {
    return Patched(type, patch, kStored, stale, "#/booking").value_or("(refused)");
  };
  EXPECT_EQ(patched(R"({"units":5})"), R"({"units":5,"work":"w"})");
  EXPECT_EQ(patched(R"({"work":null,"state":"HELD","version":"3"})"), R"({"units":2})");
  // The reader refuses what is left here.
  EXPECT_EQ(patched(R"({"state":"CLOSED"})"), R"({"units":2,"work":"w","state":"CLOSED"})");
  EXPECT_EQ(patched(R"({"state":"CLOSED"})", true), R"({"units":2,"work":"w"})");
  auto refused = Patched(type, R"({"wrok":null,"window":{"strat":null}})", kStored, false, "#/booking");
  ASSERT_FALSE(refused);
  ASSERT_EQ(refused.error().violations.size(), 2u);
  EXPECT_EQ(refused.error().violations[1].pointer, "#/booking/window/strat");
  EXPECT_EQ(Patched(type, "3", kStored, false, "#").error().code, ErrorCode::kWrongType);
  EXPECT_EQ(Patched(type, "{", kStored, false, "#").error().code, ErrorCode::kInvalidJson);
}

TEST(Patched, EqualPatchesHaveOneDigest) {
  EXPECT_EQ(PatchDigest(R"({"a":1,"b":{"c":2,"d":3}})", "#").value(),
            PatchDigest(R"( { "b" : {"d":3,"c":2}, "a":1 } )", "#").value());
  EXPECT_NE(PatchDigest(R"({"a":1})", "#").value(), PatchDigest(R"({"a":"1"})", "#").value());
}

TEST(Accept, TheClosestRangeDecides) {
  for (const char* yes : {"", "*/*", "application/json", "text/html, application/*;q=0.2", "APPLICATION/JSON",
                          "text/html, */*;q=0.001", "application/json;q=1;x=y", "*/*;q=0, application/json"}) {
    EXPECT_TRUE(Accepts(yes, "application/json")) << yes;
  }
  for (const char* no : {"text/html", "application/json;q=0", "*/*, application/json;q=0.0", "application/jsonx",
                         "application/*;q=0, */*", "*/*;q=x", ";,", "application/json;q=0, application/json;q=0"}) {
    EXPECT_FALSE(Accepts(no, "application/json")) << no;
  }
  EXPECT_TRUE(Accepts("text/csv", "text/csv; charset=utf-8"));
}

TEST(EntityTags, AreComparedWeakly) {
  for (const char* has : {"*", "\"3\"", "W/\"3\"", "\"1\", \"3\"", "\"1\",W/\"3\" "})
    EXPECT_TRUE(HasTag(has, "3")) << has;
  for (const char* not_it : {"", "3", "\"33\"", "W/3", "\"1\", \"2\""}) EXPECT_FALSE(HasTag(not_it, "3")) << not_it;
  EXPECT_FALSE(HasTag("*", ""));
}

}  // namespace
}  // namespace millrace::gateway
