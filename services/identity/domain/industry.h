// SPDX-License-Identifier: Apache-2.0
// GB/T 4754-2017: sections (门类) and divisions (大类) are built in, groups (中类) and classes (小类) are loaded.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace millrace::identity::domain {

// Numbers as in the contract.
enum class IndustryLevel { kSection = 1, kDivision = 2, kGroup = 3, kClass = 4 };

struct BuiltInIndustry {
  std::string_view code, zh, en;  // "C", "34"
};
// The 20 sections, each followed by its divisions; 97 of these.
std::span<const BuiltInIndustry> BuiltInIndustries();

// A code as it is kept: a section's letter, or the digits of a division, group or class: "3421" of "C3421". Empty
// unless the division exists and the letter, if there is one, is its section's.
std::string NormalIndustryCode(std::string_view code);

// What follows takes kept codes.
IndustryLevel LevelOf(std::string_view code);
// "342" of "3421", "34" of "342", "C" of "34", "" of "C".
std::string ParentIndustry(std::string_view code);
// A text whose order is the tree's: "C", "C34", "C342", "C3421".
std::string IndustryPlace(std::string_view code);

// A section's letter A to T, or 2 to 4 digits whose division exists, with or without the letter of the section that the
// division belongs to. Errors: UNKNOWN_INDUSTRY_CODE.
Result<void> CheckIndustryCode(std::string_view code, std::string_view pointer);

}  // namespace millrace::identity::domain
