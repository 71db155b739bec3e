// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <vector>

#include "common/async/task.h"

namespace millrace::test {

// Runs coroutines to their end on one loop.
class Loop {
 public:
  Executor executor() { return context_.get_executor(); }
  void Start(Task<void> task) { Spawn(executor(), std::move(task), "test"); }
  void Run() {
    context_.restart();
    context_.run();
  }
  // Runs until `met`, which is asked after each handler: for work that never comes to an end by itself.
  template <class F>
  void RunUntil(F met) {
    context_.restart();
    while (!met() && context_.run_one() > 0) {
    }
  }

 private:
  boost::asio::io_context context_;
};

}  // namespace millrace::test
