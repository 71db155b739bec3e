// SPDX-License-Identifier: Apache-2.0
// State machines as data. Code, API actions, docs and tests come from one table a kind of object.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace millrace {

// Who may cause a transition; a set of bits.
enum Actor : uint8_t { kProvider = 1, kBuyer = 2, kOperator = 4, kSystem = 8 };
inline constexpr uint8_t kBothParties = kProvider | kBuyer;
// "provider, buyer" for the bits set; the order above.
std::vector<std::string_view> ActorNames(uint8_t actors);

// One row: in `from`, `event` by one of `actors` leads to `to` when `guard` holds, with `effect`. Guard and effect are words for
// readers ("funded", "capture the price"); the code that they name stands in the same domain folder.
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

// The table itself. State and Event are enum classes; their names come from the two functions, UPPER_SNAKE for states and the verb
// of the path for events ("checkIn"). `state_count`: for the test that each state is reachable.
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
};

}  // namespace millrace
