// SPDX-License-Identifier: Apache-2.0
// The grammar that lists in header fields share (RFC 9110 §5.6, §12.4.2): elements by comma, parameters by semicolon,
// weights.
#pragma once

#include <string_view>

namespace millrace::http {

// Without blanks and tabs at its ends.
std::string_view Trimmed(std::string_view text);
// What stands before `separator`, trimmed; `rest` becomes what stands behind it, empty at the end.
std::string_view TakePart(std::string_view* rest, char separator);
// The weight q of an element's parameters ("q=0.5; x=y"), from 0 to 1: 1 if none is given, 0 if it is malformed.
double Quality(std::string_view parameters);

}  // namespace millrace::http
