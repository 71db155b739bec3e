// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace millrace {

// Well-formed UTF-8 without surrogates.
bool IsUtf8(std::string_view text);
// Characters, not bytes; `text` is UTF-8.
size_t CharacterCount(std::string_view text);
// For comparing names: lower case, full width to half width, traditional characters to simplified ones where ICU's
// transliteration is packaged, runs of blanks and punctuation to one blank.
std::string FoldText(std::string_view text);
// Search terms of a folded text: bigrams of each run of Han characters (a lone one as it is), words elsewhere.
std::vector<std::string> SearchTerms(std::string_view folded);
// A file's text as UTF-8 without BOM: BOM → strict UTF-8 → strict GB18030 → IMPORT_ENCODING. No guessing beyond that.
Result<std::string> DecodeFile(std::string_view bytes);

}  // namespace millrace
