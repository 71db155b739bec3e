// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace millrace {

// Kills the process with SIGKILL if MILLRACE_CRASH_POINT names this point: how fault tests stop a service between two effects.
// "name:3" kills at the third passage. Costs one comparison otherwise.
void CrashPoint(std::string_view name);

}  // namespace millrace
