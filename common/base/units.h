// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace millrace {

// Whether `code` is of the closed list of UCUM codes.
bool IsUnit(std::string_view code);
// "h, min, s, …" for messages.
std::string_view AllowedUnits();

}  // namespace millrace
