// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/time.h"

namespace millrace {

// A length of time as people write it: "2d", "36h", "1d12h30m", "90s", or ISO 8601 "P2D", "PT36H". Nothing if it is
// none, is zero, or is above ten years.
std::optional<Duration> ParseLength(std::string_view text);

// `clock show`, and `clock advance 2d` or `clock advance --to TIME` on a test instance.
int RunClock(std::vector<std::string> arguments);

}  // namespace millrace
