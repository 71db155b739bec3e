// SPDX-License-Identifier: Apache-2.0
// The rows of loaded industry codes.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/postgres/database.h"

namespace millrace::identity {

struct IndustryRow {
  std::string zh, en;
  bool changed = false;
  bool SameNames(const IndustryRow& other) const { return zh == other.zh && en == other.en; }
};

// What commands decide on. A command that loads a code adds it, for those behind it in the batch.
struct IndustryPart {
  std::set<std::string> want_divisions;     // "34"
  std::map<std::string, IndustryRow> rows;  // of those divisions, by code
};

// Names the division of a code as a client gave it, if the code is one that must be loaded.
void WantIndustry(IndustryPart& part, std::string_view code);
void LoadIndustry(postgres::Transaction& tx, IndustryPart& part);
void SaveIndustry(postgres::Transaction& tx, const IndustryPart& part, Time now);

struct LoadedIndustry {
  std::string code, zh, en;
};
// In the order of their codes, those behind `after`; directly below `parent`, or all if that is empty.
Task<Result<std::vector<LoadedIndustry>>> ReadIndustry(postgres::Database& reader, std::string after, int rows,
                                                       std::string parent);

}  // namespace millrace::identity
