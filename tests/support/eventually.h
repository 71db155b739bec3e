// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <thread>

namespace millrace::test {

// Asks again and again until it is so, for 10 s at most; whether it became so. A bound in time and not in rounds: a quick
// machine must not run out of them.
template <class F>
bool Eventually(F so) {
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!so()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace millrace::test
