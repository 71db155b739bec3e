// SPDX-License-Identifier: Apache-2.0
// How good an outcome was, 0 to 1000.
#pragma once

#include "common/base/time.h"

namespace millrace::credit::domain {

inline constexpr int kGood = 1000, kHalfGood = 500;

// Handed over by 15 minutes after the start is good; a day late is as bad as it gets.
int GoodOfHandover(Duration late);
// Calling a confirmed booking off: the shorter the notice before the start, the worse.
int GoodOfCancellation(Duration notice);

}  // namespace millrace::credit::domain
