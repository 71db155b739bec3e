// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/clock.h"

#include <cstdio>

#include "services/millrace/arguments.h"
#include "services/millrace/target.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

constexpr int64_t kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour, kWeek = 7 * kDay;
constexpr int64_t kLongestSeconds = 3660 * kDay;
constexpr size_t kLengthDigits = 9;

// Seconds of one unit; 0 if there is none. In ISO 8601 an M before T would be a month, which has no length.
int64_t SecondsOf(char unit, bool iso, bool after_t) {
  switch (unit) {
    case 'w':
    case 'W':
      return iso && after_t ? 0 : kWeek;
    case 'd':
    case 'D':
      return iso && after_t ? 0 : kDay;
    case 'h':
    case 'H':
      return iso && !after_t ? 0 : kHour;
    case 'm':
    case 'M':
      return iso && !after_t ? 0 : kMinute;
    case 's':
    case 'S':
      return iso && !after_t ? 0 : 1;
    default:
      return 0;
  }
}

int Advance(const ApiClient& client, std::vector<std::string> arguments, bool json) {
  std::string to = TakeOption(&arguments, "--to").value_or("");
  if (to.empty()) to = TakeOption(&arguments, "--to-time").value_or("");
  std::optional<std::string> length = TakeWord(&arguments);
  if (!arguments.empty()) return Leftover("clock", arguments);
  if (length.has_value() == !to.empty()) {
    return Misused(
        "clock advance: by how much, or to when? `millrace clock advance 2d`, or --to 2026-10-01T08:00:00+08:00");
  }
  Answer before = client.Call("GET", "/v1/clock");
  if (!before.ok()) {
    std::fprintf(stderr, "millrace clock: %s\n", Describe(before).c_str());
    return Refusal(before);
  }
  if (length) {
    std::optional<Duration> by = ParseLength(*length);
    if (!by) return Misused("clock advance: " + *length + " is no length; write 2d, 36h, 1d12h or PT36H");
    Result<Time> now = ParseTime(before.body.value("now", ""));
    if (!now) return Misused("clock advance: the instance tells no time");
    to = FormatTime(*now + *by);
  } else if (!ParseTime(to)) {
    return Misused("clock advance: --to needs a time with its offset: 2026-10-01T08:00:00+08:00");
  }
  Answer moved;
  {
    Busy busy("moving the clock to " + to);
    moved = client.Call("POST", "/v1/clock:advance", Json{{"to_time", to}});
  }
  if (json && moved.body.is_object()) std::printf("%s\n", moved.body.dump(2).c_str());
  if (!moved.ok()) {
    std::fprintf(stderr, "millrace clock: %s\n", Describe(moved).c_str());
    return Refusal(moved);
  }
  if (!json) {
    std::printf("%s -> %s, %d timers fired\n", before.body.value("now", "").c_str(),
                moved.body["clock"].value("now", "").c_str(), moved.body.value("fired", 0));
  }
  return kDone;
}

int Show(const ApiClient& client, const std::vector<std::string>& arguments, bool json) {
  if (!arguments.empty()) return Leftover("clock", arguments);
  Answer clock = client.Call("GET", "/v1/clock");
  if (!clock.ok()) {
    std::fprintf(stderr, "millrace clock: %s\n", Describe(clock).c_str());
    return Refusal(clock);
  }
  if (json) {
    std::printf("%s\n", clock.body.dump(2).c_str());
  } else {
    const char* kind = clock.body.value("test", false) ? "a test clock: `millrace clock advance 2d` moves it"
                                                       : "the machine's clock: it cannot be moved";
    PrintTable({"BUSINESS TIME", "KIND"}, {{clock.body.value("now", ""), kind}});
  }
  return kDone;
}

}  // namespace

std::optional<Duration> ParseLength(std::string_view text) {
  bool iso = text.starts_with('P'), after_t = false;
  if (iso) text.remove_prefix(1);
  int64_t seconds = 0, shortest = INT64_MAX;
  while (!text.empty()) {
    if (iso && !after_t && text[0] == 'T') {
      after_t = true;
      text.remove_prefix(1);
      if (text.empty()) return std::nullopt;
      continue;
    }
    size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || digits > kLengthDigits || digits == text.size()) return std::nullopt;
    int64_t unit = SecondsOf(text[digits], iso, after_t);
    if (unit == 0 || unit >= shortest) return std::nullopt;  // greater units first, each once
    shortest = unit;
    seconds += std::stoll(std::string(text.substr(0, digits))) * unit;
    if (seconds > kLongestSeconds) return std::nullopt;
    text.remove_prefix(digits + 1);
  }
  if (seconds == 0) return std::nullopt;
  return std::chrono::seconds(seconds);
}

int RunClock(std::vector<std::string> arguments) {
  bool json = TakeFlag(&arguments, "--json");
  std::optional<Target> target = FindTarget(&arguments);
  if (!target) return kMisused;
  // Only a word at the front is the verb: what stands behind an option may be its value.
  std::string verb = arguments.empty() || arguments[0].starts_with("--") ? "" : arguments[0];
  if (!verb.empty()) arguments.erase(arguments.begin());
  if (verb == "advance") return Advance(target->Client(), std::move(arguments), json);
  if (verb == "show" || verb == "get") return Show(target->Client(), arguments, json);
  if (verb.empty()) return Misused("clock what? `millrace clock show`, or `millrace clock advance 2d`");
  return Misused("clock: there is no verb " + verb + "; these are: show, advance");
}

}  // namespace millrace
