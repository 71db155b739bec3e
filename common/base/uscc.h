// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "common/base/result.h"

namespace millrace {

// The 18th character of a 统一社会信用代码 for its first 17 (GB 32100-2015): weights 3^(i-1) mod 31. 0 if a character is not in
// the code's alphabet.
char UsccCheckCharacter(std::string_view first17);
// USCC_FORMAT unless 18 characters of the alphabet; USCC_CHECK_DIGIT (params: uscc) if the last one does not fit.
Result<void> CheckUscc(std::string_view uscc, std::string_view pointer = "#/uscc");

}  // namespace millrace
