// SPDX-License-Identifier: Apache-2.0
// Redis only says "seq N of that log exists". Losing it, or everything in it, costs latency (consumers poll each
// second), never data.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/async/task.h"

namespace millrace::redis {

// Announces and hears event log heads over one stream (millrace:wakeups, trimmed to about 1,000 entries). Reconnects by
// itself with backoff. Lives on the loop.
class Wakeups {
 public:
  // `url`: redis://host:port, or unix:/path. `heard` runs on the loop for each announcement of other processes and of
  // this one.
  Wakeups(Executor executor, std::string url, std::function<void(std::string source, int64_t seq)> heard);
  ~Wakeups();
  void Start();
  void Stop();
  // Never blocks, never fails the caller; dropped while there is no connection.
  void Announce(std::string source, int64_t seq);
  bool connected() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace millrace::redis
