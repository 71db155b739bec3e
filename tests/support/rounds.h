// SPDX-License-Identifier: Apache-2.0
// How often a random test goes round: seeds are fixed, so that a failure repeats; scripts/test --long goes further along
// the same seeds.
#pragma once

#include <cstdlib>

namespace millrace {

// `usual` times MILLRACE_ROUNDS, which is 1 unless the environment says more.
inline int Rounds(int usual) {
  static const int factor = [] {
    const char* given = std::getenv("MILLRACE_ROUNDS");
    int value = given ? std::atoi(given) : 1;
    return value > 0 ? value : 1;
  }();
  return usual * factor;
}

}  // namespace millrace
