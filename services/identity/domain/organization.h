// SPDX-License-Identifier: Apache-2.0
// The life of an organization, and the checks of its codes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/geo.h"
#include "common/base/result.h"
#include "common/base/state_table.h"

namespace millrace::identity::domain {

// Numbers as in the contract.
enum class State { kPending = 1, kVerified = 2, kRejected = 3, kSuspended = 4 };
enum class Verb { kVerify, kReject, kSuspend, kReinstate, kExpire, kUpdate };

// An organization that nobody verified is rejected after this.
inline constexpr std::chrono::hours kPendingFor{90 * 24};

const StateTable<State, Verb>& OrganizationTable();
// The state after `verb` by `actor`. Errors: STATE_CONFLICT, with the verbs that are possible.
Result<State> Decide(State from, Verb verb, uint8_t actor);
// A rejection and a suspension say why.
bool NeedsReason(Verb verb);

// What an organization is in law, and what was said of it at the start.
struct Facts {
  std::string_view display_name, uscc;
  bool synthetic = false;
  bool invited = false;  // it registered with a code from the park's register, which stands for its uscc
};
// Whether a change may turn the one into the other. Errors: IMMUTABLE_FIELD, for each that may not.
Result<void> CheckFacts(State state, bool by_operator, const Facts& before, const Facts& after);

// GB/T 2260: six digits of which the first two name a province. Errors: INVALID_FORMAT.
Result<void> CheckRegionCode(std::string_view code, std::string_view pointer);

enum class CoordinateSystem { kWgs84, kGcj02, kBd09 };
// WGS 84 of a position given in `system`. Errors: OUT_OF_RANGE.
Result<Point> ToWgs84(Point given, CoordinateSystem system, std::string_view pointer);

// Of `wanted` (all of `organization` but admin if empty): the roles of a new key. Errors: INSUFFICIENT_SCOPE with the
// roles that the organization, or the caller who makes the key, lacks.
Result<std::vector<std::string>> KeyRoles(const std::vector<std::string>& wanted,
                                          const std::vector<std::string>& organization,
                                          const std::vector<std::string>& caller);

}  // namespace millrace::identity::domain
