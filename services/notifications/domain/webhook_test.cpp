// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/domain/webhook.h"

#include <gtest/gtest.h>

#include "common/base/text.h"

namespace millrace::notifications::domain {
namespace {

using namespace std::chrono_literals;

std::string ReasonOf(const Result<void>& result) {
  if (result) return "";
  EXPECT_EQ(result.error().code, ErrorCode::kUnsafeUrl);
  EXPECT_EQ(result.error().violations.at(0).pointer, "#/webhook_endpoint/url");
  return result.error().violations.at(0).params.at("reason");
}

TEST(Urls, AreReadWhole) {
  struct Row {
    const char *text, *host, *base, *target;
    bool https;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"https://example.com", "example.com", "https://example.com", "/", true},
           {"HTTPS://Example.com:8443/a?b=c%20d", "Example.com", "https://Example.com:8443", "/a?b=c%20d", true},
           {"http://127.0.0.1:9/x", "127.0.0.1", "http://127.0.0.1:9", "/x", false},
           {"https://[2001:db8::1]:1/", "2001:db8::1", "https://[2001:db8::1]:1", "/", true},
           {"https://h?x", "h", "https://h", "/?x", true}}) {
    auto url = ReadUrl(row.text, "#/webhook_endpoint/url");
    ASSERT_TRUE(url) << row.text;
    EXPECT_EQ(url->host, row.host);
    EXPECT_EQ(url->base, row.base);
    EXPECT_EQ(url->target, row.target);
    EXPECT_EQ(url->https, row.https);
  }
}

TEST(Urls, AreRefusedForWhatTheyHide) {
  for (const char* text : {"",
                           "example.com",
                           "ftp://example.com",
                           "file:///etc/passwd",
                           "gopher://x",
                           "https://",
                           "https:///x",
                           "https://a@b/",
                           "https://user:pw@example.com",
                           "https://example.com@127.0.0.1/",
                           "https://example.com\\@127.0.0.1",
                           "https://ex ample",
                           "https://example.com/\r\nX: y",
                           "https://example.com/\t",
                           "https://例子.com",
                           "https://example.com:0",
                           "https://example.com:65536",
                           "https://example.com:",
                           "https://example.com:8x",
                           "https://[::1",
                           "https://[::1]x",
                           "https://[1.2.3]:1",
                           "https://[fe80::1%25lo]/",
                           "https://example.com/#f",
                           "https://a:b:c/",
                           "javascript://x",
                           "//example.com",
                           "https://ex(ample"}) {
    auto url = ReadUrl(text, "#/webhook_endpoint/url");
    ASSERT_FALSE(url) << text;
    EXPECT_EQ(url.error().violations.at(0).code, ErrorCode::kUnsafeUrl);
  }
}

TEST(Addresses, OfTheHostDecide) {
  auto allowed = ParseCidrs("127.0.0.0/8, 10.9.0.0/16, fd00:1::/32").value();
  Url https{.https = true}, http{};
  auto check = [&](const Url& url, std::vector<std::string> ips) {
    return ReasonOf(CheckAddresses(url, ips, allowed, "#/webhook_endpoint/url"));
  };
  EXPECT_EQ(check(https, {"8.8.8.8", "2001:4860:4860::8888"}), "");
  EXPECT_EQ(check(http, {"127.0.0.1"}), "");
  EXPECT_EQ(check(https, {"127.0.0.1", "10.9.1.1", "fd00:1::5", "::ffff:10.9.0.1", "64:ff9b::a09:1"}), "");
  EXPECT_EQ(check(http, {"8.8.8.8"}), "it must begin with https://");
  for (const char* ip :
       {"10.8.0.1", "192.168.0.1", "169.254.169.254", "fd00:ec2::254", "::1", "0.0.0.0", "100.64.0.1", "224.0.0.1",
        "::ffff:192.168.0.1", "64:ff9b::a9fe:a9fe", "2002:c0a8:1::", "not an address", ""}) {
    for (const Url& url : {https, http}) {
      EXPECT_NE(check(url, {ip}), "") << ip;
      EXPECT_NE(check(url, {"127.0.0.1", ip}), "") << ip;  // one bad address is enough
    }
  }
  EXPECT_EQ(check(https, {}), "the host has no address");
  EXPECT_FALSE(MayCall(true, "127.0.0.1", {}));
}

TEST(Attempts, FollowTheSchedule) {
  Schedule schedule = StandardSchedule();
  ASSERT_EQ(schedule.size(), 10u);
  Duration total{0};
  for (int attempts = 1; attempts < 10; ++attempts) {
    for (int status : {0, 100, 199, 300, 302, 400, 404, 429, 500, 503}) {
      auto middle = Judge(false, attempts, status, {}, schedule, 0);
      EXPECT_EQ(middle.verdict, Verdict::kAgain);
      EXPECT_EQ(middle.pause, Duration(schedule[attempts]));
      EXPECT_EQ(Judge(false, attempts, status, {}, schedule, 1).pause, Duration(schedule[attempts]) * 11 / 10);
      EXPECT_EQ(Judge(false, attempts, status, {}, schedule, -1).pause, Duration(schedule[attempts]) * 9 / 10);
    }
    total += Judge(false, attempts, 500, {}, schedule, 0).pause;
  }
  EXPECT_EQ(total, Duration(75h + 35min + 5s));
  EXPECT_EQ(Judge(false, 10, 500, {}, schedule, 0).verdict, Verdict::kExhausted);
  EXPECT_EQ(Judge(false, 11, 0, {}, schedule, 0).verdict, Verdict::kExhausted);  // one that a crash took was counted
  for (int status : {200, 201, 204, 299})
    EXPECT_EQ(Judge(false, 10, status, {}, schedule, 0).verdict, Verdict::kSucceeded);
  EXPECT_EQ(Judge(false, 1, 410, {}, schedule, 0).verdict, Verdict::kGone);
  for (int status : {0, 302, 410, 500}) EXPECT_EQ(Judge(true, 1, status, {}, schedule, 0).verdict, Verdict::kRefused);
  EXPECT_EQ(Judge(true, 1, 204, {}, schedule, 0).verdict, Verdict::kSucceeded);
}

TEST(Attempts, HonourRetryAfterButNotWithoutEnd) {
  Schedule schedule = StandardSchedule();
  EXPECT_EQ(Judge(false, 1, 429, 60s, schedule, 0).pause, Duration(60s));
  EXPECT_EQ(Judge(false, 2, 503, 1s, schedule, 0).pause, Duration(5min));
  EXPECT_EQ(Judge(false, 2, 503, 1'000'000'000s, schedule, 0).pause, Duration(24h));
  Time now = ParseTime("1994-11-06T08:49:07Z").value();
  EXPECT_EQ(ReadRetryAfter("120", now), 120s);
  EXPECT_EQ(ReadRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", now), 30s);
  EXPECT_EQ(ReadRetryAfter("Sun, 06 Nov 1994 08:49:00 GMT", now), 0s);
  for (const char* bad : {"", "-1", "soon", "1.5", "Sun, 06 Nov 1994 08:49:37", "120 s", "+5", " 5"})
    EXPECT_FALSE(ReadRetryAfter(bad, now)) << bad;
}

TEST(Excerpts, AreTextOfTheirLength) {
  EXPECT_EQ(Excerpt("a\r\nb\tc", 100), "a\nb\tc");
  EXPECT_EQ(Excerpt(std::string("a\0b\x1b\x7f", 5), 100), "a?b??");
  EXPECT_EQ(Excerpt("\xff\xfe\xe4\xbd\xe5\xa5\xbd", 100), "????好");
  EXPECT_EQ(Excerpt("好好", 5), "好");
  for (size_t size = 0; size < 20; ++size) {
    std::string cut = Excerpt("好a\xf0\x9f\x98\x80\xffz好好", size);
    EXPECT_LE(cut.size(), size);
    EXPECT_TRUE(IsUtf8(cut));
  }
}

}  // namespace
}  // namespace millrace::notifications::domain
