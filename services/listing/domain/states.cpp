// SPDX-License-Identifier: Apache-2.0
#include "services/listing/domain/states.h"

#include <set>

namespace millrace::listing::domain {
namespace {

using enum State;
using enum Event;

// Publication out of DRAFT has two rows; Next picks by the guard.
constexpr Transition<State, Event> kTransitions[] = {
    {kDraft, kUpdate, kDraft, kProvider, "", "new version"},
    {kDraft, kPublish, kPublished, kProvider, "complete; no review asked for", "listing.published"},
    {kDraft, kPublish, kInReview, kProvider, "complete; RiskTier 4", "review task"},
    {kDraft, kRetire, kRetired, kProvider, "", "listing.retired"},
    {kInReview, kUpdate, kInReview, kProvider, "complete", "new version"},
    {kInReview, kPublish, kPublished, kOperator | kSystem, "", "listing.published"},
    {kInReview, kBlock, kBlocked, kOperator, "reason", "listing.blocked"},
    {kInReview, kRetire, kRetired, kProvider, "", "listing.retired"},
    {kInReview, kSuspend, kBlocked, kSystem, "organization suspended", "listing.blocked"},
    {kPublished, kUpdate, kPublished, kProvider, "complete", "new version"},
    {kPublished, kPause, kPaused, kProvider, "", "listing.paused"},
    {kPublished, kBlock, kBlocked, kOperator, "reason", "listing.blocked"},
    {kPublished, kRetire, kRetired, kProvider, "", "listing.retired"},
    {kPublished, kSuspend, kBlocked, kSystem, "organization suspended", "listing.blocked"},
    {kPaused, kUpdate, kPaused, kProvider, "complete", "new version"},
    {kPaused, kResume, kPublished, kProvider, "", "listing.resumed"},
    {kPaused, kBlock, kBlocked, kOperator, "reason", "listing.blocked"},
    {kPaused, kRetire, kRetired, kProvider, "", "listing.retired"},
    {kPaused, kSuspend, kBlocked, kSystem, "organization suspended", "listing.blocked"},
    {kBlocked, kPublish, kPublished, kOperator, "blocked by the operator", "listing.published"},
    {kBlocked, kReinstate, kInReview, kSystem, "blocked by suspension, IN_REVIEW before", "review task"},
    {kBlocked, kReinstate, kPublished, kSystem, "blocked by suspension, PUBLISHED before", "listing.published"},
    {kBlocked, kReinstate, kPaused, kSystem, "blocked by suspension, PAUSED before", "listing.paused"},
    {kBlocked, kRetire, kRetired, kProvider, "", "listing.retired"},
};
constexpr Wait<State, Event> kWaits[] = {{kInReview, kPublish, "72 hours after it was handed in"}};

}  // namespace

std::string_view Name(State state) {
  switch (state) {
    case kDraft:
      return "DRAFT";
    case kInReview:
      return "IN_REVIEW";
    case kPublished:
      return "PUBLISHED";
    case kPaused:
      return "PAUSED";
    case kRetired:
      return "RETIRED";
    case kBlocked:
      return "BLOCKED";
  }
  return "";
}

State StateByName(std::string_view name) {
  for (int i = 1; i <= kStateCount; ++i) {
    if (Name(static_cast<State>(i)) == name) return static_cast<State>(i);
  }
  return kDraft;
}

std::string_view Name(Event event) {
  switch (event) {
    case kUpdate:
      return "update";
    case kPublish:
      return "publish";
    case kPause:
      return "pause";
    case kResume:
      return "resume";
    case kRetire:
      return "retire";
    case kBlock:
      return "block";
    case kSuspend:
      return "suspend";
    case kReinstate:
      return "reinstate";
  }
  return "";
}

const StateTable<State, Event>& States() {
  static const StateTable<State, Event> table = {kTransitions, kWaits, &Name, &Name};
  return table;
}

std::optional<State> Next(State from, Event event, uint8_t actor, bool review) {
  const auto* row = States().Find(from, event, actor);
  if (!row) return std::nullopt;
  if (from == kDraft && event == kPublish && review) return kInReview;
  return row->to;
}

Error StateConflict(State state, Event event, uint8_t actor) { return States().Conflict(state, event, actor); }

}  // namespace millrace::listing::domain
