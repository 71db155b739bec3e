// SPDX-License-Identifier: Apache-2.0
// The columns of an import file, their other names, and the presets that a cell may name.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.h"
#include "common/calendar/calendar.h"

namespace millrace::listing::domain {

// Most rows of one file.
inline constexpr int kImportRows = 100'000;
// A mapping of a name to the taxonomy counts from this confidence on.
inline constexpr double kMappingConfidence = 0.4;

// Columns that are not attributes, in the template's order.
const std::vector<std::string_view>& FixedColumns();

// What a header says.
struct Header {
  std::vector<std::string> columns;       // canonical names, in the file's order
  int Of(std::string_view column) const;  // its place, or -1
};
// `attribute_fields`: every field of any kind's message; they are columns "attributes.<field>". Names are compared
// folded, so case, width and punctuation do not matter; Chinese and English aliases are known. Errors: IMPORT_HEADER
// naming the column: unknown, twice, missing, or not for this caller.
Result<Header> ReadHeader(const std::vector<std::string>& cells, const std::vector<std::string>& attribute_fields,
                          bool for_operator, Language language);

// "EQUIPMENT", "equipment", "设备" …: the number of the kind; nullopt if it is none.
std::optional<int> KindByName(std::string_view text);
// two_shift, day_shift, round_the_clock, weekend_off_day, in Asia/Shanghai.
std::optional<std::vector<calendar::WeeklyRule>> CalendarPreset(std::string_view name);
// The texts between ';', without blanks at the ends, without empty ones.
std::vector<std::string> SplitList(std::string_view cell);
std::string_view Trim(std::string_view text);

}  // namespace millrace::listing::domain
