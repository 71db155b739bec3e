// SPDX-License-Identifier: Apache-2.0
// When a resource is open. Weekly rules in local time of an IANA zone, then exceptions; a later exception wins. Pure: the only
// time is a parameter.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace::calendar {

struct WeeklyRule {
  int weekday = 1;  // 1 Monday … 7 Sunday
  int start_minute = 0;
  int end_minute = 0;  // above 1440: past midnight
};

struct Exception {
  Interval window;
  bool open = false;
};

struct Rules {
  std::string time_zone = "Asia/Shanghai";
  std::vector<WeeklyRule> weekly;
  std::vector<Exception> exceptions;
  int min_duration_minutes = 0;  // 0: no bound
  int max_duration_minutes = 0;
  int lead_time_minutes = 0;
  int buffer_before_minutes = 0;
  int buffer_after_minutes = 0;
};

// What is already taken of a resource: [start, end) with its buffers, by so many units.
struct Busy {
  Interval window;
  int64_t units = 1;
};

bool IsTimeZone(std::string_view name);
// WRONG rules by field: END_BEFORE_START, OUT_OF_RANGE, UNKNOWN_TIME_ZONE; `pointer` is the calendar's.
std::vector<Violation> CheckRules(const Rules& rules, std::string_view pointer);
// The open spans that meet `range`, cut to it, sorted, disjoint; touching ones are one. At most 366 days of range are looked at.
std::vector<Interval> OpenSpans(const Rules& rules, Interval range);
// `window` with set-up and tear-down.
Interval Blocked(const Rules& rules, Interval window);
// Whether a window may be booked at `now`, not looking at other bookings: END_BEFORE_START, WINDOW_IN_PAST, LEAD_TIME,
// DURATION_NOT_ALLOWED, OUTSIDE_CALENDAR.
Result<void> CheckWindow(const Rules& rules, Interval window, Time now);
// The most units taken at one instant of `window`.
int64_t PeakUse(const std::vector<Busy>& busy, Interval window);
// Up to `limit` bookable windows of `length` for `units` out of `capacity` that start within `range`, earliest first, starts on
// quarter hours of the zone or at the ends of busy spans, not overlapping each other.
std::vector<Interval> FreeWindows(const Rules& rules, int64_t capacity, const std::vector<Busy>& busy, Interval range,
                                  Duration length, int64_t units, Time now, size_t limit);
// The same over `open`, the answer of OpenSpans for [range.start, range.end + length) or more: for those who keep it.
std::vector<Interval> FreeWindowsIn(const std::vector<Interval>& open, const Rules& rules, int64_t capacity,
                                    const std::vector<Busy>& busy, Interval range, Duration length, int64_t units, Time now,
                                    size_t limit);
// Up to `limit` windows as FreeWindows gives, nearest to `wanted` first: what a refused booking is offered. Looks 14 days around.
std::vector<Interval> Alternatives(const Rules& rules, int64_t capacity, const std::vector<Busy>& busy, Interval wanted,
                                   int64_t units, Time now, size_t limit);
// "2026-10-01 08:00" in the zone, for sentences.
std::string FormatLocal(Time time, std::string_view time_zone);

}  // namespace millrace::calendar
