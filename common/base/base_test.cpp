// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "common/base/call_context.h"
#include "common/base/id.h"
#include "common/base/money.h"
#include "common/base/time.h"
#include "common/base/uscc.h"

namespace millrace {
namespace {

TEST(Id, RoundTripsThroughTextAndHex) {
  for (int i = 0; i < 1000; ++i) {
    Uuid id = Uuid::New();
    std::string text = FormatId("bkg", id);
    ASSERT_EQ(text.size(), 30u);
    ASSERT_EQ(*ParseId("bkg", text), id);
    ASSERT_EQ(Uuid::FromHex(id.Hex()), id);
    ASSERT_EQ(id.bytes[6] >> 4, 7);
    ASSERT_EQ(id.bytes[8] >> 6, 2);
  }
}

TEST(Id, SortsByCreationInBothForms) {
  Uuid before = Uuid::New();
  for (int i = 0; i < 100; ++i) {
    Time start = WallNow();
    while (WallNow() - start < Duration(3)) {
    }
    Uuid after = Uuid::New();
    ASSERT_LT(before, after);
    ASSERT_LT(FormatId("x", before), FormatId("x", after));
    ASSERT_LT(before.Hex(), after.Hex());
    before = after;
  }
}

TEST(Id, RefusesOtherPrefixesLengthsAndLetters) {
  std::string good = FormatId("bkg", Uuid::New());
  EXPECT_TRUE(IsId("bkg", good));
  for (std::string bad : {std::string(), std::string("bkg_"), good.substr(1), good + "0", FormatId("org", Uuid::New()),
                          std::string("bkg_0000000000000000000000000I"), std::string("bkg_80000000000000000000000000"),
                          std::string("bkg_0000000000000000000000000a")}) {
    auto parsed = ParseId("bkg", bad, "#/booking_id");
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidId);
    EXPECT_EQ(parsed.error().violations.at(0).pointer, "#/booking_id");
  }
}

TEST(TimeText, ReadsOffsetsAndWritesZ) {
  EXPECT_EQ(FormatTime(*ParseTime("2026-10-01T08:00:00+08:00")), "2026-10-01T00:00:00Z");
  EXPECT_EQ(FormatTime(*ParseTime("2026-10-01T00:00:00.250Z")), "2026-10-01T00:00:00.25Z");
  EXPECT_EQ(FormatTime(*ParseTime("1999-12-31T23:30:00-01:30")), "2000-01-01T01:00:00Z");
  EXPECT_EQ(FormatTime(*ParseTime("2024-02-29T00:00:00Z")), "2024-02-29T00:00:00Z");
}

TEST(TimeText, RefusesWhatIsNotAnInstant) {
  EXPECT_EQ(ParseTime("2026-10-01T08:00:00").error().code, ErrorCode::kTimeWithoutOffset);
  for (const char* bad : {"", "2026-10-01", "2026-02-29T00:00:00Z", "2026-10-01T24:00:00Z", "2026-10-01T08:00:00+8",
                          "2026-10-01T08:00:00+08:00[Asia/Shanghai]", "2026-10-01T08:00:60Z", "2026-10-01 08:00:00Z"}) {
    EXPECT_FALSE(ParseTime(bad)) << bad;
  }
}

TEST(IntervalRules, HalfOpen) {
  auto at = [](int64_t m) { return FromMicros(m); };
  EXPECT_FALSE((Interval{at(0), at(10)}.Overlaps({at(10), at(20)})));
  EXPECT_TRUE((Interval{at(0), at(11)}.Overlaps({at(10), at(20)})));
  EXPECT_TRUE((Interval{at(0), at(10)}.Contains({at(0), at(10)})));
}

TEST(MoneyRules, RoundsHalfToEven) {
  EXPECT_EQ(MultiplyDivide(5, 1, 2), 2);
  EXPECT_EQ(MultiplyDivide(7, 1, 2), 4);
  EXPECT_EQ(MultiplyDivide(-5, 1, 2), -2);
  EXPECT_EQ(MultiplyDivide(-7, 1, 2), -4);
  EXPECT_EQ(MultiplyDivide(999'999'999'999'999, 10000, 10000), 999'999'999'999'999);
  EXPECT_EQ(BasisPoints(12345, 300), 370);
  EXPECT_EQ(FormatMoney({-123456789, "CNY"}), "-1,234,567.89 CNY");
  EXPECT_EQ(FormatMoney({5, "CNY"}), "0.05 CNY");
}

TEST(Uscc, KnownVectors) {
  EXPECT_TRUE(CheckUscc("91350100M000100Y43"));
  EXPECT_EQ(CheckUscc("91350100M000100Y42").error().code, ErrorCode::kUsccCheckDigit);
  EXPECT_EQ(CheckUscc("91350100M000100Y4Z").error().code, ErrorCode::kUsccFormat);
  EXPECT_EQ(CheckUscc("91350100M000100Y4").error().code, ErrorCode::kUsccFormat);
  EXPECT_EQ(CheckUscc("91350100m000100y43").error().code, ErrorCode::kUsccFormat);
}

TEST(Uscc, CatchesEverySubstitutionAndAdjacentTransposition) {
  const std::string alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY";
  const std::string good = "91350100M000100Y43";
  for (size_t i = 0; i < good.size(); ++i) {
    for (char c : alphabet) {
      std::string changed = good;
      changed[i] = c;
      EXPECT_EQ(CheckUscc(changed).has_value(), c == good[i]) << changed;
    }
    if (i + 1 < good.size() && good[i] != good[i + 1]) {
      std::string swapped = good;
      std::swap(swapped[i], swapped[i + 1]);
      EXPECT_FALSE(CheckUscc(swapped)) << swapped;
    }
  }
}

TEST(ErrorCatalogue, EveryEntryIsCompleteAndFindable) {
  std::set<std::string_view> names;
  for (const ErrorEntry& entry : kErrorCatalog) {
    EXPECT_EQ(&Entry(entry.code), &entry);
    EXPECT_EQ(ErrorCodeByName(entry.name), entry.code);
    EXPECT_GE(entry.http_status, 400);
    EXPECT_FALSE(entry.detail_zh.empty() || entry.detail_en.empty() || entry.title_zh.empty() || entry.title_en.empty());
    names.insert(entry.name);
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kErrorCodeCount));
}

TEST(ErrorCatalogue, PutsParametersIntoSentences) {
  EXPECT_EQ(Detail(ErrorCode::kLeadTime, {{"minutes", "30"}}, Language::kEn), "Book at least 30 minutes ahead.");
  EXPECT_EQ(Detail(ErrorCode::kLeadTime, {{"minutes", "30"}}, Language::kZh), "须至少提前 30 分钟预订。");
  Error one = Error::Of({{"#/a", ErrorCode::kRequired, {{"field", "a"}}}});
  EXPECT_EQ(one.code, ErrorCode::kRequired);
  Error two = Error::Of({{"#/a", ErrorCode::kRequired, {}}, {"#/b", ErrorCode::kRequired, {}}});
  EXPECT_EQ(two.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(two.params.at("count"), "2");
}

}  // namespace
}  // namespace millrace
