// SPDX-License-Identifier: Apache-2.0
#include "common/calendar/calendar.h"

#include <absl/time/time.h>

#include <algorithm>

namespace millrace::calendar {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

constexpr Duration kLongestRange = hours(24 * 366);
constexpr Duration kAlternativesAround = hours(24 * 14);
constexpr Duration kQuarter = minutes(15);
constexpr int kMinutesOfDay = 24 * 60;

bool LoadZone(std::string_view name, absl::TimeZone* zone) {
  // Only names of the database: absl would read any file for a path.
  if (name.empty() || name.size() > 64 || name[0] < 'A' || name[0] > 'Z') return false;
  for (char c : name) {
    bool ordinary = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!ordinary && c != '_' && c != '-' && c != '+' && c != '/') return false;
  }
  if (name.starts_with("Fixed/")) return false;
  return absl::LoadTimeZone(absl::string_view(name.data(), name.size()), zone);
}

absl::Time ToAbsl(Time time) { return absl::FromUnixMicros(Micros(time)); }
Time FromAbsl(absl::Time time) { return FromMicros(absl::ToUnixMicros(time)); }

// A span of time in which a zone's clock is `offset` ahead of UTC.
struct Offset {
  Interval span;
  Duration offset;
};

std::vector<Offset> OffsetsIn(const absl::TimeZone& zone, Interval range) {
  std::vector<Offset> out;
  Time from = range.start;
  while (from < range.end) {
    Duration offset = std::chrono::seconds(zone.At(ToAbsl(from)).offset);
    Time to = range.end;
    absl::TimeZone::CivilTransition transition;
    if (zone.NextTransition(ToAbsl(from), &transition)) to = std::min(to, FromAbsl(zone.At(transition.to).trans));
    if (to <= from) to = range.end;
    out.push_back({{from, to}, offset});
    from = to;
  }
  return out;
}

Interval Cut(Interval a, Interval b) { return {std::max(a.start, b.start), std::min(a.end, b.end)}; }

// Sorted, disjoint, touching ones joined.
void Normalize(std::vector<Interval>& spans) {
  std::ranges::sort(spans);
  size_t kept = 0;
  for (const Interval& span : spans) {
    if (kept > 0 && span.start <= spans[kept - 1].end) {
      spans[kept - 1].end = std::max(spans[kept - 1].end, span.end);
    } else {
      spans[kept++] = span;
    }
  }
  spans.resize(kept);
}

// The instants whose local time lies in a weekly rule. So a clock that is turned back repeats the rule's minutes, and
// minutes that a clock skips are not there.
std::vector<Interval> WeeklySpans(const Rules& rules, const absl::TimeZone& zone, Interval range) {
  std::vector<Interval> out;
  for (const Offset& piece : OffsetsIn(zone, range)) {
    auto local_day = [&](Time time) { return std::chrono::floor<days>(time + piece.offset); };
    for (auto day = local_day(piece.span.start) - days(1); day <= local_day(piece.span.end); day += days(1)) {
      int weekday = static_cast<int>(std::chrono::weekday(day).iso_encoding());
      for (const WeeklyRule& rule : rules.weekly) {
        if (rule.weekday != weekday) continue;
        Time midnight = Time(day) - piece.offset;
        Interval open = Cut({midnight + minutes(rule.start_minute), midnight + minutes(rule.end_minute)}, piece.span);
        if (open.start < open.end) out.push_back(open);
      }
    }
  }
  Normalize(out);
  return out;
}

void Apply(const Exception& exception, Interval range, std::vector<Interval>& spans) {
  Interval window = Cut(exception.window, range);
  if (window.start >= window.end) return;
  if (exception.open) {
    spans.push_back(window);
    Normalize(spans);
    return;
  }
  std::vector<Interval> rest;
  for (const Interval& span : spans) {
    if (Interval before{span.start, std::min(span.end, window.start)}; before.start < before.end)
      rest.push_back(before);
    if (Interval after{std::max(span.start, window.end), span.end}; after.start < after.end) rest.push_back(after);
  }
  spans = std::move(rest);
}

// Where `busy` leaves less than `units` of `capacity`: sorted, disjoint.
std::vector<Interval> FullSpans(int64_t capacity, const std::vector<Busy>& busy, int64_t units) {
  std::vector<std::pair<Time, int64_t>> changes;
  for (const Busy& taken : busy) {
    if (taken.window.start >= taken.window.end) continue;
    changes.emplace_back(taken.window.start, taken.units);
    changes.emplace_back(taken.window.end, -taken.units);
  }
  std::ranges::sort(changes);
  std::vector<Interval> out;
  int64_t use = 0;
  for (size_t i = 0; i < changes.size(); ++i) {
    use += changes[i].second;
    if (i + 1 < changes.size() && changes[i].first < changes[i + 1].first && use + units > capacity) {
      out.push_back({changes[i].first, changes[i + 1].first});
    }
  }
  Normalize(out);
  return out;
}

Time CeilQuarter(Time time) {
  // Offsets of all zones are whole quarters since 1975, so their quarter hours are UTC's.
  Duration since = time.time_since_epoch();
  Duration rest = since % kQuarter;
  if (rest < Duration(0)) rest += kQuarter;
  return rest == Duration(0) ? time : time - rest + kQuarter;
}

// Where windows of one length may start: the search that FreeWindows and Alternatives share.
class Search {
 public:
  Search(const std::vector<Interval>& open, const Rules& rules, int64_t capacity, const std::vector<Busy>& busy,
         Duration length, int64_t units, Time now)
      : open_(open),
        length_(length),
        before_(minutes(rules.buffer_before_minutes)),
        after_(minutes(rules.buffer_after_minutes)),
        earliest_(std::max(now + Duration(1), now + minutes(rules.lead_time_minutes))),
        full_(FullSpans(capacity, busy, units)) {
    possible_ = length > Duration(0) && units >= 1 && units <= capacity &&
                length >= minutes(rules.min_duration_minutes) &&
                (rules.max_duration_minutes == 0 || length <= minutes(rules.max_duration_minutes));
    for (const Busy& taken : busy) ends_.push_back(taken.window.end + before_);
    std::ranges::sort(ends_);
  }

  bool possible() const { return possible_; }
  Duration length() const { return length_; }

  // The first start not before `from` and before `end` that may be booked.
  std::optional<Time> Next(Time from, Time end) const {
    from = Candidate(std::max(from, earliest_));
    auto span = std::ranges::upper_bound(open_, from, {}, &Interval::end);
    while (from < end && span != open_.end()) {
      if (from < span->start) from = Candidate(span->start);
      if (from + length_ > span->end) {
        ++span;
        continue;
      }
      // The first full span that the blocked window meets; `from` goes behind it.
      auto full = std::ranges::upper_bound(full_, from - before_, {}, &Interval::end);
      if (full == full_.end() || full->start >= from + length_ + after_)
        return from < end ? std::optional(from) : std::nullopt;
      from = Candidate(full->end + before_);
    }
    return std::nullopt;
  }

 private:
  // The first possible start not before `from`: a quarter hour, or where something taken ends.
  Time Candidate(Time from) const {
    auto end = std::ranges::lower_bound(ends_, from);
    return end == ends_.end() ? CeilQuarter(from) : std::min(CeilQuarter(from), *end);
  }

  const std::vector<Interval>& open_;
  Duration length_, before_, after_;
  Time earliest_;
  std::vector<Interval> full_;
  std::vector<Time> ends_;
  bool possible_ = false;
};

Violation Wrong(std::string pointer, ErrorCode code, ErrorParams params = {}) {
  params["field"] = pointer.substr(pointer.rfind('/') + 1);
  return {std::move(pointer), code, std::move(params)};
}

}  // namespace

bool IsTimeZone(std::string_view name) {
  absl::TimeZone zone;
  return LoadZone(name, &zone);
}

std::vector<Violation> CheckRules(const Rules& rules, std::string_view pointer) {
  std::vector<Violation> out;
  std::string base(pointer);
  auto range = [&](const std::string& field, int64_t value, int64_t min, int64_t max) {
    if (value >= min && value <= max) return;
    out.push_back(Wrong(base + "/" + field, ErrorCode::kOutOfRange,
                        {{"min", std::to_string(min)}, {"max", std::to_string(max)}}));
  };
  if (!IsTimeZone(rules.time_zone)) {
    out.push_back(Wrong(base + "/time_zone", ErrorCode::kUnknownTimeZone, {{"time_zone", rules.time_zone}}));
  }
  for (size_t i = 0; i < rules.weekly.size(); ++i) {
    const WeeklyRule& rule = rules.weekly[i];
    std::string at = "weekly/" + std::to_string(i);
    range(at + "/weekday", rule.weekday, 1, 7);
    range(at + "/start_minute", rule.start_minute, 0, kMinutesOfDay - 1);
    if (rule.end_minute <= rule.start_minute) {
      out.push_back(Wrong(base + "/" + at + "/end_minute", ErrorCode::kEndBeforeStart));
    } else {
      range(at + "/end_minute", rule.end_minute, 1, 2 * kMinutesOfDay);
    }
  }
  for (size_t i = 0; i < rules.exceptions.size(); ++i) {
    if (rules.exceptions[i].window.end > rules.exceptions[i].window.start) continue;
    out.push_back(Wrong(base + "/exceptions/" + std::to_string(i) + "/window/end_time", ErrorCode::kEndBeforeStart));
  }
  constexpr int kYear = 525600;
  range("min_duration_minutes", rules.min_duration_minutes, 0, kYear);
  range("max_duration_minutes", rules.max_duration_minutes,
        rules.max_duration_minutes == 0 ? 0 : std::max(0, rules.min_duration_minutes), kYear);
  range("lead_time_minutes", rules.lead_time_minutes, 0, kYear);
  range("buffer_before_minutes", rules.buffer_before_minutes, 0, 7 * kMinutesOfDay);
  range("buffer_after_minutes", rules.buffer_after_minutes, 0, 7 * kMinutesOfDay);
  return out;
}

std::vector<Interval> OpenSpans(const Rules& rules, Interval range) {
  range.end = std::min(range.end, range.start + kLongestRange);
  absl::TimeZone zone;
  if (range.start >= range.end || !LoadZone(rules.time_zone, &zone)) return {};
  std::vector<Interval> spans = WeeklySpans(rules, zone, range);
  for (const Exception& exception : rules.exceptions) Apply(exception, range, spans);
  return spans;
}

Interval Blocked(const Rules& rules, Interval window) {
  return {window.start - minutes(rules.buffer_before_minutes), window.end + minutes(rules.buffer_after_minutes)};
}

Result<void> CheckWindow(const Rules& rules, Interval window, Time now) {
  if (window.end <= window.start) return Fail(Error::At("#/window/end_time", ErrorCode::kEndBeforeStart));
  if (window.start <= now) return Fail(ErrorCode::kWindowInPast, {{"now", FormatTime(now)}});
  if (window.start < now + minutes(rules.lead_time_minutes)) {
    return Fail(ErrorCode::kLeadTime, {{"minutes", std::to_string(rules.lead_time_minutes)}});
  }
  if (window.Length() < minutes(rules.min_duration_minutes) ||
      (rules.max_duration_minutes != 0 && window.Length() > minutes(rules.max_duration_minutes))) {
    int most = rules.max_duration_minutes != 0 ? rules.max_duration_minutes : 366 * kMinutesOfDay;
    return Fail(ErrorCode::kDurationNotAllowed,
                {{"min", std::to_string(rules.min_duration_minutes)}, {"max", std::to_string(most)}});
  }
  std::vector<Interval> open = OpenSpans(rules, window);
  if (open.size() != 1 || open[0] != window) return Fail(ErrorCode::kOutsideCalendar, {{"time_zone", rules.time_zone}});
  return {};
}

int64_t PeakUse(const std::vector<Busy>& busy, Interval window) {
  std::vector<std::pair<Time, int64_t>> changes;
  for (const Busy& taken : busy) {
    Interval met = Cut(taken.window, window);
    if (met.start >= met.end) continue;
    changes.emplace_back(met.start, taken.units);
    changes.emplace_back(met.end, -taken.units);
  }
  std::ranges::sort(changes);  // at one instant ends come first, being negative
  int64_t use = 0, peak = 0;
  for (const auto& [time, units] : changes) {
    use += units;
    peak = std::max(peak, use);
  }
  return peak;
}

std::vector<Interval> FreeWindowsIn(const std::vector<Interval>& open, const Rules& rules, int64_t capacity,
                                    const std::vector<Busy>& busy, Interval range, Duration length, int64_t units,
                                    Time now, size_t limit) {
  std::vector<Interval> out;
  Search search(open, rules, capacity, busy, length, units, now);
  if (!search.possible()) return out;
  Time from = range.start;
  while (out.size() < limit) {
    std::optional<Time> start = search.Next(from, range.end);
    if (!start) break;
    out.push_back({*start, *start + length});
    from = *start + length;
  }
  return out;
}

std::vector<Interval> FreeWindows(const Rules& rules, int64_t capacity, const std::vector<Busy>& busy, Interval range,
                                  Duration length, int64_t units, Time now, size_t limit) {
  std::vector<Interval> open = OpenSpans(rules, {range.start, range.end + std::max(length, Duration(0))});
  return FreeWindowsIn(open, rules, capacity, busy, range, length, units, now, limit);
}

std::vector<Interval> Alternatives(const Rules& rules, int64_t capacity, const std::vector<Busy>& busy, Interval wanted,
                                   int64_t units, Time now, size_t limit) {
  Duration length = wanted.Length();
  if (length <= Duration(0)) return {};
  length = std::max<Duration>(length, minutes(rules.min_duration_minutes));
  if (rules.max_duration_minutes != 0) length = std::min<Duration>(length, minutes(rules.max_duration_minutes));
  Interval range{wanted.start - kAlternativesAround, wanted.start + kAlternativesAround};
  std::vector<Interval> open = OpenSpans(rules, {range.start, range.end + length});
  Search search(open, rules, capacity, busy, length, units, now);
  if (!search.possible()) return {};
  std::vector<Time> starts;
  for (auto next = search.Next(range.start, range.end); next; next = search.Next(*next + Duration(1), range.end)) {
    starts.push_back(*next);
  }
  auto away = [&](Time start) {
    return std::pair(start < wanted.start ? wanted.start - start : start - wanted.start, start);
  };
  std::ranges::sort(starts, {}, away);
  std::vector<Interval> out;
  for (Time start : starts) {
    if (out.size() == limit) break;
    Interval window{start, start + length};
    if (std::ranges::none_of(out, [&](const Interval& taken) { return taken.Overlaps(window); })) out.push_back(window);
  }
  return out;
}

std::string FormatLocal(Time time, std::string_view time_zone) {
  absl::TimeZone zone;
  if (!LoadZone(time_zone, &zone)) return FormatTime(time);
  return absl::FormatTime("%Y-%m-%d %H:%M", ToAbsl(time), zone);
}

}  // namespace millrace::calendar
