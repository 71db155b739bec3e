// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace millrace::telemetry {

enum class Level { kDebug, kInfo, kWarning, kError };

// A field of a log line.
struct Field {
  std::string_view name;
  std::string value;
  bool number = false;
  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  Field(std::string_view n, const char* v) : name(n), value(v) {}
  Field(std::string_view n, const std::string& v) : name(n), value(v) {}
  Field(std::string_view n, int64_t v) : name(n), value(std::to_string(v)), number(true) {}
  Field(std::string_view n, int v) : name(n), value(std::to_string(v)), number(true) {}
};

// One JSON object a line on stderr: ts, level, msg (a constant event name: "http.request"), then the fields, then
// request_id and trace of the call that it belongs to (call.h). From any thread.
void Log(Level level, std::string_view event, std::initializer_list<Field> fields = {});
// Lines below this level are dropped; the default is kInfo.
void SetLevel(Level level);
// Appends to this file instead of stderr; false if it cannot be opened.
bool LogToFile(const std::string& path);
// Waits until everything is written.
void Flush();

}  // namespace millrace::telemetry
