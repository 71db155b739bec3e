// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace millrace::telemetry {

// W3C trace context, version 00: whether `text` is a valid traceparent.
bool IsTraceparent(std::string_view text);
// A new trace with a sampled flag.
std::string NewTraceparent();
// The same trace with a new parent id; a new trace if `text` is not valid.
std::string ChildTraceparent(std::string_view text);
// 32 hexadecimal characters, empty if `text` is not valid.
std::string_view TraceId(std::string_view text);

}  // namespace millrace::telemetry
