// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace millrace {

// Runs the command that the arguments name; returns the exit status: 0 done, 1 refused or failed, 2 wrong usage, 4 not
// permitted.
int RunCommand(std::vector<std::string> arguments);

}  // namespace millrace
