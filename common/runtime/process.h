// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>

#include "common/async/task.h"

namespace millrace::runtime {

// The one loop of a process. The first SIGTERM or SIGINT calls `drain`, and the loop ends when that has; the second
// ends the process at once with status 130.
class Process {
 public:
  Process();
  ~Process();
  Executor executor();
  // Runs until Stop(); returns the status given there.
  int Run(std::function<Task<void>()> start, std::function<Task<void>()> drain);
  // Ends the loop as if by SIGTERM, with this status.
  void Stop(int status);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::runtime
