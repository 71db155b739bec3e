// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/member.h"

#include <algorithm>

namespace millrace::identity::domain {
namespace {

std::string_view StateName(MemberState state) {
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

std::string_view VerbName(MemberVerb verb) {
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

using S = MemberState;
using V = MemberVerb;

constexpr Transition<S, V> kRows[] = {
    {S::kInvited, V::kAccept, S::kActive, kMember, "the invitation's code", "a first key"},
    {S::kInvited, V::kUpdate, S::kInvited, kAdmin, "", ""},
    {S::kInvited, V::kRemove, S::kRemoved, kAdmin, "", "the code ends"},
    {S::kInvited, V::kExpire, S::kExpired, kSystem, "", "the code ends"},
    {S::kActive, V::kUpdate, S::kActive, kAdmin, "an administrator stays", "keys lose what the member loses"},
    {S::kActive, V::kRemove, S::kRemoved, kAdmin, "an administrator stays", "its keys end"},
};
constexpr Wait<S, V> kWaits[] = {{S::kInvited, V::kExpire, "14 days after the invitation"}};

}  // namespace

const StateTable<MemberState, MemberVerb>& MemberTable() {
  static constexpr StateTable<S, V> kTable{kRows, kWaits, StateName, VerbName};
  return kTable;
}

Result<MemberState> Decide(MemberState from, MemberVerb verb) {
  if (const auto* row = MemberTable().Find(from, verb, kAnyActor)) return row->to;
  return Fail(MemberTable().Conflict(from, verb, kAnyActor & ~kSystem));
}

Result<void> CheckLastAdmin(const std::vector<MemberShape>& others, MemberShape before, MemberShape after) {
  bool had = before.active && before.admin, has = after.active && after.admin;
  bool another = std::ranges::any_of(others, [](const MemberShape& other) { return other.active && other.admin; });
  if (had && !has && !another) return Fail(ErrorCode::kLastAdmin);
  return {};
}

}  // namespace millrace::identity::domain
