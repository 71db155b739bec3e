// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/industry.h"

#include <gtest/gtest.h>

namespace millrace::identity::domain {
namespace {

TEST(Industry, KnowsTheNinetySevenDivisionsOfTwentySections) {
  int known = 0;
  for (int division = 0; division < 100; ++division) {
    std::string code = {static_cast<char>('0' + division / 10), static_cast<char>('0' + division % 10)};
    if (!CheckIndustryCode(code, "#/x")) continue;
    ++known;
    int sections = 0;
    for (char letter = 'A'; letter <= 'Z'; ++letter) sections += CheckIndustryCode(letter + code, "#/x").has_value();
    EXPECT_EQ(sections, 1) << code << " belongs to one section";
  }
  EXPECT_EQ(known, 97);
  for (const char* code : {"", "C", "T", "C34", "3425", "C3425", "342", "A01", "T9700"}) {
    EXPECT_TRUE(CheckIndustryCode(code, "#/x")) << code;
  }
  for (const char* code : {"U", "c34", "00", "98", "A34", "3", "34251", "C342A", "3A", "CC34", " C34", "S97"}) {
    auto refused = CheckIndustryCode(code, "#/organization/industry_code");
    ASSERT_FALSE(refused) << code;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnknownIndustryCode);
    EXPECT_EQ(refused.error().params.at("field"), "industry_code");
  }
}

TEST(Industry, KeepsCodesWithoutTheSectionsLetter) {
  EXPECT_EQ(NormalIndustryCode("C3421"), "3421");
  EXPECT_EQ(NormalIndustryCode("342"), "342");
  EXPECT_EQ(NormalIndustryCode("C"), "C");
  EXPECT_EQ(NormalIndustryCode("A3421"), "");
  EXPECT_EQ(NormalIndustryCode(""), "");
}

TEST(Industry, EveryBuiltInCodeHasItsPlaceInTheTree) {
  auto all = BuiltInIndustries();
  ASSERT_EQ(all.size(), 117u);
  std::string before;
  for (const BuiltInIndustry& each : all) {
    std::string code(each.code), place = IndustryPlace(code), parent = ParentIndustry(code);
    EXPECT_EQ(NormalIndustryCode(code), code);
    EXPECT_LT(before, place) << code;
    EXPECT_TRUE(LevelOf(code) == IndustryLevel::kSection ? parent.empty() : place == parent + code);
    EXPECT_FALSE(each.zh.empty() || each.en.empty()) << code;
    before = place;
  }
  EXPECT_EQ(ParentIndustry("3421"), "342");
  EXPECT_EQ(ParentIndustry("342"), "34");
  EXPECT_EQ(ParentIndustry("34"), "C");
  EXPECT_EQ(IndustryPlace("3421"), "C3421");
  EXPECT_EQ(LevelOf("342"), IndustryLevel::kGroup);
}

}  // namespace
}  // namespace millrace::identity::domain
