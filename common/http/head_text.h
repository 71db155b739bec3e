// SPDX-License-Identifier: Apache-2.0
// The header of an answer as it goes out. Stays within common/http.
#pragma once

#include <string>

#include "common/http/http.h"

namespace millrace::http {

// How an answer is given.
struct Manner {
  bool http11 = true;
  bool head_only = false;  // the answer to HEAD
  bool keep = false;
};

// With its empty line. Date and the framing are added; a control character in a value becomes a space, so that no line
// can be smuggled in.
std::string HeadText(const Response& response, const Manner& manner, bool chunked);

}  // namespace millrace::http
