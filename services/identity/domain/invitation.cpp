// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/invitation.h"

namespace millrace::identity::domain {
namespace {

std::string_view StateName(InvitationState state) {
  switch (state) {
    case InvitationState::kOpen:
      return "OPEN";
    case InvitationState::kAccepted:
      return "ACCEPTED";
    case InvitationState::kExpired:
      return "EXPIRED";
    case InvitationState::kWithdrawn:
      return "WITHDRAWN";
  }
  return "";
}

std::string_view VerbName(InvitationVerb verb) {
  switch (verb) {
    case InvitationVerb::kAccept:
      return "accept";
    case InvitationVerb::kWithdraw:
      return "withdraw";
    case InvitationVerb::kSupersede:
      return "supersede";
    case InvitationVerb::kExpire:
      return "expire";
  }
  return "";
}

using S = InvitationState;
using V = InvitationVerb;

constexpr Transition<S, V> kRows[] = {
    {S::kOpen, V::kAccept, S::kAccepted, kMember, "the invitation's code, the same uscc", "a PENDING organization"},
    {S::kOpen, V::kWithdraw, S::kWithdrawn, kOperator, "", "the code ends"},
    {S::kOpen, V::kSupersede, S::kWithdrawn, kSystem, "the enterprise registered without the code", "the code ends"},
    {S::kOpen, V::kExpire, S::kExpired, kSystem, "", "the code ends"},
};
constexpr Wait<S, V> kWaits[] = {{S::kOpen, V::kExpire, "30 days after the invitation"}};

}  // namespace

const StateTable<InvitationState, InvitationVerb>& InvitationTable() {
  static constexpr StateTable<S, V> kTable{kRows, kWaits, StateName, VerbName};
  return kTable;
}

Result<InvitationState> Decide(InvitationState from, InvitationVerb verb) {
  if (const auto* row = InvitationTable().Find(from, verb, kAnyActor)) return row->to;
  return Fail(InvitationTable().Conflict(from, verb, kOperator));
}

}  // namespace millrace::identity::domain
