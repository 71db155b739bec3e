// SPDX-License-Identifier: Apache-2.0
#include "common/base/time.h"

#include <cstdio>

namespace millrace {

using std::chrono::days;
using std::chrono::sys_days;

Time WallNow() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

std::string FormatTime(Time time) {
  sys_days day = std::chrono::floor<days>(time);
  std::chrono::year_month_day ymd(day);
  int64_t micros = (time - day).count();
  int64_t seconds = micros / 1000000;
  micros %= 1000000;
  char buffer[48];
  int n = std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02uT%02d:%02d:%02d", static_cast<int>(ymd.year()),
                        static_cast<unsigned>(ymd.month()), static_cast<unsigned>(ymd.day()),
                        static_cast<int>(seconds / 3600), static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60));
  std::string out(buffer, static_cast<size_t>(n));
  if (micros != 0) {
    std::snprintf(buffer, sizeof buffer, ".%06d", static_cast<int>(micros));
    out += buffer;
    while (out.back() == '0') out.pop_back();
  }
  return out + 'Z';
}

Result<Time> ParseTime(std::string_view text, std::string_view pointer) {
  auto wrong = [&] {
    return Fail(Error::At(std::string(pointer), ErrorCode::kInvalidFormat,
                          {{"expected", "RFC 3339, 2026-10-01T08:00:00+08:00"}}));
  };
  auto number = [&](size_t at, size_t length, int* out) {
    if (at + length > text.size()) return false;
    int value = 0;
    for (size_t i = at; i < at + length; ++i) {
      if (text[i] < '0' || text[i] > '9') return false;
      value = value * 10 + (text[i] - '0');
    }
    *out = value;
    return true;
  };
  int year, month, day, hour, minute, second;
  if (!(number(0, 4, &year) && number(5, 2, &month) && number(8, 2, &day) && number(11, 2, &hour) &&
        number(14, 2, &minute) && number(17, 2, &second)) ||
      text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != 't') || text[13] != ':' || text[16] != ':') {
    return wrong();
  }
  std::chrono::year_month_day ymd{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                  std::chrono::day(static_cast<unsigned>(day))};
  if (!ymd.ok() || year < 1 || hour > 23 || minute > 59 || second > 59) return wrong();
  size_t at = 19;
  int64_t micros = 0;
  if (at < text.size() && text[at] == '.') {
    ++at;
    int64_t scale = 100000;
    size_t digits = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) {
      micros += (text[at] - '0') * scale;
      scale /= 10;
    }
    if (digits == 0 || digits > 9) return wrong();
  }
  if (at == text.size()) return Fail(Error::At(std::string(pointer), ErrorCode::kTimeWithoutOffset));
  int64_t offset_minutes = 0;
  if (text[at] == 'Z' || text[at] == 'z') {
    ++at;
  } else if (text[at] == '+' || text[at] == '-') {
    int oh, om;
    if (!number(at + 1, 2, &oh) || at + 3 >= text.size() || text[at + 3] != ':' || !number(at + 4, 2, &om) || oh > 23 ||
        om > 59) {
      return wrong();
    }
    offset_minutes = (text[at] == '-' ? -1 : 1) * (oh * 60 + om);
    at += 6;
  } else {
    return wrong();
  }
  if (at != text.size()) return wrong();
  Time local = sys_days(ymd) + std::chrono::hours(hour) + std::chrono::minutes(minute) + std::chrono::seconds(second) +
               std::chrono::microseconds(micros);
  return local - std::chrono::minutes(offset_minutes);
}

}  // namespace millrace
