// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "common/base/limits.h"
#include "common/http/guard.h"
#include "common/http/http.h"
#include "common/http/json_parse.h"

namespace millrace::http {
namespace {

TEST(Problem, GoldenInBothLanguages) {
  Error error = Error::Of({{"#/listing/price/amount", ErrorCode::kRequired, {{"field", "amount"}}},
                           {"#/listing", ErrorCode::kUnknownField, {{"field", "x"}}}});
  Response zh = Problem(error, Language::kZh, "req_1", "#/listing");
  EXPECT_EQ(zh.status, 400);
  EXPECT_EQ(
      zh.body,
      R"({"type":"/problems/invalid-request","title":"请求有误","status":400,"detail":"请求有 2 处问题，见 errors 列表。",)"
      R"("instance":"urn:millrace:request:req_1","code":"INVALID_REQUEST","request_id":"req_1","retryable":false,)"
      R"("errors":[{"pointer":"#/price/amount","code":"REQUIRED","detail":"必须提供 amount。"},)"
      R"({"pointer":"#","code":"UNKNOWN_FIELD","detail":"这里没有名为 x 的字段；请检查拼写。"}]})");
  EXPECT_EQ(zh.fields.Get("content-type"), "application/problem+json");
  EXPECT_EQ(zh.fields.Get("content-language"), "zh-CN");
  EXPECT_EQ(zh.fields.Get("request-id"), "req_1");
  Response en = Problem(Error(ErrorCode::kBookingConflict).With("alternatives", "[]"), Language::kEn, "req_2");
  EXPECT_EQ(
      en.body,
      R"({"type":"/problems/booking-conflict","title":"The slot is taken","status":409,)"
      R"("detail":"The resource is already booked in that window; see alternatives for free ones.",)"
      R"("instance":"urn:millrace:request:req_2","code":"BOOKING_CONFLICT","request_id":"req_2","retryable":false,"alternatives":[]})");
}

TEST(Problem, HeadersThatCodesAskFor) {
  EXPECT_EQ(Problem(Error(ErrorCode::kUnauthenticated), Language::kEn, "r").fields.Get("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(
      Problem(Error(ErrorCode::kMethodNotAllowed, {{"allow", "GET, PUT"}}), Language::kEn, "r").fields.Get("Allow"),
      "GET, PUT");
  EXPECT_EQ(Problem(Error(ErrorCode::kRateLimited, {{"seconds", "7"}}), Language::kEn, "r").fields.Get("Retry-After"),
            "7");
  EXPECT_EQ(Problem(Error(ErrorCode::kUnavailable), Language::kEn, "r").fields.Get("Retry-After"), "1");
  EXPECT_NE(Problem(Error(ErrorCode::kUnavailable), Language::kEn, "r").body.find(R"("retryable":true)"),
            std::string::npos);
  EXPECT_FALSE(Problem(Error(ErrorCode::kNotFound), Language::kEn, "r").fields.Has("Retry-After"));
  std::string internal = Problem(Error::Internal("SELECT secret"), Language::kEn, "r").body;
  EXPECT_EQ(internal.find("SELECT"), std::string::npos);
}

// Two English words in a row in a Chinese sentence are a reason that nobody translated.
bool HoldsEnglish(std::string_view text) {
  int words = 0;
  size_t letters = 0;
  for (char c : text) {
    if (c >= 'a' && c <= 'z') {
      ++letters;
    } else if (c == ' ' && letters > 0) {
      ++words;
      letters = 0;
    } else {
      words = 0;
      letters = 0;
    }
    if (words > 0 && letters > 1) return true;
  }
  return false;
}

TEST(Problem, ChineseIsChinese) {
  ASSERT_TRUE(HoldsEnglish("第 1 行：the text。"));
  std::string deep(limits::kJsonDepth + 1, '['), digits(101, '1');
  for (const std::string& bad : {std::string(),
                                 std::string("\xEF\xBB\xBF{}"),
                                 deep,
                                 digits,
                                 std::string("{} x"),
                                 std::string("{"),
                                 std::string("[1"),
                                 std::string("{a:1}"),
                                 std::string("{'a':1}"),
                                 std::string("{\"a\" 1}"),
                                 std::string("{\"a\":1 \"b\":2}"),
                                 std::string("[1 2]"),
                                 std::string("{\"a\":1,\"a\":2}"),
                                 std::string("-"),
                                 std::string("01"),
                                 std::string("1."),
                                 std::string("\"a"),
                                 std::string("\"\n\""),
                                 std::string("\"\xff\""),
                                 std::string("\"\\u12\""),
                                 std::string("\"\\x\""),
                                 std::string("\"\\ud800\""),
                                 std::string("tru"),
                                 std::string("{“a”：1}"),
                                 std::string("{\"a\"：1}"),
                                 std::string("{\"a\":1，}"),
                                 std::string("[，]")}) {
    Result<JsonValue> value = ParseJson(bad, "#");
    ASSERT_FALSE(value) << bad;
    std::string detail = Detail(value.error().code, value.error().params, Language::kZh);
    EXPECT_FALSE(HoldsEnglish(detail)) << detail;
    std::string_view reason = value.error().params["reason"];
    EXPECT_EQ(reason.find("half-width") != reason.npos, bad.contains("：") || bad.contains("，")) << bad;
  }
  for (const char* bad :
       {"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA_b: c\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nA: \xE4\r\n\r\n",
        "GET /\xE4 HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"}) {
    Result<Head> head = ParseHead(bad);
    Result<Framing> framing = head ? CheckHead(*head) : std::unexpected<Error>(head.error());
    ASSERT_FALSE(framing) << bad;
    std::string detail = Detail(framing.error().code, framing.error().params, Language::kZh);
    EXPECT_FALSE(HoldsEnglish(detail)) << detail;
  }
}

TEST(Problem, ChoosesTheLanguage) {
  for (const char* zh : {"", "zh-CN", "zh-CN,en;q=0.9", "en;q=0.5,zh", "fr", "*", "en;q=0", "zh, en", "english"}) {
    EXPECT_EQ(PreferredLanguage(zh), Language::kZh) << zh;
  }
  for (const char* en : {"en", "EN-us", "en, zh", "zh;q=0.5, en", "fr, en;q=0.2"}) {
    EXPECT_EQ(PreferredLanguage(en), Language::kEn) << en;
  }
}

TEST(Query, DecodesOrRefuses) {
  auto pairs = ParseQuery("a=1&b=%E4%B8%AD+x&&c&d=%3D");
  ASSERT_TRUE(pairs);
  EXPECT_EQ(*pairs,
            (std::vector<std::pair<std::string, std::string>>{{"a", "1"}, {"b", "中 x"}, {"c", ""}, {"d", "="}}));
  for (const char* bad : {"a=%", "a=%4", "a=%zz", "a=%FF", "a=%ED%A0%80", "%C0%AF=1"}) {
    EXPECT_EQ(ParseQuery(bad).error().code, ErrorCode::kInvalidQuery) << bad;
  }
  EXPECT_EQ(PercentDecode(PercentEncode("a/b ?中+"), false), "a/b ?中+");
}

TEST(ChunkedBody, TakesAnySplit) {
  std::string text = "5;name=\"v\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nAuthorization: Bearer x\r\n\r\nGET /next";
  for (size_t step = 1; step <= text.size(); ++step) {
    ChunkedBody body(100);
    size_t at = 0;
    while (at < text.size() && !body.done()) {
      Result<size_t> taken = body.Take(std::string_view(text).substr(at, step));
      ASSERT_TRUE(taken);
      at += *taken;
    }
    EXPECT_TRUE(body.done());
    EXPECT_EQ(body.body(), "hello0123456789");
    EXPECT_EQ(text.substr(at), "GET /next");
  }
}

TEST(ChunkedBody, RefusesWhatIsNoChunk) {
  for (std::string bad : {"g\r\n", "\r\n", "5\n", "5\rx", "-5\r\n", "+5\r\n", "0x5\r\n", "5 \r\n",
                          "FFFFFFFFFFFFFFFF\r\n", "1\r\nab", "1\r\na\rx", "5;a\nb", "0\r\na\nb", "0\r\n\rx"}) {
    ChunkedBody body(100);
    EXPECT_EQ(body.Take(bad).error().code, ErrorCode::kMalformedHttp) << bad;
  }
  ChunkedBody small(4);
  EXPECT_EQ(small.Take("5\r\n").error().code, ErrorCode::kPayloadTooLarge);
  ChunkedBody sum(4);
  EXPECT_EQ(sum.Take("3\r\nabc\r\n2\r\n").error().code, ErrorCode::kPayloadTooLarge);
  ChunkedBody extension(4);
  EXPECT_EQ(extension.Take("1;" + std::string(9000, 'x')).error().code, ErrorCode::kMalformedHttp);
  ChunkedBody trailers(4);
  std::string many = "0\r\n";
  for (int i = 0; i < 2000; ++i) many += "X-T: 1\r\n";
  EXPECT_EQ(trailers.Take(many).error().code, ErrorCode::kMalformedHttp);
}

}  // namespace
}  // namespace millrace::http
