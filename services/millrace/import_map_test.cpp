// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "services/millrace/import.h"

namespace millrace {
namespace {

constexpr char kMap[] =
    "kind: EQUIPMENT\n"
    "external_id: {prefix: \"X-\", row: true}\n"
    "name_en: {column: name}\n"
    "processes: {from: name_en}\n"
    "attributes:\n"
    "  travel_x_mm: {column: travel_m, scale: 1000}\n"
    "skip_when: {column: active, equals: \"0\"}\n";

TEST(ColumnMap, RenamesScalesSkipsAndListsWhatDoesNotFit) {
  Result<MappedFile> mapped = MapColumns(kMap, "name,travel_m,active\nMill,0.5,1\nOld,1,0\nOdd,0.0005,1\nBlank,,1\n");
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->csv,
            "kind,external_id,name_en,attributes.travel_x_mm\r\nEQUIPMENT,X-1,Mill,500\r\nEQUIPMENT,X-4,Blank,\r\n");
  EXPECT_EQ(mapped->rows, 2);
  EXPECT_EQ(mapped->skipped, 1);
  EXPECT_EQ(mapped->failures, std::vector<std::string>{
                                  "row 4, column travel_m: \"0.0005\" does not fit the map's attributes.travel_x_mm"});
}

TEST(ColumnMap, FaultsAreSentences) {
  auto cause = [](const std::string& map) {
    Result<MappedFile> mapped = MapColumns(map, "name\nx\n");
    return mapped ? std::string() : mapped.error().cause;
  };
  EXPECT_EQ(cause("kind: EQUIPMENT\nexternal_id: {row: true}\nname_en: {column: title}\n"),
            "the file has no column title");
  EXPECT_EQ(cause("kind: EQUIPMENT\nname_en: {column: name}\n"), "the map lacks external_id");
  EXPECT_EQ(cause("kind: EQUIPMENT\nexternal_id: {row: true}\nname_en: {column: name}\ncolour: red\n"),
            "the map's top level has the unknown key colour");
  EXPECT_EQ(cause("kind: EQUIPMENT\nexternal_id: {row: true, text: a}\nname_en: {column: name}\n"),
            "the map's external_id needs exactly one of column, row, text");
  EXPECT_NE(cause("kind: [").find("not valid YAML"), std::string::npos);
}

}  // namespace
}  // namespace millrace
