// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/page.h"

#include <gtest/gtest.h>

namespace millrace::rpc {
namespace {

TEST(Page, StartsAtTheNewestWithTheDefaultSize) {
  Result<Page> page = ReadPage(0, "", "filter");
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->after.IsNil());
  EXPECT_EQ(page->size, limits::kPageSizeDefault);
  EXPECT_EQ(ReadPage(7, "", "")->size, 7);
  EXPECT_EQ(ReadPage(1'000'000, "", "")->size, limits::kPageSizeMax);
}

TEST(Page, GoesOnAfterTheTokensId) {
  Uuid last = Uuid::New();
  std::string token = NextPageToken(last, "org|state=3");
  Result<Page> page = ReadPage(0, token, "org|state=3");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->after, last);
  EXPECT_EQ(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), token.npos);
}

void ExpectRefused(const std::string& token, const std::string& filter) {
  Result<Page> page = ReadPage(0, token, filter);
  ASSERT_FALSE(page) << token;
  EXPECT_EQ(page.error().code, ErrorCode::kInvalidPageToken);
}

TEST(Page, IsGoodForItsListAlone) {
  std::string token = NextPageToken(Uuid::New(), "a");
  ExpectRefused(token, "b");
  ExpectRefused(token, "");
}

TEST(Page, RefusesGarbageAndEveryFlippedBit) {
  std::string token = NextPageToken(Uuid::New(), "a");
  for (const std::string& garbage : std::initializer_list<std::string>{"x", "!!!!", "AAAA", "=", token + "A",
                                                                       token.substr(1), std::string("\0\0", 2)}) {
    ExpectRefused(garbage, "a");
  }
  for (size_t i = 0; i < token.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = token;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      ExpectRefused(flipped, "a");
    }
  }
}

}  // namespace
}  // namespace millrace::rpc
