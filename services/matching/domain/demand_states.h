// SPDX-License-Identifier: Apache-2.0
// The life of a demand, as data.
#pragma once

#include "common/base/state_table.h"

namespace millrace::matching::domain {

enum class DemandState {
  kDraft = 1,
  kOpen = 2,
  kAwarded = 3,
  kFulfilled = 4,
  kExpired = 5,
  kWithdrawn = 6
};  // as in Demand.State
enum class DemandEvent { kPublish, kWithdraw, kAward, kReopen, kFulfil, kExpire };

const StateTable<DemandState, DemandEvent>& DemandTable();

}  // namespace millrace::matching::domain
