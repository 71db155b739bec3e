// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <unordered_map>

#include "common/base/result.h"

namespace millrace::gateway {

// How often one address may show credentials that are not valid: a bucket of kBurst, one more each kEach. What is known
// to be good is not asked about, so that others behind the same address go on working.
class Attempts {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr int kBurst = 60;
  static constexpr std::chrono::seconds kEach{2};
  static constexpr size_t kPeersMax = 10'000;

  // Errors: TOO_MANY_ATTEMPTS with the seconds until the next one.
  Result<void> Check(const std::string& peer, Clock::time_point now) const;
  void Failed(const std::string& peer, Clock::time_point now);

 private:
  // When the bucket is full again: a bucket as one number. Each failure moves it on by kEach.
  std::unordered_map<std::string, Clock::time_point> full_at_;
};

}  // namespace millrace::gateway
