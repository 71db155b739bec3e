// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "common/base/state_table.h"

namespace millrace::escrow::domain {

// Numbers as in the contract (Escrow.State).
enum class State : uint8_t { kAwaiting = 1, kHeld, kCaptured, kPaidOut, kVoided, kExpired };
enum class Event : uint8_t { kHold, kVoid, kExpire, kCapture, kPayOut };

const StateTable<State, Event>& EscrowStates();
std::string_view StateName(State state);  // "AWAITING"
std::optional<State> StateByName(std::string_view name);

// What is known of the instruction to pay the provider. UNKNOWN: sent, and the custodian has not said what became of
// it.
enum class PayOutState : uint8_t { kNone, kSent, kUnknown, kDone, kFailed };
std::string_view PayOutStateName(PayOutState state);
std::optional<PayOutState> PayOutStateByName(std::string_view name);

}  // namespace millrace::escrow::domain
