// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/scope.h"

#include <gtest/gtest.h>

namespace millrace::rpc {
namespace {

TEST(Scope, FollowsFromTheRoute) {
  EXPECT_EQ(ScopeOf("GET", "/v1/bookings/{id}"), "bookings:read");
  EXPECT_EQ(ScopeOf("HEAD", "/v1/bookings"), "bookings:read");
  EXPECT_EQ(ScopeOf("POST", "/v1/bookings/{id}:cancel"), "bookings:write");
  EXPECT_EQ(ScopeOf("POST", "/v1/clock:advance"), "clock:write");
  EXPECT_EQ(ScopeOf("DELETE", "/v1/api_keys/{id}"), "api_keys:write");
  EXPECT_EQ(ScopeOf("GET", "/v1"), "");
}

TEST(Scope, CoversNoMoreThanItSays) {
  struct Case {
    const char* held;
    bool read, write, all, other_read, other_write;
  };
  constexpr Case kCases[] = {{"bookings:read", true, false, false, false, false},
                             {"bookings:write", true, true, true, false, false},
                             {"bookings:*", true, true, true, false, false},
                             {"*:read", true, false, false, true, false},
                             {"*:*", true, true, true, true, true},
                             {"demands:write", false, false, false, true, true}};
  for (const Case& one : kCases) {
    std::set<std::string> held = {one.held};
    EXPECT_EQ(Covers(held, "bookings:read"), one.read) << one.held;
    EXPECT_EQ(Covers(held, "bookings:write"), one.write) << one.held;
    EXPECT_EQ(Covers(held, "bookings:*"), one.all) << one.held;
    EXPECT_EQ(Covers(held, "demands:read"), one.other_read) << one.held;
    EXPECT_EQ(Covers(held, "demands:write"), one.other_write) << one.held;
    EXPECT_EQ(Covers(held, "*:*"), std::string_view(one.held) == "*:*") << one.held;
  }
  EXPECT_TRUE(Covers({}, "bookings:write"));
  EXPECT_FALSE(Covers({"bookings:write"}, "*:read"));
  EXPECT_EQ(CheckScope({"demands:read"}, "bookings:write").error().params.at("roles"), "bookings:write");
}

TEST(Scope, IsKnownByItsNoun) {
  std::set<std::string> nouns = {"bookings", "events"};
  for (const char* good : {"bookings:read", "bookings:write", "bookings:*", "*:read", "*:*"})
    EXPECT_TRUE(IsScope(nouns, good)) << good;
  for (const char* bad : {"", ":", "bookings", "bookings:", "booking:read", "*:write", "bookings:admin",
                          "bookings:read,x", "bookings:read ", "Bookings:read", ":read", "bookings:*:read"})
    EXPECT_FALSE(IsScope(nouns, bad)) << bad;
}

}  // namespace
}  // namespace millrace::rpc
