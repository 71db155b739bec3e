// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace millrace::telemetry {

// A JSON string with its quotes. Whatever the text holds, it stays valid JSON on one line: bad bytes become U+FFFD.
void AppendString(std::string& line, std::string_view text);

}  // namespace millrace::telemetry
