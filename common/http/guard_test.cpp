// SPDX-License-Identifier: Apache-2.0
// The header's grammar; what the whole server makes of it is in server_test.cpp.
#include "common/http/guard.h"

#include <gtest/gtest.h>

namespace millrace::http {
namespace {

TEST(Guard, FindsTheEndOfAHeaderHoweverItArrives) {
  const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (size_t i = 0; i < text.size(); ++i) EXPECT_EQ(HeadLength(text.substr(0, i)).value(), 0u) << i;
  EXPECT_EQ(HeadLength(text).value(), text.size());
  EXPECT_EQ(HeadLength(text + "GET /b\nrest").value(), text.size());  // what follows is another's business
  EXPECT_FALSE(HeadLength("GET / HTTP/1.1\nHost: a\r\n\r\n"));
  EXPECT_FALSE(HeadLength("\n"));
  std::string exact = "GET / HTTP/1.1\r\nX: ";
  exact += std::string(8192 - exact.size() - 4, 'x') + "\r\n\r\n";
  EXPECT_EQ(HeadLength(exact).value(), 8192u);
  exact.insert(20, "x");
  EXPECT_EQ(HeadLength(exact).error().code, ErrorCode::kHeaderTooLarge);
  EXPECT_EQ(HeadLength(std::string(8193, 'x')).error().code, ErrorCode::kHeaderTooLarge);
  EXPECT_EQ(HeadLength(std::string(8192, 'x')).value(), 0u);
}

TEST(Guard, ReadsFieldsAsTheyStand) {
  Result<Head> head =
      ParseHead("PATCH /a?b=%20 HTTP/1.1\r\nhost:a\r\nX-Empty:\r\nX-Space: \t two words \t \r\nX-Empty: again\r\n\r\n");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->method, "PATCH");
  EXPECT_EQ(head->target, "/a?b=%20");
  EXPECT_TRUE(head->keep_alive);
  ASSERT_EQ(head->fields.all().size(), 4u);
  EXPECT_EQ(head->fields.Get("Host"), "a");
  EXPECT_EQ(head->fields.Get("x-space"), "two words");
  EXPECT_EQ(head->fields.all()[3].second, "again");
  EXPECT_TRUE(CheckHead(*head));
}

TEST(Guard, KeepsConnectionsAsTheyAsk) {
  auto keeps = [](const std::string& rest) { return ParseHead("GET / HTTP/" + rest + "\r\n\r\n").value().keep_alive; };
  EXPECT_TRUE(keeps("1.1"));
  EXPECT_FALSE(keeps("1.0"));
  EXPECT_TRUE(keeps("1.0\r\nConnection: Keep-Alive"));
  EXPECT_FALSE(keeps("1.0\r\nConnection: keep-alive, close"));
  EXPECT_FALSE(keeps("1.1\r\nConnection: close"));
  EXPECT_FALSE(keeps("1.1\r\nConnection: x, CLOSE , y"));
  EXPECT_FALSE(keeps("1.1\r\nConnection: keep-alive\r\nConnection: close"));
  EXPECT_TRUE(keeps("1.1\r\nConnection: closed"));
}

TEST(Guard, RefusesWhatHasASecondReading) {
  for (const std::string text : {"",
                                 "\r\n\r\n",
                                 "GET / HTTP/1.1\r\n",
                                 "GET / HTTP/1.1\r\n\r\nx",
                                 "GET / HTTP/1.1\r\n\r\n\r\n",
                                 "GET / HTTP/1.1 \r\n\r\n",
                                 " GET / HTTP/1.1\r\n\r\n",
                                 "GET\t/ HTTP/1.1\r\n\r\n",
                                 "GET / /b HTTP/1.1\r\n\r\n",
                                 "GET / http/1.1\r\n\r\n",
                                 "GET / HTTP/1.10\r\n\r\n",
                                 "GET / HTTP/11\r\n\r\n",
                                 "G(T / HTTP/1.1\r\n\r\n",
                                 "GET /# HTTP/1.1\r\n\r\n",
                                 "GET /\x7F HTTP/1.1\r\n\r\n",
                                 "GET / HTTP/1.1\r\n: a\r\n\r\n",
                                 "GET / HTTP/1.1\r\nHost\r\n\r\n",
                                 "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
                                 "GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
                                 "GET / HTTP/1.1\r\nHo\"st: a\r\n\r\n",
                                 "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
                                 "GET / HTTP/1.1\r\n X: a\r\n\r\n",
                                 "GET / HTTP/1.1\r\nConnection: a b\r\n\r\n",
                                 "GET / HTTP/1.1\r\nX\rY: b\r\n\r\n",
                                 "GET /\rX HTTP/1.1\r\n\r\n"}) {
    EXPECT_FALSE(ParseHead(text)) << text;
  }
  // A lone CR in a value passes the grammar's line ends and falls to the rule about values.
  for (const std::string value : {"a\rZ", "a\rY: b", "\xC3\xA9", "a\x7F", "a\x0B"}) {
    Result<Head> head = ParseHead("GET / HTTP/1.1\r\nHost: a\r\nX: " + value + "\r\n\r\n");
    EXPECT_FALSE(head && CheckHead(*head)) << value;
  }
}

TEST(Guard, DecodesChunksInPiecesOfAnySize) {
  const std::string text = "5;ext=\"x\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET /";
  const size_t end = text.size() - 5;
  for (size_t piece = 1; piece < text.size(); ++piece) {
    ChunkedBody body(15);
    size_t at = 0;
    while (!body.done()) {
      Result<size_t> taken = body.Take(std::string_view(text).substr(at, piece));
      ASSERT_TRUE(taken);
      at += *taken;
    }
    EXPECT_EQ(body.body(), "hello0123456789");
    EXPECT_EQ(at, end);
  }
  ChunkedBody tight(14);
  EXPECT_EQ(tight.Take(text).error().code, ErrorCode::kPayloadTooLarge);
}

}  // namespace
}  // namespace millrace::http
