// SPDX-License-Identifier: Apache-2.0
#include "common/telemetry/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "common/base/time.h"

namespace millrace::telemetry {
namespace {

std::atomic<Level> g_level{Level::kInfo};
std::atomic<int> g_file{STDERR_FILENO};

// Bytes of the well-formed UTF-8 sequence at `at`, 0 if there is none (RFC 3629: no overlong forms, no surrogates).
size_t SequenceLength(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  auto follows = [&](size_t i, unsigned low = 0x80, unsigned high = 0xBF) { return byte(i) >= low && byte(i) <= high; };
  unsigned first = byte(at);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(at + 1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    bool second = follows(at + 1, first == 0xE0 ? 0xA0 : 0x80, first == 0xED ? 0x9F : 0xBF);
    return second && follows(at + 2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    bool second = follows(at + 1, first == 0xF0 ? 0x90 : 0x80, first == 0xF4 ? 0x8F : 0xBF);
    return second && follows(at + 2) && follows(at + 3) ? 4 : 0;
  }
  return 0;
}

// Whatever the text holds, the line stays one line of valid JSON: bad bytes become U+FFFD.
void AppendString(std::string& line, std::string_view text) {
  static const char kHex[] = "0123456789abcdef";
  line += '"';
  for (size_t at = 0; at < text.size();) {
    size_t length = SequenceLength(text, at);
    if (length == 0) {
      line += "\xEF\xBF\xBD";
      ++at;
      continue;
    }
    unsigned char c = static_cast<unsigned char>(text[at]);
    if (length > 1) {
      line.append(text, at, length);
    } else if (c == '"' || c == '\\') {
      line += '\\';
      line += static_cast<char>(c);
    } else if (c == '\n') {
      line += "\\n";
    } else if (c < 0x20 || c == 0x7F) {
      line += "\\u00";
      line += kHex[c >> 4];
      line += kHex[c & 15];
    } else {
      line += static_cast<char>(c);
    }
    at += length;
  }
  line += '"';
}

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
