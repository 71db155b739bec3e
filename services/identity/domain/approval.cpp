// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/approval.h"

namespace millrace::identity::domain {
namespace {

std::string_view StateName(ApprovalState state) {
  switch (state) {
    case ApprovalState::kRequested:
      return "REQUESTED";
    case ApprovalState::kApproved:
      return "APPROVED";
    case ApprovalState::kDeclined:
      return "DECLINED";
    case ApprovalState::kWithdrawn:
      return "WITHDRAWN";
    case ApprovalState::kExpired:
      return "EXPIRED";
    case ApprovalState::kUsed:
      return "USED";
  }
  return "";
}

std::string_view VerbName(ApprovalVerb verb) {
  switch (verb) {
    case ApprovalVerb::kApprove:
      return "approve";
    case ApprovalVerb::kDecline:
      return "decline";
    case ApprovalVerb::kWithdraw:
      return "withdraw";
    case ApprovalVerb::kExpire:
      return "expire";
    case ApprovalVerb::kUse:
      return "use";
  }
  return "";
}

using S = ApprovalState;
using V = ApprovalVerb;

constexpr Transition<S, V> kRows[] = {
    {S::kRequested, V::kApprove, S::kApproved, kOperator, "another person", "the command may be sent, once"},
    {S::kRequested, V::kDecline, S::kDeclined, kOperator, "another person, with a reason", ""},
    {S::kRequested, V::kWithdraw, S::kWithdrawn, kOperator, "the person who asked", ""},
    {S::kRequested, V::kExpire, S::kExpired, kSystem, "", ""},
    {S::kApproved, V::kUse, S::kUsed, kSystem, "the command was done", ""},
    {S::kApproved, V::kExpire, S::kExpired, kSystem, "", ""},
    {S::kExpired, V::kUse, S::kUsed, kSystem, "the command came in time, the news of it late", ""},
};
constexpr Wait<S, V> kWaits[] = {{S::kRequested, V::kExpire, "24 hours after the request"},
                                 {S::kApproved, V::kExpire, "24 hours after the approval"}};

std::unexpected<Error> NotGiven(std::string_view state) {
  return Fail(ErrorCode::kApprovalNotGiven, {{"state", std::string(state)}});
}

}  // namespace

const StateTable<ApprovalState, ApprovalVerb>& ApprovalTable() {
  static constexpr StateTable<S, V> kTable{kRows, kWaits, StateName, VerbName};
  return kTable;
}

Result<ApprovalState> DecideApproval(const ApprovalShape& approval, ApprovalVerb verb, const Uuid& person, Time now) {
  bool own = person == approval.requester;
  if (own && verb != V::kWithdraw) return Fail(ErrorCode::kSamePerson);
  if (!own && verb == V::kWithdraw) return Fail(ErrorCode::kInsufficientScope, {{"roles", "requester"}});
  if (approval.state == S::kExpired) return Fail(ErrorCode::kApprovalExpired);
  const auto* row = ApprovalTable().Find(approval.state, verb, kOperator);
  if (!row) return Fail(ApprovalTable().Conflict(approval.state, verb, kOperator));
  // The timer may not have fired yet.
  if (now >= approval.expire_time) return Fail(ErrorCode::kApprovalExpired);
  return row->to;
}

Result<ApprovalState> MoveApproval(ApprovalState from, ApprovalVerb verb) {
  if (const auto* row = ApprovalTable().Find(from, verb, kSystem)) return row->to;
  return Fail(ApprovalTable().Conflict(from, verb, kSystem));
}

Result<void> CheckUse(const ApprovalShape& approval, const ApprovalMatch& match, Time now) {
  const char* differs = !match.method ? "method" : !match.content ? "content" : !match.person ? "person" : nullptr;
  if (differs) return Fail(ErrorCode::kApprovalMismatch, {{"differs", differs}});
  if (approval.state == S::kUsed) {
    if (approval.use_time && now < *approval.use_time + kRepeatedFor) return {};
    return NotGiven(StateName(S::kUsed));
  }
  bool open = approval.state == S::kRequested || approval.state == S::kApproved;
  if (approval.state == S::kExpired || (open && now >= approval.expire_time)) return Fail(ErrorCode::kApprovalExpired);
  if (approval.state != S::kApproved) return NotGiven(StateName(approval.state));
  if (!match.decider) return NotGiven("APPROVED, but not any more by an operator");
  return {};
}

}  // namespace millrace::identity::domain
