// SPDX-License-Identifier: Apache-2.0
#include "common/base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using testing::ElementsAre;

TEST(Text, KnowsUtf8) {
  EXPECT_TRUE(IsUtf8("五轴 five µ 𠮷"));
  for (std::string_view wrong : {"\xC0\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE4\xBA", "\xFF", "\x80"}) {
    EXPECT_FALSE(IsUtf8(wrong));
  }
  EXPECT_EQ(CharacterCount("五轴𠮷a"), 4u);
  EXPECT_EQ(CharacterCount(""), 0u);
}

TEST(Text, FoldsForComparison) {
  EXPECT_EQ(FoldText("  ＣＮＣ－Milling,  5-Axis  "), "cnc milling 5 axis");
  EXPECT_EQ(FoldText("（五轴）加工。"), "五轴 加工");
  EXPECT_EQ(FoldText("五軸加工機床"), "五轴加工机床");
  EXPECT_EQ(FoldText("Ｓtraße"), "strasse");
  EXPECT_EQ(FoldText("--"), "");
  EXPECT_EQ(FoldText(FoldText("Ａ、B／Ｃ")), FoldText("Ａ、B／Ｃ"));
}

TEST(Text, CutsHanIntoBigramsAndTheRestIntoWords) {
  EXPECT_THAT(SearchTerms(FoldText("五轴加工 6061 铝 CNC中心")),
              ElementsAre("五轴", "轴加", "加工", "6061", "铝", "cnc", "中心"));
  EXPECT_TRUE(SearchTerms("").empty());
}

TEST(Text, DecodesByMarkThenUtf8ThenGb18030) {
  EXPECT_EQ(*DecodeFile("名称,型号"), "名称,型号");
  EXPECT_EQ(*DecodeFile("\xEF\xBB\xBF名称"), "名称");
  EXPECT_EQ(*DecodeFile("\xC3\xFB\xB3\xC6"), "名称");                          // GB2312 part
  EXPECT_EQ(*DecodeFile("a\x95\x32\x82\x36\xC3\xFB"), "a\xF0\xA0\x80\x80名");  // four bytes: U+20000
  EXPECT_EQ(*DecodeFile(std::string_view("\xFF\xFE\x0D\x54\xF0\x79", 6)), "名称");
  EXPECT_EQ(*DecodeFile(std::string_view("\xFE\xFF\x54\x0D\x79\xF0", 6)), "名称");
  EXPECT_EQ(*DecodeFile(""), "");
}

TEST(Text, KeepsCharactersThatABufferCuts) {
  // 4,095 ASCII characters, then characters of two UTF-16 units: pairs lie across every buffer's end for one of the
  // offsets.
  for (size_t lead : {4095u, 2047u, 2046u}) {
    std::string gb(lead, 'a'), utf8(lead, 'a');
    gb += "\xC3\xFB";
    utf8 += "名";
    for (int i = 0; i < 3000; ++i) gb += "\x95\x32\x82\x36", utf8 += "\xF0\xA0\x80\x80";
    EXPECT_EQ(*DecodeFile(gb), utf8);
  }
}

TEST(Text, RefusesWhatIsNoneOfThem) {
  for (std::string_view wrong :
       {std::string_view("\xEF\xBB\xBF\xC3\xFB"), std::string_view("\xC3\xFB\xFF"), std::string_view("\xC3"),
        std::string_view("\x80\x81"), std::string_view("\xFF\xFEx", 3), std::string_view("a,b\n\0", 5),
        std::string_view("\0\x0D\x54", 3)}) {
    auto decoded = DecodeFile(wrong);
    ASSERT_FALSE(decoded) << *decoded;
    EXPECT_EQ(decoded.error().code, ErrorCode::kImportEncoding);
  }
}

}  // namespace
}  // namespace millrace
