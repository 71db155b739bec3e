// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/html.h"

#include <cctype>

namespace millrace::gateway {
namespace {

void Append(char c, std::string* out) {
  switch (c) {
    case '&':
      *out += "&amp;";
      return;
    case '<':
      *out += "&lt;";
      return;
    case '>':
      *out += "&gt;";
      return;
    case '"':
      *out += "&quot;";
      return;
    default:
      *out += c;
  }
}

std::string Line(std::string_view text) {
  std::string out;
  bool code = false;
  for (char c : text) {
    if (c == '`') {
      out += code ? "</code>" : "<code>";
      code = !code;
    } else {
      Append(c, &out);
    }
  }
  return code ? out + "</code>" : out;
}

}  // namespace

std::string Html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) Append(c, &out);
  return out;
}

std::string HtmlProse(std::string_view text) {
  std::string out;
  bool list = false;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    bool item = line.starts_with("- ");
    if (item != list) out += item ? "<ul>" : "</ul>";
    list = item;
    out += item ? "<li>" + Line(line.substr(2)) + "</li>" : Line(line) + "\n";
  }
  return list ? out + "</ul>" : out;
}

std::string HtmlPage(std::string_view language, std::string_view title, std::string_view body) {
  std::string out = "<!doctype html>\n<html lang=\"" + std::string(language) + "\"><head><meta charset=\"utf-8\">";
  out += "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>" + Html(title) + "</title>";
  out += "<link rel=\"stylesheet\" href=\"/docs/docs.css\"></head><body>\n";
  out += body;
  return out + "\n</body></html>\n";
}

}  // namespace millrace::gateway
