// SPDX-License-Identifier: Apache-2.0
#include "common/base/units.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

constexpr std::array<std::string_view, 19> kUnits = {"h",      "min",     "s",       "d",  "kW.h", "MJ", "kg",
                                                     "g",      "t",       "m",       "m2", "m3",   "L",  "{piece}",
                                                     "{part}", "{cycle}", "{shift}", "1",  "%"};

}  // namespace

bool IsUnit(std::string_view code) { return std::ranges::find(kUnits, code) != kUnits.end(); }

std::string_view AllowedUnits() {
  return "h, min, s, d, kW.h, MJ, kg, g, t, m, m2, m3, L, {piece}, {part}, {cycle}, {shift}, 1, %";
}

}  // namespace millrace
