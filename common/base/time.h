// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <compare>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace millrace {

using Duration = std::chrono::microseconds;
// A point of time in UTC. Business time comes from the database, never from here (design: Time).
using Time = std::chrono::sys_time<std::chrono::microseconds>;

// Half-open [start, end).
struct Interval {
  Time start, end;
  bool Overlaps(const Interval& other) const { return start < other.end && other.start < end; }
  bool Contains(const Interval& other) const { return start <= other.start && other.end <= end; }
  Duration Length() const { return end - start; }
  auto operator<=>(const Interval&) const = default;
};

// RFC 3339 with "Z"; a fraction only if there is one.
std::string FormatTime(Time time);
// RFC 3339; without an offset TIME_WITHOUT_OFFSET, otherwise wrong INVALID_FORMAT.
Result<Time> ParseTime(std::string_view text, std::string_view pointer = "#/time");

inline int64_t Micros(Time time) { return time.time_since_epoch().count(); }
inline Time FromMicros(int64_t micros) { return Time(Duration(micros)); }
// The machine's clock: for pollers, timeouts and logs only.
Time WallNow();

}  // namespace millrace
