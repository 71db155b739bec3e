// SPDX-License-Identifier: Apache-2.0
#include "common/base/csv.h"

namespace millrace {

void CsvReader::TakeField(std::string* field) {
  if (at_ < text_.size() && text_[at_] == '"') {
    ++at_;
    while (true) {
      if (at_ >= text_.size()) {
        unclosed_ = true;
        return;
      }
      char c = text_[at_++];
      if (c == '"') {
        if (at_ < text_.size() && text_[at_] == '"') {
          ++at_;
        } else {
          break;
        }
      } else if (c == '\n') {
        ++next_line_;
      }
      *field += c;
    }
  }
  // Text after a closing quote is kept as it stands; strict readers differ here, and losing it would be worse.
  size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
  field->append(text_.substr(at_, end - at_));
  at_ = end;
}

bool CsvReader::Next(std::vector<std::string>* fields) {
  fields->clear();
  while (at_ < text_.size()) {
    line_ = next_line_;
    while (true) {
      fields->emplace_back();
      TakeField(&fields->back());
      if (at_ >= text_.size() || text_[at_] != ',') break;
      ++at_;
    }
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    ++next_line_;
    if (fields->size() > 1 || !fields->front().empty()) return true;
    fields->clear();
  }
  return false;
}

std::string CsvRecord(const std::vector<std::string>& fields, bool for_spreadsheet) {
  std::string out;
  bool first = true;
  for (std::string field : fields) {
    if (!first) out += ',';
    first = false;
    if (for_spreadsheet && !field.empty() && std::string_view("=+-@\t\r").find(field[0]) != std::string_view::npos) {
      field.insert(0, 1, '\'');
    }
    if (field.find_first_of(",\"\r\n") == field.npos) {
      out += field;
      continue;
    }
    out += '"';
    for (char c : field) {
      if (c == '"') out += '"';
      out += c;
    }
    out += '"';
  }
  return out + "\r\n";
}

}  // namespace millrace
