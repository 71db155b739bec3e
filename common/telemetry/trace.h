// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace millrace::telemetry {

// W3C trace context, version 00: whether `text` is a valid traceparent.
bool IsTraceparent(std::string_view text);
// A new trace; its flag says whether it is sampled.
std::string NewTraceparent(bool sampled = true);
// The same trace with a new parent id; a new trace if `text` is not valid.
std::string ChildTraceparent(std::string_view text);
// Whether it is valid and its sampled flag is set.
bool IsSampled(std::string_view text);
// 32 hexadecimal characters, empty if `text` is not valid.
std::string_view TraceId(std::string_view text);

}  // namespace millrace::telemetry
