// SPDX-License-Identifier: Apache-2.0
#include "common/telemetry/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "common/base/time.h"
#include "common/telemetry/call.h"
#include "common/telemetry/text.h"

namespace millrace::telemetry {
namespace {

std::atomic<Level> g_level{Level::kInfo};
std::atomic<int> g_file{STDERR_FILENO};

std::string_view LevelName(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "error";
}

}  // namespace

void Log(Level level, std::string_view event, std::initializer_list<Field> fields) {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  std::string line = "{\"ts\":\"" + FormatTime(WallNow()) + "\",\"level\":\"";
  line += LevelName(level);
  line += "\",\"msg\":";
  AppendString(line, event);
  for (const Field& field : fields) {
    line += ',';
    AppendString(line, field.name);
    line += ':';
    if (field.number) {
      line += field.value;
    } else {
      AppendString(line, field.value);
    }
  }
  // A line that belongs to a call says so, unless its writer does.
  const Call& call = CurrentCall();
  auto has = [&fields](std::string_view name) {
    return std::any_of(fields.begin(), fields.end(), [name](const Field& field) { return field.name == name; });
  };
  if (!call.RequestId().empty() && !has("request_id")) {
    line += ",\"request_id\":";
    AppendString(line, call.RequestId());
  }
  if (call.traced() && !has("trace")) {
    line += ",\"trace\":";
    AppendString(line, call.TraceId());
  }
  line += "}\n";
  // One write a line: O_APPEND and pipes keep lines of several threads whole.
  for (size_t at = 0; at < line.size();) {
    ssize_t written = write(g_file.load(), line.data() + at, line.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // a log that cannot be written must not stop the program
    at += static_cast<size_t>(written);
  }
}

void SetLevel(Level level) { g_level = level; }

bool LogToFile(const std::string& path) {
  int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (file < 0) return false;
  // The file before is left open: another thread may be about to write to it.
  g_file.exchange(file);
  return true;
}

// Nothing is buffered here; what a file's pages hold goes to the disk.
void Flush() { (void)fdatasync(g_file.load()); }

}  // namespace millrace::telemetry
