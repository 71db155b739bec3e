// SPDX-License-Identifier: Apache-2.0
#include "common/base/phrases.h"

#include <gtest/gtest.h>

#include "common/base/error.h"

namespace millrace {
namespace {

TEST(Phrases, SayInChineseWhatIsKnown) {
  EXPECT_EQ(ChinesePhrase("a list"), "列表");
  EXPECT_EQ(ChinesePhrase("one of HOUR, DAY"), "以下之一：HOUR, DAY");
  EXPECT_EQ(ChinesePhrase("only one of a, b"), "只给出其中之一：a, b");
  EXPECT_EQ(ChinesePhrase("GET has no body"), "GET 不能带请求体");
  for (const char* own : {"", "12.5", "lst_01J9ZK3V6M2E8QW4T7Y1N5R0AB", "one of ", "列表"}) {
    EXPECT_EQ(ChinesePhrase(own), own);
  }
}

TEST(Phrases, StandInSentences) {
  ErrorParams params{{"field", "a list"}, {"expected", "an integer"}, {"got", "a list"}};
  EXPECT_EQ(Detail(ErrorCode::kWrongType, params, Language::kZh), "a list 应为 整数，收到的是 列表。");
  EXPECT_EQ(Detail(ErrorCode::kWrongType, params, Language::kEn), "a list must be an integer; got a list.");
  ErrorParams ended{{"state", "CLOSED"}, {"action", "cancel"}, {"allowed", "-"}};
  EXPECT_EQ(Detail(ErrorCode::kStateConflict, ended, Language::kEn),
            "The state is CLOSED, so cancel is not possible; allowed: none.");
  EXPECT_EQ(Detail(ErrorCode::kStateConflict, ended, Language::kZh), "状态为 CLOSED，不能执行 cancel；可用操作：无。");
}

}  // namespace
}  // namespace millrace
