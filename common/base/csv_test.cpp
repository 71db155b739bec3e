// SPDX-License-Identifier: Apache-2.0
#include "common/base/csv.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/rounds.h"

namespace millrace {
namespace {

using Record = std::vector<std::string>;

std::vector<Record> ReadAll(std::string_view text) {
  CsvReader reader(text);
  std::vector<Record> records;
  for (Record record; reader.Next(&record);) records.push_back(record);
  return records;
}

TEST(Csv, ReadsQuotesLineEndsAndBlankLines) {
  EXPECT_EQ(ReadAll("a,b\r\n\"x, \"\"y\"\"\r\nz\",\n\n,\rlast"),
            (std::vector<Record>{{"a", "b"}, {"x, \"y\"\r\nz", ""}, {"", ""}, {"last"}}));
  EXPECT_TRUE(ReadAll("").empty());
  CsvReader reader("a\n\"never closed\nb");
  Record record;
  EXPECT_TRUE(reader.Next(&record));
  EXPECT_EQ(reader.line(), 1);
  EXPECT_TRUE(reader.Next(&record));
  EXPECT_EQ(reader.line(), 2);
  EXPECT_TRUE(reader.unclosed());
}

TEST(Csv, ReadsBackWhatItWrites) {
  std::mt19937 random(7);
  const std::string letters = "ab,\"\r\n =工";
  for (int round = 0; round < Rounds(2000); ++round) {
    Record record;
    for (int i = 1 + static_cast<int>(random() % 4); i > 0; --i) {
      std::string field;
      for (int j = static_cast<int>(random() % 6); j > 0; --j) field += letters[random() % letters.size()];
      record.push_back(field);
    }
    if (record.size() == 1 && record[0].empty()) continue;  // a blank line
    ASSERT_EQ(ReadAll(CsvRecord(record)), std::vector<Record>{record});
  }
}

TEST(Csv, DefusesFormulas) { EXPECT_EQ(CsvRecord({"=1+1", "-5", "x"}, true), "'=1+1,'-5,x\r\n"); }

}  // namespace
}  // namespace millrace
