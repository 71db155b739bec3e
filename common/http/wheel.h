// SPDX-License-Identifier: Apache-2.0
// Deadlines of many connections on one timer: setting one is an assignment, and each tick looks only at what may be
// due. A deadline passes at most two ticks late, never early. Stays within common/http; for one thread.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>

namespace millrace::http {

class Wheel {
 public:
  static constexpr std::chrono::milliseconds kTick{250};

  // Something with a deadline. Leaves the wheel when it is destroyed; the wheel must still be there then.
  class Node {
   public:
    Node() = default;
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    ~Node() { Leave(); }
    // Leaves the wheel.
    void Leave() {
      if (next_ == nullptr) return;
      next_->previous_ = previous_;
      previous_->next_ = next_;
      next_ = previous_ = nullptr;
    }

   private:
    friend class Wheel;
    void LinkBefore(Node* node) {
      previous_ = node->previous_;
      next_ = node;
      previous_->next_ = node->previous_ = this;
    }
    Node* next_ = nullptr;
    Node* previous_ = nullptr;
    uint64_t due_ = kNever;  // the tick of its deadline
    uint64_t looked_ = 0;    // the tick at which it is looked at, never after due_
  };

  Wheel() {
    for (Node& head : slots_) head.next_ = head.previous_ = &head;
  }

  // Moves the deadline to `after` from now.
  void Set(Node* node, std::chrono::milliseconds after) {
    node->due_ = now_ + static_cast<uint64_t>(after.count() / kTick.count()) + 2;
    if (node->next_ == nullptr || node->looked_ > node->due_) Place(node);
  }
  void Clear(Node* node) { node->due_ = kNever; }

  // Goes on to the tick number `tick` and calls `due(node)` for every node whose deadline has passed; it has none any
  // more then.
  template <class Due>
  void Advance(uint64_t tick, Due due) {
    while (now_ < tick) {
      ++now_;
      Node* head = &slots_[now_ % kSlots];
      // What is placed again goes to a later slot, so this ends.
      while (head->next_ != head) {
        Node* node = head->next_;
        node->Leave();
        if (node->due_ == kNever) continue;  // it comes back with its next deadline
        if (node->due_ > now_) {
          Place(node);
          continue;
        }
        node->due_ = kNever;
        due(node);
      }
    }
  }

 private:
  static constexpr size_t kSlots = 512;  // 128 s; what is due later is looked at on the way
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  void Place(Node* node) {
    node->Leave();
    node->looked_ = std::min(node->due_, now_ + kSlots - 1);
    node->LinkBefore(&slots_[node->looked_ % kSlots]);
  }

  uint64_t now_ = 0;
  std::array<Node, kSlots> slots_;
};

}  // namespace millrace::http
