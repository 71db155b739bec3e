// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// Reads CSV (RFC 4180; LF and a lone CR end a record too) from UTF-8 text, one record at a time.
class CsvReader {
 public:
  explicit CsvReader(std::string_view text) : text_(text) {}
  // The next record; false at the end. Blank lines are skipped. A quote that is never closed takes the rest: see
  // unclosed().
  bool Next(std::vector<std::string>* fields);
  // The line on which the last record began, the first being 1.
  int line() const { return line_; }
  bool unclosed() const { return unclosed_; }

 private:
  void TakeField(std::string* field);
  std::string_view text_;
  size_t at_ = 0;
  int line_ = 0, next_line_ = 1;
  bool unclosed_ = false;
};

// A record with its line end (CRLF); fields are quoted where they must be. `for_spreadsheet`: a field that a
// spreadsheet would take for a formula gets a ' in front.
std::string CsvRecord(const std::vector<std::string>& fields, bool for_spreadsheet = false);

}  // namespace millrace
