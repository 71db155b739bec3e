// SPDX-License-Identifier: Apache-2.0
#include "common/telemetry/trace.h"

#include <algorithm>
#include <cstdint>

#include "common/base/random.h"
#include "common/telemetry/call.h"

namespace millrace::telemetry {
namespace {

constexpr size_t kLength = 55;  // 00-<32>-<16>-<2>

bool IsLowerHex(std::string_view text) { return text.find_first_not_of("0123456789abcdef") == std::string_view::npos; }
bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

// Random and never all zeros, which the standard reserves. `bytes` is 8 or 16.
std::string RandomHex(size_t bytes) {
  static const char kHex[] = "0123456789abcdef";
  unsigned char raw[16];
  std::string text;
  do {
    FillRandom(raw, bytes);
    text.clear();
    for (size_t i = 0; i < bytes; ++i) {
      text += kHex[raw[i] >> 4];
      text += kHex[raw[i] & 15];
    }
  } while (IsZero(text));
  return text;
}

}  // namespace

bool IsTraceparent(std::string_view text) {
  if (text.size() != kLength || !text.starts_with("00-") || text[35] != '-' || text[52] != '-') return false;
  std::string_view trace = text.substr(3, 32), parent = text.substr(36, 16), flags = text.substr(53);
  return IsLowerHex(trace) && IsLowerHex(parent) && IsLowerHex(flags) && !IsZero(trace) && !IsZero(parent);
}

std::string NewTraceparent(bool sampled) {
  return "00-" + RandomHex(16) + "-" + RandomHex(8) + (sampled ? "-01" : "-00");
}

std::string ChildTraceparent(std::string_view text) {
  if (!IsTraceparent(text)) return NewTraceparent();
  return std::string(text.substr(0, 36)) + RandomHex(8) + std::string(text.substr(52));
}

bool IsSampled(std::string_view text) {
  if (!IsTraceparent(text)) return false;
  return (text[54] <= '9' ? text[54] - '0' : text[54] - 'a' + 10) & 1;
}

std::string_view TraceId(std::string_view text) {
  return IsTraceparent(text) ? text.substr(3, 32) : std::string_view();
}

Call Call::Of(std::string_view traceparent, std::string_view request_id) {
  Call call;
  if (IsTraceparent(traceparent)) std::copy(traceparent.begin(), traceparent.end(), call.traceparent.begin());
  if (request_id.size() == call.request_id.size())
    std::copy(request_id.begin(), request_id.end(), call.request_id.begin());
  return call;
}

}  // namespace millrace::telemetry
