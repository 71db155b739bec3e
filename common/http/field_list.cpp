// SPDX-License-Identifier: Apache-2.0
#include "common/http/field_list.h"

#include <charconv>

namespace millrace::http {

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string_view TakePart(std::string_view* rest, char separator) {
  size_t at = rest->find(separator);
  std::string_view part = rest->substr(0, at);
  *rest = at == rest->npos ? std::string_view() : rest->substr(at + 1);
  return Trimmed(part);
}

double Quality(std::string_view parameters) {
  double quality = 1;
  while (!parameters.empty()) {
    std::string_view parameter = TakePart(&parameters, ';');
    if (parameter.size() < 2 || (parameter[0] | 0x20) != 'q' || parameter[1] != '=') continue;
    parameter.remove_prefix(2);
    const char* end = parameter.data() + parameter.size();
    auto [at, fault] = std::from_chars(parameter.data(), end, quality, std::chars_format::fixed);
    if (fault != std::errc() || at != end || !(quality >= 0 && quality <= 1)) quality = 0;
  }
  return quality;
}

}  // namespace millrace::http
