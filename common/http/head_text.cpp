// SPDX-License-Identifier: Apache-2.0
#include "common/http/head_text.h"

#include <boost/beast/http/status.hpp>
#include <charconv>
#include <ctime>

namespace millrace::http {
namespace {

const std::string& Now() {
  static std::string text;
  static std::time_t last = 0;
  std::time_t now = std::time(nullptr);
  if (now != last) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    char buffer[64];
    std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    text = buffer;
    last = now;
  }
  return text;
}

void Append(std::string* out, size_t number) {
  char digits[20];
  out->append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

}  // namespace

std::string HeadText(const Response& response, const Manner& manner, bool chunked) {
  std::string out;
  out.reserve(1024);
  out += "HTTP/1.1 ";
  Append(&out, static_cast<size_t>(response.status));
  out += ' ';
  std::string_view reason =
      boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(response.status));
  out += reason;
  out += "\r\nDate: ";
  out += Now();
  for (const auto& [name, value] : response.fields.all()) {
    out += "\r\n";
    out += name;
    out += ": ";
    size_t begin = out.size();
    out += value;
    for (size_t i = begin; i < out.size(); ++i) {
      unsigned char c = static_cast<unsigned char>(out[i]);
      if (c < 0x20 || c == 0x7F) out[i] = ' ';  // no line may be smuggled in
    }
  }
  bool bodiless = response.status == 204 || response.status == 304 || response.status < 200;
  if (chunked) {
    out += "\r\nTransfer-Encoding: chunked";
  } else if (!bodiless && !response.stream) {
    out += "\r\nContent-Length: ";
    Append(&out, response.body.size());
  }
  if (!manner.keep) {
    out += "\r\nConnection: close";
  } else if (!manner.http11) {
    out += "\r\nConnection: keep-alive";
  }
  out += "\r\n\r\n";
  return out;
}

}  // namespace millrace::http
