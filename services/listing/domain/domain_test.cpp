// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <set>

#include "services/listing/domain/import_columns.h"
#include "services/listing/domain/states.h"

namespace millrace::listing::domain {
namespace {

TEST(States, EachIsReachableAndRetiredIsFinal) {
  std::set<State> reached{State::kDraft};
  for (size_t before = 0; before != reached.size();) {
    before = reached.size();
    for (const auto& row : States().transitions) {
      if (reached.contains(row.from)) reached.insert(row.to);
    }
  }
  EXPECT_EQ(reached.size(), static_cast<size_t>(kStateCount));
  EXPECT_TRUE(States().From(State::kRetired).empty());
  for (int i = 1; i <= kStateCount; ++i) {
    State state = static_cast<State>(i);
    EXPECT_EQ(StateByName(Name(state)), state);
    EXPECT_EQ(States().WaitIn(state) != nullptr, state == State::kInReview);
  }
}

TEST(States, ProviderAndOperatorHaveTheirOwnVerbs) {
  EXPECT_EQ(Next(State::kDraft, Event::kPublish, kProvider), State::kPublished);
  EXPECT_EQ(Next(State::kDraft, Event::kPublish, kProvider, true), State::kInReview);
  EXPECT_EQ(Next(State::kDraft, Event::kPublish, kOperator), std::nullopt);
  EXPECT_EQ(Next(State::kInReview, Event::kPublish, kProvider), std::nullopt);
  EXPECT_EQ(Next(State::kInReview, Event::kPublish, kOperator, true), State::kPublished);
  EXPECT_EQ(Next(State::kPublished, Event::kBlock, kProvider), std::nullopt);
  EXPECT_EQ(Next(State::kBlocked, Event::kPublish, kProvider), std::nullopt);
  EXPECT_EQ(Next(State::kBlocked, Event::kUpdate, kProvider), std::nullopt);
  Error error = StateConflict(State::kPaused, Event::kPublish, kProvider);
  EXPECT_EQ(error.params.at("allowed"), "update, resume, retire");
}

const std::vector<std::string> kFields = {"axes", "travel_x_mm"};

TEST(Header, KnowsAliasesInBothLanguagesWhateverTheirCase) {
  auto header = ReadHeader({"编号", "名称", "Manufacturer", "型号", " 数量 ", "Attributes.Travel_X_mm"}, kFields, false,
                           Language::kZh);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->columns,
            (std::vector<std::string>{"external_id", "name_zh", "maker", "model", "units", "attributes.travel_x_mm"}));
  EXPECT_EQ(header->Of("model"), 3);
  EXPECT_EQ(header->Of("latitude"), -1);
}

TEST(Header, NamesTheColumnThatIsWrong) {
  auto column = [](const std::vector<std::string>& cells, bool for_operator) {
    auto header = ReadHeader(cells, kFields, for_operator, Language::kEn);
    if (header) return std::string("none");
    EXPECT_EQ(header.error().code, ErrorCode::kImportHeader);
    return header.error().params.at("column");
  };
  EXPECT_EQ(column({"external_id", "name_zh", "colour"}, false), "colour");
  EXPECT_EQ(column({"external_id", "name_zh", "名称"}, false), "名称");
  EXPECT_EQ(column({"name_zh"}, false), "external_id");
  EXPECT_EQ(column({"external_id", "maker"}, false), "name_zh");
  EXPECT_EQ(column({"external_id", "name_en", "attributes.wings"}, false), "attributes.wings");
  EXPECT_EQ(column({"external_id", "name_en"}, true), "organization");
  EXPECT_EQ(column({"external_id", "name_en", "organization"}, false), "organization");
  EXPECT_EQ(column({"external_id", "name_en", "organization"}, true), "none");
  EXPECT_EQ(column({}, false), "external_id");
}

TEST(Cells, ListsKindsAndPresets) {
  EXPECT_EQ(SplitList(" a ; b;;c; "), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(SplitList("").empty());
  EXPECT_EQ(KindByName("production_line"), 3);
  EXPECT_EQ(KindByName("设备"), 1);
  EXPECT_EQ(KindByName("TEST_SITE"), 11);
  EXPECT_EQ(KindByName("robot"), std::nullopt);
  for (const char* preset : {"two_shift", "day_shift", "round_the_clock", "weekend_off_day"}) {
    auto weekly = CalendarPreset(preset);
    ASSERT_TRUE(weekly) << preset;
    calendar::Rules rules;
    rules.weekly = *weekly;
    EXPECT_TRUE(calendar::CheckRules(rules, "#").empty()) << preset;
  }
  EXPECT_EQ(CalendarPreset("round_the_clock")->size(), 7u);
  EXPECT_FALSE(CalendarPreset("sometimes"));
}

}  // namespace
}  // namespace millrace::listing::domain
