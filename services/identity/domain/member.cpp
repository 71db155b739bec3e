// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/member.h"

#include <algorithm>

namespace millrace::identity::domain {
namespace {

std::string_view NameOf(MemberState state) {
  switch (state) {
    case MemberState::kInvited:
      return "INVITED";
    case MemberState::kActive:
      return "ACTIVE";
    case MemberState::kRemoved:
      return "REMOVED";
    case MemberState::kExpired:
      return "EXPIRED";
  }
  return "";
}

std::string_view NameOf(MemberVerb verb) {
  switch (verb) {
    case MemberVerb::kAccept:
      return "accept";
    case MemberVerb::kUpdate:
      return "update";
    case MemberVerb::kRemove:
      return "remove";
    case MemberVerb::kExpire:
      return "expire";
  }
  return "";
}

}  // namespace

const std::vector<MemberStep>& MemberTable() {
  using enum MemberState;
  static const std::vector<MemberStep> table = {
      {kInvited, MemberVerb::kAccept, kActive, "accept", "member"},
      {kInvited, MemberVerb::kUpdate, kInvited, "update", "admin"},
      {kInvited, MemberVerb::kRemove, kRemoved, "remove", "admin"},
      {kInvited, MemberVerb::kExpire, kExpired, "expire", "system"},
      {kActive, MemberVerb::kUpdate, kActive, "update", "admin"},
      {kActive, MemberVerb::kRemove, kRemoved, "remove", "admin"},
  };
  return table;
}

Result<MemberState> Decide(MemberState from, MemberVerb verb) {
  std::string allowed;
  for (const MemberStep& step : MemberTable()) {
    if (step.from != from) continue;
    if (step.verb == verb) return step.to;
    if (step.actor != "system") allowed += (allowed.empty() ? "" : ", ") + std::string(step.name);
  }
  return Fail(ErrorCode::kStateConflict, {{"state", std::string(NameOf(from))},
                                          {"action", std::string(NameOf(verb))},
                                          {"allowed", allowed.empty() ? "-" : allowed}});
}

Result<void> CheckLastAdmin(const std::vector<MemberShape>& others, MemberShape before, MemberShape after) {
  bool had = before.active && before.admin, has = after.active && after.admin;
  bool another = std::ranges::any_of(others, [](const MemberShape& other) { return other.active && other.admin; });
  if (had && !has && !another) return Fail(ErrorCode::kLastAdmin);
  return {};
}

}  // namespace millrace::identity::domain
