// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/limiter.h"

#include <algorithm>

#include "common/telemetry/metrics.h"

namespace millrace::gateway {
namespace {

// After Redis did not answer, it is not asked for so long.
constexpr std::chrono::seconds kAlone{1};
// How far two clocks may differ in what they say of the same short time.
constexpr std::chrono::milliseconds kClocks{5};

int64_t CeilSeconds(std::chrono::nanoseconds time) {
  return std::max<int64_t>(1, std::chrono::ceil<std::chrono::seconds>(time).count());
}

void CountRefusal(const std::string& policy) {
  static telemetry::Counters& family =
      telemetry::Counters::Make("millrace_http_rate_limited_total", "Requests refused for a quota.", {"policy"});
  family.With({policy}).Add();
}

}  // namespace

Limiter::Limiter(Executor executor, Policy policy, redis::QuotaStore* store)
    : executor_(std::move(executor)), policy_(std::move(policy)), store_(store) {
  policy_.requests = std::max<int64_t>(policy_.requests, 1);
  policy_.window = std::max(policy_.window, std::chrono::seconds(1));
  step_ = std::max(std::chrono::nanoseconds(policy_.window) / policy_.requests, std::chrono::nanoseconds(1));
  policy_field_ =
      "\"" + policy_.name + "\";q=" + std::to_string(policy_.requests) + ";w=" + std::to_string(policy_.window.count());
}

int64_t Limiter::LeaseOf(int64_t requests) { return std::clamp<int64_t>(requests / 20, 1, 1000); }

std::shared_ptr<Limiter::Entry> Limiter::EntryOf(const CallContext& context) {
  auto found = entries_.find(context.actor);
  if (found != entries_.end()) return found->second;
  if (entries_.size() >= kKeysMax) {
    auto now = Clock::now();
    std::erase_if(entries_, [now](const auto& entry) { return !entry.second->asking && entry.second->whole <= now; });
  }
  if (entries_.size() >= kKeysMax) entries_.clear();  // those who wait hold theirs
  return entries_[context.actor] = std::make_shared<Entry>(executor_);
}

int64_t Limiter::Room(const Entry& entry, Clock::time_point now) const {
  auto ahead = std::max(entry.whole - now, Clock::duration::zero());
  return std::max<int64_t>((policy_.window - ahead) / step_, 0);
}

// Nothing if the quota has to be asked for.
std::optional<Limiter::Decision> Limiter::Decide(Entry& entry, Clock::time_point now) {
  Decision decision;
  if (entry.whole <= now) entry.leased = 0;  // a lease of long ago: the quota is whole, and is asked for anew
  if (entry.leased > 0) {
    --entry.leased;
    // A great quota's step is cut to whole nanoseconds, so its room would be more than it; this request is gone of it.
    decision.remaining = std::min(entry.leased + Room(entry, now), policy_.requests - 1);
    auto ahead = entry.whole - now - step_ * entry.leased;
    decision.seconds = CeilSeconds(ahead);
    return decision;
  }
  auto wait = entry.whole + step_ - now - policy_.window;
  if (wait <= Clock::duration::zero()) return std::nullopt;
  decision.allowed = false;
  decision.seconds = CeilSeconds(wait);
  return decision;
}

void Limiter::LeaseHere(Entry& entry, Clock::time_point now) {
  entry.whole = std::max(entry.whole, now) + step_;
  entry.leased = 1;
}

std::optional<Limiter::Decision> Limiter::TakeAtOnce(const CallContext& context) {
  std::shared_ptr<Entry> entry = EntryOf(context);
  auto now = Clock::now();
  std::optional<Decision> decision = Decide(*entry, now);
  if (!decision && (!store_ || now < alone_until_)) {
    LeaseHere(*entry, now);
    decision = Decide(*entry, now);
  }
  if (decision && !decision->allowed) CountRefusal(policy_.name);
  return decision;
}

Task<Limiter::Decision> Limiter::Take(CallContext context) {
  std::shared_ptr<Entry> entry = EntryOf(context);
  std::string key = "millrace:quota:" + policy_.name + ":" + context.organization.Hex() + ":" + context.actor;
  while (true) {
    std::optional<Decision> decision = TakeAtOnce(context);
    if (decision) co_return *decision;
    if (entry->asking) {
      co_await entry->answered.Wait(std::chrono::milliseconds(200));
      continue;
    }
    entry->asking = true;
    std::string name = key;
    std::optional<redis::QuotaLease> lease =
        co_await store_->Take(std::move(name), LeaseOf(policy_.requests), policy_.requests, policy_.window);
    entry->asking = false;
    auto now = Clock::now();
    if (lease) {
      entry->leased = lease->granted;
      entry->whole = now + lease->whole_after;
      // Refused by the clock of Redis; ours must say the same, also a moment later.
      if (lease->granted == 0) entry->whole = std::max(entry->whole, now + policy_.window - step_ + kClocks);
    } else {
      alone_until_ = now + kAlone;
    }
    entry->answered.Signal();
  }
}

Error Limiter::Refusal(const Decision& decision) const {
  return Error(ErrorCode::kRateLimited, {{"seconds", std::to_string(decision.seconds)}})
      .With("violated-policies", "[\"" + policy_.name + "\"]");
}

std::string Limiter::LimitField(const Decision& decision) const {
  std::string field = "\"" + policy_.name + "\";r=";
  field += std::to_string(decision.remaining);
  field += ";t=";
  field += std::to_string(decision.seconds);
  return field;
}

}  // namespace millrace::gateway
