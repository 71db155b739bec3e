// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/table.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/base/csv.h"
#include "common/base/text.h"
#include "common/base/words.h"

namespace millrace::identity::domain {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::unexpected<Error> BadColumn(std::string_view column, std::string reason) {
  return Fail(ErrorCode::kImportHeader, {{"column", std::string(column)}, {"reason", std::move(reason)}});
}

// For each cell of the header, its column's place among the known ones.
Result<std::vector<size_t>> ReadHeader(const std::vector<std::string>& cells, std::span<const Column> columns) {
  std::map<std::string, size_t> known;
  std::vector<std::string> names;
  for (size_t i = 0; i < columns.size(); ++i) {
    names.emplace_back(columns[i].name);
    known[FoldText(columns[i].name)] = i;
    for (std::string_view alias : columns[i].aliases) known[FoldText(alias)] = i;
  }
  std::vector<size_t> places;
  std::set<size_t> seen;
  for (const std::string& cell : cells) {
    auto found = known.find(FoldText(cell));
    if (found == known.end())
      return BadColumn(Trim(cell).empty() ? "(empty)" : Trim(cell),
                       "there is no such column; columns are " + JoinWords(names, ", "));
    if (!seen.insert(found->second).second) return BadColumn(Trim(cell), "the column stands twice");
    places.push_back(found->second);
  }
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].required && !seen.contains(i)) return BadColumn(columns[i].name, "the column is missing");
  }
  return places;
}

}  // namespace

Result<Table> ReadTable(std::string_view bytes, std::span<const Column> columns, size_t rows_max) {
  MILLRACE_TRY(std::string text, DecodeFile(bytes));
  CsvReader reader(text);
  std::vector<std::string> cells;
  reader.Next(&cells);
  MILLRACE_TRY(std::vector<size_t> places, ReadHeader(cells, columns));
  Table table;
  size_t rows = 0;
  while (reader.Next(&cells)) {
    if (std::ranges::all_of(cells, [](const std::string& cell) { return Trim(cell).empty(); })) continue;
    if (++rows > rows_max)
      return Fail(Error::At("#/file/rows", ErrorCode::kTooLong, {{"max", std::to_string(rows_max)}}));
    if (cells.size() != places.size()) {
      table.findings.push_back(
          {reader.line(),
           "_row",
           ErrorCode::kInvalidFormat,
           {{"field", "_row"}, {"expected", std::to_string(places.size()) + " cells, as in the header"}}});
      continue;
    }
    TableRow& row = table.rows.emplace_back();
    row.row = reader.line();
    row.cells.resize(columns.size());
    for (size_t i = 0; i < cells.size(); ++i) row.cells[places[i]] = Trim(cells[i]);
  }
  if (reader.unclosed()) {
    return Fail(ErrorCode::kImportRow, {{"row", std::to_string(reader.line())},
                                        {"column", std::string(columns.front().name)},
                                        {"reason", "a quote is not closed"}});
  }
  if (rows == 0) return Fail(Error::At("#/file/rows", ErrorCode::kRequired));
  return table;
}

void SortFindings(std::vector<Finding>& findings) {
  std::ranges::stable_sort(findings, {}, [](const Finding& finding) { return finding.row; });
}

Result<void> RefuseFaults(const std::vector<Finding>& findings) {
  std::vector<Violation> violations;
  for (const Finding& finding : findings) {
    if (finding.skipped) continue;
    violations.push_back(
        {"#/file/" + std::to_string(finding.row) + "/" + finding.column, finding.code, finding.params});
  }
  if (violations.empty()) return {};
  std::string count = std::to_string(violations.size());
  if (violations.size() > kFaultsNamed) violations.resize(kFaultsNamed);
  Error error = Error::Of(std::move(violations));
  if (error.code == ErrorCode::kInvalidRequest) error.params["count"] = std::move(count);
  return Fail(std::move(error));
}

}  // namespace millrace::identity::domain
