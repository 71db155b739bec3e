// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace millrace {

// The Chinese of an English phrase that an error's parameter holds ("a list" as what was got); a text that is no known
// phrase, such as a name or a number, stays as it is.
std::string ChinesePhrase(std::string_view english);

}  // namespace millrace
