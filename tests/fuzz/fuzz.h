// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace millrace::fuzz {

// A property that must hold for every input; otherwise the input is kept as a finding.
inline void Must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// Takes the text up to `end`, or all that is left.
inline std::string Part(std::string_view* input, char end = '\n') {
  size_t at = input->find(end);
  std::string part(input->substr(0, at));
  *input = at == input->npos ? std::string_view() : input->substr(at + 1);
  return part;
}

}  // namespace millrace::fuzz
