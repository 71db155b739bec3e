// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/domain/escrow_states.h"

#include <array>

namespace millrace::escrow::domain {
namespace {

using Row = Transition<State, Event>;
constexpr Row kTransitions[] = {
    {State::kAwaiting, Event::kHold, State::kHeld, kSystem, "the buyer's balance covers price and deposit",
     "available to held"},
    {State::kAwaiting, Event::kVoid, State::kVoided, kSystem, "", "a later hold fails"},
    {State::kAwaiting, Event::kExpire, State::kExpired, kSystem, "the funding window is over", "a later hold fails"},
    {State::kHeld, Event::kCapture, State::kCaptured, kSystem, "at most the price",
     "payable and fee; rest and deposit back to available"},
    {State::kHeld, Event::kVoid, State::kVoided, kSystem, "", "held back to available; a later hold fails"},
    {State::kCaptured, Event::kPayOut, State::kPaidOut, kSystem, "the custodian has paid, or nothing was due",
     "payable to custodian"},
};
// HELD waits for operations, whose booking has its own deadlines: it voids or captures.
constexpr Wait<State, Event> kWaits[] = {
    {State::kAwaiting, Event::kExpire, "the end of the funding window"},
    {State::kCaptured, Event::kPayOut, "the provider's release delay, then each day until the custodian has paid"},
};
constexpr std::array<std::string_view, 6> kStates = {"AWAITING", "HELD", "CAPTURED", "PAID_OUT", "VOIDED", "EXPIRED"};
constexpr std::array<std::string_view, 5> kEvents = {"hold", "void", "expire", "capture", "payOut"};
constexpr std::array<std::string_view, 5> kPayOuts = {"NONE", "SENT", "UNKNOWN", "DONE", "FAILED"};

}  // namespace

std::string_view StateName(State state) { return kStates[static_cast<size_t>(state) - 1]; }

std::optional<State> StateByName(std::string_view name) {
  for (size_t i = 0; i < kStates.size(); ++i) {
    if (kStates[i] == name) return static_cast<State>(i + 1);
  }
  return std::nullopt;
}

const StateTable<State, Event>& EscrowStates() {
  static const StateTable<State, Event> table = {kTransitions, kWaits, StateName,
                                                 [](Event event) { return kEvents[static_cast<size_t>(event)]; }};
  return table;
}

std::string_view PayOutStateName(PayOutState state) { return kPayOuts[static_cast<size_t>(state)]; }

std::optional<PayOutState> PayOutStateByName(std::string_view name) {
  for (size_t i = 0; i < kPayOuts.size(); ++i) {
    if (kPayOuts[i] == name) return static_cast<PayOutState>(i);
  }
  return std::nullopt;
}

}  // namespace millrace::escrow::domain
