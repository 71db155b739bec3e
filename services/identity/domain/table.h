// SPDX-License-Identifier: Apache-2.0
// A CSV file of known columns, read whole, and what is found in its rows.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace millrace::identity::domain {

struct Column {
  std::string_view name;
  bool required = false;                  // must stand in the header
  std::vector<std::string_view> aliases;  // names are compared folded: case, width and punctuation do not matter
};

// A fault of a row; or, with `skipped`, why the row is left out without being one.
struct Finding {
  int row = 0;  // line of the file, the header being 1
  std::string column;
  ErrorCode code = ErrorCode::kInternal;
  ErrorParams params;
  bool skipped = false;
};

struct TableRow {
  int row = 0;
  std::vector<std::string>
      cells;  // trimmed, in the order of the known columns; empty where the file has no such column
};

struct Table {
  std::vector<TableRow> rows;
  std::vector<Finding> findings;  // rows of another number of cells than the header; they are not among `rows`
};

// Columns stand in any order; rows of blanks are passed over. Errors: IMPORT_ENCODING, IMPORT_HEADER (a column that is
// unknown, there twice, or missing), IMPORT_ROW (a quote that is not closed), REQUIRED (no row), TOO_LONG (more than
// `rows_max` rows).
Result<Table> ReadTable(std::string_view bytes, std::span<const Column> columns, size_t rows_max);

// Faults that a refusal names, each a violation at "#/file/ROW/COLUMN"; it counts all.
inline constexpr size_t kFaultsNamed = 1'000;

// Findings by row. Refuses if any of them is a fault.
void SortFindings(std::vector<Finding>& findings);
Result<void> RefuseFaults(const std::vector<Finding>& findings);

}  // namespace millrace::identity::domain
