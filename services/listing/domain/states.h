// SPDX-License-Identifier: Apache-2.0
// The life cycle of a listing, as data.
#pragma once

#include <chrono>
#include <optional>

#include "common/base/error.h"
#include "common/base/state_table.h"

namespace millrace::listing::domain {

// Numbers of millrace.listing.v1.Listing.State.
enum class State { kDraft = 1, kInReview = 2, kPublished = 3, kPaused = 4, kRetired = 5, kBlocked = 6 };
inline constexpr int kStateCount = 6;

enum class Event { kUpdate, kPublish, kPause, kResume, kRetire, kBlock, kSuspend, kReinstate };

// How long a listing waits for the operator; then it is published.
inline constexpr std::chrono::hours kReviewWindow{72};
// How long a checked import waits to be confirmed.
inline constexpr std::chrono::hours kImportWindow{24};

const StateTable<State, Event>& States();
std::string_view Name(State state);
State StateByName(std::string_view name);  // of our own column
std::string_view Name(Event event);        // the verb of the path

// Where `event` by `actor` leads; nullopt: not possible in this state. `review`: the provider's tier asks for the
// operator's look before publication.
std::optional<State> Next(State from, Event event, uint8_t actor, bool review = false);
// STATE_CONFLICT with the state, the event, and the verbs that `actor` has.
Error StateConflict(State state, Event event, uint8_t actor);

}  // namespace millrace::listing::domain
