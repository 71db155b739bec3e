// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/attempts.h"

namespace millrace::gateway {

Result<void> Attempts::Check(const std::string& peer, Clock::time_point now) const {
  auto found = full_at_.find(peer);
  if (found == full_at_.end()) return {};
  auto next = found->second - (kBurst - 1) * kEach;  // when one more fits in
  if (next <= now) return {};
  auto seconds = std::chrono::ceil<std::chrono::seconds>(next - now).count();
  return Fail(ErrorCode::kTooManyAttempts, {{"seconds", std::to_string(seconds)}});
}

void Attempts::Failed(const std::string& peer, Clock::time_point now) {
  if (full_at_.size() >= kPeersMax) std::erase_if(full_at_, [now](const auto& entry) { return entry.second <= now; });
  // As many addresses at once are no guesser but an attack of its own, which the proxy in front has to meet.
  if (full_at_.size() >= kPeersMax) full_at_.clear();
  auto& full = full_at_[peer];
  full = std::max(full, now) + kEach;
}

}  // namespace millrace::gateway
