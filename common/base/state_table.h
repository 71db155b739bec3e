// SPDX-License-Identifier: Apache-2.0
// State machines as data. Code, API actions, docs and tests come from one table a kind of object.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.h"

namespace millrace {

// Who may cause a transition; a set of bits.
enum Actor : uint8_t { kProvider = 1, kBuyer = 2, kOperator = 4, kSystem = 8, kAdmin = 16, kMember = 32 };
inline constexpr uint8_t kAnyActor = 0xFF;
inline constexpr uint8_t kBothParties = kProvider | kBuyer;
// "provider, buyer" for the bits set; the order above.
std::vector<std::string_view> ActorNames(uint8_t actors);

// One row: in `from`, `event` by one of `actors` leads to `to` when `guard` holds, with `effect`. Guard and effect are
// words for readers ("funded", "capture the price"); the code that they name stands in the same domain folder.
template <class State, class Event>
struct Transition {
  State from;
  Event event;
  State to;
  uint8_t actors;
  std::string_view guard;
  std::string_view effect;
};

// A state that waits: `outcome` comes by itself when `deadline` (a word for readers: "the funding window") has passed.
template <class State, class Event>
struct Wait {
  State state;
  Event outcome;
  std::string_view deadline;
};

// The table itself. State and Event are enum classes; their names come from the two functions, UPPER_SNAKE for states
// and the verb of the path for events ("checkIn"). `state_count`: for the test that each state is reachable.
template <class State, class Event>
struct StateTable {
  std::span<const Transition<State, Event>> transitions;
  std::span<const Wait<State, Event>> waits;
  std::string_view (*state_name)(State);
  std::string_view (*event_name)(Event);

  const Transition<State, Event>* Find(State from, Event event, uint8_t actor) const {
    for (const auto& row : transitions) {
      if (row.from == from && row.event == event && (row.actors & actor)) return &row;
    }
    return nullptr;
  }
  std::vector<const Transition<State, Event>*> From(State from) const {
    std::vector<const Transition<State, Event>*> rows;
    for (const auto& row : transitions) {
      if (row.from == from) rows.push_back(&row);
    }
    return rows;
  }
  const Wait<State, Event>* WaitIn(State state) const {
    for (const auto& wait : waits) {
      if (wait.state == state) return &wait;
    }
    return nullptr;
  }
  // "confirm, cancel": what the actors may do in a state, each once, in the table's order; "-" if nothing.
  std::string Allowed(State from, uint8_t actors) const {
    std::string names;
    std::vector<Event> seen;
    for (const auto* row : From(from)) {
      if (!(row->actors & actors) || std::ranges::find(seen, row->event) != seen.end()) continue;
      seen.push_back(row->event);
      if (!names.empty()) names += ", ";
      names += event_name(row->event);
    }
    return names.empty() ? "-" : names;
  }
  // STATE_CONFLICT, with what the actors may do instead.
  Error Conflict(State from, Event event, uint8_t actors) const {
    return Error(ErrorCode::kStateConflict, {{"state", std::string(state_name(from))},
                                             {"action", std::string(event_name(event))},
                                             {"allowed", Allowed(from, actors)}});
  }
};

}  // namespace millrace
