// SPDX-License-Identifier: Apache-2.0
#include "services/credit/domain/outcomes.h"

#include <algorithm>

namespace millrace::credit::domain {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr Duration kGrace = minutes(15);
constexpr Duration kWorst = hours(24);

}  // namespace

int GoodOfHandover(Duration late) {
  if (late <= kGrace) return kGood;
  if (late >= kWorst) return 0;
  return static_cast<int>(kGood * (kWorst - late).count() / (kWorst - kGrace).count());
}

int GoodOfCancellation(Duration notice) {
  if (notice >= hours(7 * 24)) return 800;
  if (notice >= hours(24)) return 500;
  return 0;
}

}  // namespace millrace::credit::domain
