// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "common/async/task.h"
#include "common/rpc/channel.h"

namespace millrace::runtime {

// How often a probe asks, and how long it waits for an answer until the service is not healthy.
struct ProbePace {
  std::chrono::milliseconds pause{1000}, patience{5000};
};

// Watches a service through a channel: asks it each second for its next due work, which it reads from its database.
// Healthy until it has not answered for 5 s, and again from its next answer on.
class Probe {
 public:
  // `changed` hears each change, on the loop. The channel must exist until Stop.
  Probe(Executor executor, rpc::Channel& channel, std::string asking, std::function<void(bool healthy)> changed,
        ProbePace pace = ProbePace());
  ~Probe();
  void Start();
  void Stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace millrace::runtime
