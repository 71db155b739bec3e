// SPDX-License-Identifier: Apache-2.0
#include "services/matching/domain/demand_states.h"

namespace millrace::matching::domain {
namespace {

using enum DemandState;
using enum DemandEvent;

constexpr Transition<DemandState, DemandEvent> kRows[] = {
    {kDraft, kPublish, kOpen, kBuyer, "", ""},
    {kDraft, kWithdraw, kWithdrawn, kBuyer, "", ""},
    {kDraft, kExpire, kExpired, kSystem, "deadline passed", ""},
    {kOpen, kWithdraw, kWithdrawn, kBuyer, "", ""},
    {kOpen, kAward, kAwarded, kSystem, "a booking of the buyer's names it", ""},
    {kOpen, kFulfil, kFulfilled, kSystem, "that booking closed", ""},
    {kOpen, kExpire, kExpired, kSystem, "deadline passed", ""},
    {kAwarded, kReopen, kOpen, kSystem, "that booking came to nothing", "the deadline holds again"},
    {kAwarded, kFulfil, kFulfilled, kSystem, "that booking closed", ""},
};

constexpr Wait<DemandState, DemandEvent> kWaits[] = {
    {kDraft, kExpire, "the demand's deadline"},
    {kOpen, kExpire, "the demand's deadline"},
};

std::string_view StateName(DemandState state) {
  switch (state) {
    case kDraft:
      return "DRAFT";
    case kOpen:
      return "OPEN";
    case kAwarded:
      return "AWARDED";
    case kFulfilled:
      return "FULFILLED";
    case kExpired:
      return "EXPIRED";
    case kWithdrawn:
      return "WITHDRAWN";
  }
  return "";
}

std::string_view EventName(DemandEvent event) {
  switch (event) {
    case kPublish:
      return "publish";
    case kWithdraw:
      return "withdraw";
    case kAward:
      return "award";
    case kReopen:
      return "reopen";
    case kFulfil:
      return "fulfil";
    case kExpire:
      return "expire";
  }
  return "";
}

constexpr StateTable<DemandState, DemandEvent> kTable = {kRows, kWaits, StateName, EventName};

}  // namespace

const StateTable<DemandState, DemandEvent>& DemandTable() { return kTable; }

}  // namespace millrace::matching::domain
