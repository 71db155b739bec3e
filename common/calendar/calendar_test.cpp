// SPDX-License-Identifier: Apache-2.0
#include "common/calendar/calendar.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <random>

#include "tests/support/rounds.h"

namespace millrace::calendar {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

Time At(std::string_view text) { return *ParseTime(text); }

Rules Daily(int start_minute, int end_minute, std::string zone = "Asia/Shanghai") {
  Rules rules;
  rules.time_zone = std::move(zone);
  for (int day = 1; day <= 7; ++day) rules.weekly.push_back({day, start_minute, end_minute});
  return rules;
}

// Whether the rules are open at a minute, by the C library's clock: independent of the code under test.
bool OpenByLibc(const Rules& rules, Time at) {
  std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(at.time_since_epoch()).count();
  std::tm local{};
  localtime_r(&seconds, &local);
  int minute = local.tm_hour * 60 + local.tm_min;
  int today = local.tm_wday == 0 ? 7 : local.tm_wday;
  int yesterday = today == 1 ? 7 : today - 1;
  bool open = false;
  for (const WeeklyRule& rule : rules.weekly) {
    open |= rule.weekday == today && rule.start_minute <= minute && minute < rule.end_minute;
    open |= rule.weekday == yesterday && rule.start_minute <= minute + 1440 && minute + 1440 < rule.end_minute;
  }
  for (const Exception& exception : rules.exceptions) {
    if (exception.window.start <= at && at < exception.window.end) open = exception.open;
  }
  return open;
}

void ExpectSameAsLibc(const Rules& rules, Interval range) {
  setenv("TZ", rules.time_zone.c_str(), 1);
  tzset();
  std::vector<Interval> spans = OpenSpans(rules, range);
  for (size_t i = 0; i < spans.size(); ++i) {
    ASSERT_LT(spans[i].start, spans[i].end);
    ASSERT_TRUE(range.Contains(spans[i]));
    if (i > 0) ASSERT_LT(spans[i - 1].end, spans[i].start);
  }
  size_t span = 0;
  for (Time at = range.start; at < range.end; at += minutes(1)) {
    while (span < spans.size() && spans[span].end <= at) ++span;
    bool open = span < spans.size() && spans[span].start <= at;
    ASSERT_EQ(open, OpenByLibc(rules, at)) << rules.time_zone << ' ' << FormatTime(at);
  }
}

TEST(Calendar, KnowsZonesOfTheDatabaseOnly) {
  for (std::string_view good : {"Asia/Shanghai", "UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires"}) {
    EXPECT_TRUE(IsTimeZone(good)) << good;
  }
  for (std::string_view bad : {"", "Asia/Nowhere", "/etc/localtime", "../zoneinfo/UTC", "file:UTC", "localtime",
                               "+08:00", "Fixed/UTC+08:00:00", "Asia", "asia/shanghai "}) {
    EXPECT_FALSE(IsTimeZone(bad)) << bad;
  }
}

TEST(Calendar, ClocksThatTurnGiveShortAndLongDays) {
  Rules berlin = Daily(0, 1440, "Europe/Berlin");
  // 29 March 2026: 02:00 → 03:00; 25 October 2026: 03:00 → 02:00.
  Rules sunday;
  sunday.time_zone = "Europe/Berlin";
  sunday.weekly = {{7, 0, 1440}};
  auto spring = OpenSpans(sunday, {At("2026-03-27T00:00:00Z"), At("2026-03-31T00:00:00Z")});
  ASSERT_EQ(spring.size(), 1u);
  EXPECT_EQ(spring[0].Length(), hours(23));
  auto autumn = OpenSpans(sunday, {At("2026-10-23T00:00:00Z"), At("2026-10-27T00:00:00Z")});
  ASSERT_EQ(autumn.size(), 1u);
  EXPECT_EQ(autumn[0].Length(), hours(25));
  // Open round the clock stays one span over both.
  EXPECT_EQ(OpenSpans(berlin, {At("2026-03-01T00:00:00Z"), At("2026-11-30T00:00:00Z")}).size(), 1u);
  // A rule within the skipped hour is not there; within the repeated hour it is there twice.
  sunday.weekly = {{7, 120, 150}};
  EXPECT_TRUE(OpenSpans(sunday, {At("2026-03-27T00:00:00Z"), At("2026-03-31T00:00:00Z")}).empty());
  EXPECT_EQ(OpenSpans(sunday, {At("2026-10-23T00:00:00Z"), At("2026-10-27T00:00:00Z")}).size(), 2u);
  // A shift of Saturday 22:00 to 06:00 lasts seven or nine hours.
  sunday.weekly = {{6, 1320, 1800}};
  EXPECT_EQ(OpenSpans(sunday, {At("2026-03-27T00:00:00Z"), At("2026-03-31T00:00:00Z")}).at(0).Length(), hours(7));
  EXPECT_EQ(OpenSpans(sunday, {At("2026-10-23T00:00:00Z"), At("2026-10-27T00:00:00Z")}).at(0).Length(), hours(9));
}

Rules RandomRules(std::mt19937_64& random, Time around) {
  auto upto = [&](int64_t most) { return static_cast<int>(random() % static_cast<uint64_t>(most + 1)); };
  const char* zones[] = {"Europe/Berlin",  "Asia/Shanghai",       "America/New_York",
                         "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"};
  Rules rules;
  rules.time_zone = zones[upto(5)];
  for (int i = upto(8); i > 0; --i) {
    int start = upto(1439);
    rules.weekly.push_back({1 + upto(6), start, start + 1 + upto(2880 - start - 1)});
    if (upto(2) == 0) rules.weekly.back().end_minute = std::min(2880, (start / 60 + 8) * 60);
  }
  for (int i = upto(4); i > 0; --i) {
    Time start = around + minutes(upto(7 * 1440));
    rules.exceptions.push_back({{start, start + minutes(1 + upto(3000))}, upto(1) != 0});
  }
  return rules;
}

TEST(Calendar, AgreesWithTheCLibraryMinuteByMinute) {
  std::mt19937_64 random(11);
  for (Time from : {At("2026-03-25T00:00:00Z"), At("2026-10-22T00:00:00Z"), At("2026-07-01T12:34:00Z"),
                    At("2026-04-01T00:00:00Z"), At("2026-11-01T00:00:00Z")}) {
    for (int i = 0; i < Rounds(12); ++i) {
      Rules rules = RandomRules(random, from);
      ASSERT_TRUE(CheckRules(rules, "#").empty());
      ASSERT_NO_FATAL_FAILURE(ExpectSameAsLibc(rules, {from, from + hours(24 * 8)}));
    }
  }
}

TEST(Calendar, ALaterExceptionWins) {
  Rules rules = Daily(480, 1080);
  Interval day{At("2026-10-05T00:00:00+08:00"), At("2026-10-06T00:00:00+08:00")};
  rules.exceptions = {{day, false}};
  EXPECT_TRUE(OpenSpans(rules, day).empty());
  rules.exceptions.push_back({{At("2026-10-05T20:00:00+08:00"), At("2026-10-05T22:00:00+08:00")}, true});
  ASSERT_EQ(OpenSpans(rules, day).size(), 1u);
  std::swap(rules.exceptions[0], rules.exceptions[1]);
  EXPECT_TRUE(OpenSpans(rules, day).empty());
  // An opening that touches a rule makes one span.
  rules.exceptions = {{{At("2026-10-05T18:00:00+08:00"), At("2026-10-05T19:00:00+08:00")}, true}};
  ASSERT_EQ(OpenSpans(rules, day).size(), 1u);
  EXPECT_EQ(OpenSpans(rules, day)[0].Length(), hours(11));
}

TEST(Calendar, RefusesWindowsWithTheReason) {
  Rules rules = Daily(480, 1080);
  rules.lead_time_minutes = 120;
  rules.min_duration_minutes = 60;
  rules.max_duration_minutes = 480;
  Time now = At("2026-10-05T07:00:00+08:00");
  auto code = [&](std::string_view start, std::string_view end) {
    auto result = CheckWindow(rules, {At(start), At(end)}, now);
    return result ? "" : std::string(Name(result.error().code));
  };
  EXPECT_EQ(code("2026-10-05T10:00:00+08:00", "2026-10-05T12:00:00+08:00"), "");
  EXPECT_EQ(code("2026-10-05T10:00:00+08:00", "2026-10-05T18:00:00+08:00"), "");
  EXPECT_EQ(code("2026-10-05T12:00:00+08:00", "2026-10-05T12:00:00+08:00"), "END_BEFORE_START");
  EXPECT_EQ(code("2026-10-05T07:00:00+08:00", "2026-10-05T09:00:00+08:00"), "WINDOW_IN_PAST");
  EXPECT_EQ(code("2026-10-05T08:59:00+08:00", "2026-10-05T10:59:00+08:00"), "LEAD_TIME");
  EXPECT_EQ(code("2026-10-05T09:00:00+08:00", "2026-10-05T09:59:00+08:00"), "DURATION_NOT_ALLOWED");
  EXPECT_EQ(code("2026-10-06T08:00:00+08:00", "2026-10-06T16:01:00+08:00"), "DURATION_NOT_ALLOWED");
  EXPECT_EQ(code("2026-10-06T07:30:00+08:00", "2026-10-06T09:30:00+08:00"), "OUTSIDE_CALENDAR");
  EXPECT_EQ(code("2026-10-06T17:00:00+08:00", "2026-10-06T19:00:00+08:00"), "OUTSIDE_CALENDAR");
}

TEST(Calendar, NamesEachWrongFieldOfRules) {
  Rules rules;
  rules.time_zone = "Moon/Base";
  rules.weekly = {{8, 0, 60}, {1, 600, 600}, {1, 1500, 1600}, {1, 0, 2881}};
  rules.exceptions = {{{At("2026-10-05T00:00:00Z"), At("2026-10-05T00:00:00Z")}, true}};
  rules.min_duration_minutes = 60;
  rules.max_duration_minutes = 30;
  rules.lead_time_minutes = -1;
  std::vector<std::string> found;
  for (const Violation& v : CheckRules(rules, "#/calendar"))
    found.push_back(v.pointer.substr(11) + " " + std::string(Name(v.code)));
  EXPECT_EQ(found, (std::vector<std::string>{"time_zone UNKNOWN_TIME_ZONE", "weekly/0/weekday OUT_OF_RANGE",
                                             "weekly/1/end_minute END_BEFORE_START",
                                             "weekly/2/start_minute OUT_OF_RANGE", "weekly/3/end_minute OUT_OF_RANGE",
                                             "exceptions/0/window/end_time END_BEFORE_START",
                                             "max_duration_minutes OUT_OF_RANGE", "lead_time_minutes OUT_OF_RANGE"}));
}

std::vector<Busy> RandomBusy(std::mt19937_64& random, Time from, int count, int most_units) {
  std::vector<Busy> busy;
  for (int i = 0; i < count; ++i) {
    Time start = from + minutes(5 * static_cast<int64_t>(random() % 1200));
    busy.push_back({{start, start + minutes(5 * static_cast<int64_t>(1 + random() % 100))},
                    1 + static_cast<int64_t>(random()) % most_units});
    if (busy.back().units < 1) busy.back().units = 1;
  }
  return busy;
}

TEST(Calendar, PeakUseIsTheMostAtOneInstant) {
  std::mt19937_64 random(12);
  Time from = At("2026-10-05T00:00:00Z");
  for (int i = 0; i < Rounds(300); ++i) {
    std::vector<Busy> busy = RandomBusy(random, from, static_cast<int>(random() % 12), 4);
    Interval window{from + minutes(5 * static_cast<int64_t>(random() % 600)), from};
    window.end = window.start + minutes(5 * static_cast<int64_t>(1 + random() % 600));
    int64_t peak = 0;
    for (Time at = window.start; at < window.end; at += minutes(5)) {
      int64_t use = 0;
      for (const Busy& taken : busy) use += taken.window.start <= at && at < taken.window.end ? taken.units : 0;
      peak = std::max(peak, use);
    }
    ASSERT_EQ(PeakUse(busy, window), peak);
  }
  // One that ends where another begins does not meet it.
  EXPECT_EQ(PeakUse({{{from, from + hours(1)}, 2}, {{from + hours(1), from + hours(2)}, 3}}, {from, from + hours(2)}),
            3);
}

// Every start that the contract names, in order, by the definition.
std::vector<Interval> AllFree(const Rules& rules, int64_t capacity, const std::vector<Busy>& busy, Interval range,
                              Duration length, int64_t units, Time now) {
  std::vector<Interval> out;
  for (Time at = range.start; at < range.end; at += minutes(5)) {
    bool quarter = at.time_since_epoch() % minutes(15) == Duration(0);
    bool busy_end = std::ranges::any_of(
        busy, [&](const Busy& taken) { return taken.window.end + minutes(rules.buffer_before_minutes) == at; });
    Interval window{at, at + length};
    if ((quarter || busy_end) && CheckWindow(rules, window, now) &&
        PeakUse(busy, Blocked(rules, window)) + units <= capacity) {
      out.push_back(window);
    }
  }
  return out;
}

TEST(Calendar, FreeWindowsAreExactlyTheEarliestBookableOnes) {
  std::mt19937_64 random(13);
  Time from = At("2026-10-22T00:00:00Z");
  int found = 0;
  for (int i = 0; i < Rounds(400); ++i) {
    Rules rules = RandomRules(random, from);
    for (WeeklyRule& rule : rules.weekly) rule.start_minute -= rule.start_minute % 5;
    rules.lead_time_minutes = static_cast<int>(random() % 3) * 600;
    rules.buffer_before_minutes = static_cast<int>(random() % 3) * 20;
    rules.buffer_after_minutes = static_cast<int>(random() % 3) * 35;
    rules.min_duration_minutes = static_cast<int>(random() % 2) * 60;
    rules.max_duration_minutes = random() % 2 ? 600 : 0;
    int64_t capacity = 1 + static_cast<int64_t>(random() % 4), units = 1 + static_cast<int64_t>(random() % 3);
    std::vector<Busy> busy = RandomBusy(random, from, static_cast<int>(random() % 15), 3);
    Duration length = minutes(15 * static_cast<int64_t>(1 + random() % 45));
    Interval range{from, from + hours(24 * 5)};
    Time now = from + hours(5);
    std::vector<Interval> expected;
    for (const Interval& window : AllFree(rules, capacity, busy, range, length, units, now)) {
      if (expected.empty() || expected.back().end <= window.start) expected.push_back(window);
    }
    found += static_cast<int>(expected.size());
    auto free = FreeWindows(rules, capacity, busy, range, length, units, now, 1000);
    ASSERT_EQ(free, expected) << i;
    auto few = FreeWindows(rules, capacity, busy, range, length, units, now, 2);
    ASSERT_EQ(few.size(), std::min<size_t>(2, expected.size()));
  }
  EXPECT_GT(found, 1000);
}

TEST(Calendar, AlternativesAreBookableNearestFirst) {
  std::mt19937_64 random(14);
  Time from = At("2026-10-05T00:00:00Z");
  Rules rules = Daily(480, 1080);
  rules.buffer_after_minutes = 30;
  for (int i = 0; i < Rounds(50); ++i) {
    std::vector<Busy> busy = RandomBusy(random, from, 10, 1);
    Interval wanted{from + minutes(15 * static_cast<int64_t>(random() % 300)), from};
    wanted.end = wanted.start + minutes(15 * static_cast<int64_t>(1 + random() % 30));
    auto offered = Alternatives(rules, 1, busy, wanted, 1, from, 5);
    ASSERT_EQ(offered.size(), 5u);
    Duration last(0);
    for (const Interval& window : offered) {
      ASSERT_TRUE(CheckWindow(rules, window, from));
      ASSERT_EQ(PeakUse(busy, Blocked(rules, window)), 0);
      ASSERT_EQ(window.Length(), wanted.Length());
      Duration away = window.start < wanted.start ? wanted.start - window.start : window.start - wanted.start;
      ASSERT_GE(away, last);
      last = away;
    }
    auto all = AllFree(rules, 1, busy, {from, from + hours(24 * 14)}, wanted.Length(), 1, from);
    auto nearest = std::ranges::min(all, {}, [&](const Interval& window) {
      return window.start < wanted.start ? wanted.start - window.start : window.start - wanted.start;
    });
    ASSERT_EQ(offered[0].start > wanted.start ? offered[0].start - wanted.start : wanted.start - offered[0].start,
              nearest.start > wanted.start ? nearest.start - wanted.start : wanted.start - nearest.start);
  }
}

TEST(Calendar, WritesLocalTime) {
  EXPECT_EQ(FormatLocal(At("2026-10-01T00:00:00Z"), "Asia/Shanghai"), "2026-10-01 08:00");
  EXPECT_EQ(FormatLocal(At("2026-07-01T00:00:00Z"), "Europe/Berlin"), "2026-07-01 02:00");
}

}  // namespace
}  // namespace millrace::calendar
