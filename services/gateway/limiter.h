// SPDX-License-Identifier: Apache-2.0
// How many requests a key may send. For every edge alike: HTTP and gRPC share one limiter.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/base/call_context.h"
#include "common/base/error.h"
#include "common/redis/quota.h"

namespace millrace::gateway {

// One policy for each key of each organization: `requests` at once, coming back evenly within `window`. Gateways share
// the quota through Redis and take it in leases, so that most requests cost no round trip: in any time t all together
// let through requests * (1 + t / window) and one lease each, at most. Without Redis each gateway counts alone, and
// nothing is refused for that reason. Lives on the loop.
class Limiter {
 public:
  struct Policy {
    std::string name;  // "default"
    int64_t requests = 600;
    std::chrono::seconds window{60};
  };
  struct Decision {
    bool allowed = true;
    int64_t remaining = 0;
    // Until the quota is whole; of a refusal: until the next request is let through. At least 1.
    int64_t seconds = 1;
  };

  // `store` may be null and outlives the limiter.
  Limiter(Executor executor, Policy policy, redis::QuotaStore* store);
  // Counts a request of the caller that `context` names.
  Task<Decision> Take(CallContext context);
  // The same if it can be said at once: the rule, with a lease in hand.
  std::optional<Decision> TakeAtOnce(const CallContext& context);

  // RATE_LIMITED with the problem's violated-policies.
  Error Refusal(const Decision& decision) const;
  // Values of the fields RateLimit-Policy and RateLimit.
  const std::string& PolicyField() const { return policy_field_; }
  std::string LimitField(const Decision& decision) const;

  // What a lease is: a twentieth of the quota, 1 to 1000.
  static int64_t LeaseOf(int64_t requests);
  static constexpr size_t kKeysMax = 100'000;

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    explicit Entry(Executor executor) : answered(std::move(executor)) {}
    int64_t leased = 0;       // taken of the quota, not used yet
    Clock::time_point whole;  // when the quota is whole again, leases counted as used
    bool asking = false;
    Wakeup answered;
  };
  std::shared_ptr<Entry> EntryOf(const CallContext& context);
  std::optional<Decision> Decide(Entry& entry, Clock::time_point now);
  void LeaseHere(Entry& entry, Clock::time_point now);
  int64_t Room(const Entry& entry, Clock::time_point now) const;

  Executor executor_;
  Policy policy_;
  redis::QuotaStore* store_;
  std::string policy_field_;
  std::chrono::nanoseconds step_;  // in which one request comes back
  Clock::time_point alone_until_;
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries_;  // by key id
};

}  // namespace millrace::gateway
