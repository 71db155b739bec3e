// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/async/task.h"

namespace millrace::redis {

class Link;

// What was taken of a quota, and how long it takes until the quota is whole again if nothing more is taken.
struct QuotaLease {
  int64_t granted = 0;
  std::chrono::microseconds whole_after{0};
};

// Quotas that several processes share: the generic cell rate algorithm in one Lua script, by the clock of Redis. A
// quota of q in a window w lets q through at once and comes back evenly within w. A lost Redis forgets what was taken.
// Lives on the loop.
class QuotaStore {
 public:
  QuotaStore(Executor executor, std::string url);  // as Wakeups
  ~QuotaStore();
  void Start();
  void Stop();
  // Takes up to `wanted`. Nothing if Redis does not answer within 100 ms.
  Task<std::optional<QuotaLease>> Take(std::string key, int64_t wanted, int64_t quota,
                                       std::chrono::microseconds window);

 private:
  std::shared_ptr<Link> link_;
};

}  // namespace millrace::redis
