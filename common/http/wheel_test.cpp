// SPDX-License-Identifier: Apache-2.0
#include "common/http/wheel.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

#include "tests/support/rounds.h"

namespace millrace::http {
namespace {

using std::chrono::milliseconds;

TEST(Wheel, FiresNeverEarlyAndAtMostTwoTicksLate) {
  std::mt19937 random(7);
  for (int round = 0; round < Rounds(20); ++round) {
    auto wheel = std::make_unique<Wheel>();
    std::vector<std::unique_ptr<Wheel::Node>> nodes;
    for (int i = 0; i < 40; ++i) nodes.push_back(std::make_unique<Wheel::Node>());
    std::map<const Wheel::Node*, std::pair<int64_t, int64_t>> due;  // milliseconds: not before, not after
    int64_t now = 0;
    uint64_t tick = 0;
    for (int step = 0; step < 2000; ++step) {
      Wheel::Node* node = nodes[random() % nodes.size()].get();
      int64_t after = static_cast<int64_t>(random() % (step % 7 == 0 ? 400'000 : 12'000));
      if (random() % 5 == 0) {
        wheel->Clear(node);
        due.erase(node);
      } else if (random() % 20 == 0) {
        node->Leave();
        due.erase(node);
      } else {
        wheel->Set(node, milliseconds(after));
        // The wheel's clock stands at the last tick: what passed since is added to the deadline.
        due[node] = {now + after, now + after + 2 * Wheel::kTick.count()};
      }
      int64_t passed = static_cast<int64_t>(random() % 900);
      // Only whole ticks here: the caller's clock is a multiple of them when it looks.
      now += passed / Wheel::kTick.count() * Wheel::kTick.count();
      tick = static_cast<uint64_t>(now / Wheel::kTick.count());
      wheel->Advance(tick, [&](Wheel::Node* fired) {
        ASSERT_TRUE(due.contains(fired));
        EXPECT_GE(now, due[fired].first);
        due.erase(fired);
      });
      for (const auto& [waiting, when] : due) EXPECT_LT(now, when.second);
    }
    nodes.clear();
  }
}

}  // namespace
}  // namespace millrace::http
