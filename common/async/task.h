// SPDX-License-Identifier: Apache-2.0
#pragma once

// awaitable.hpp of Asio 1.81 uses std::exchange without including it.
#include <utility>

// Asio 1.81 does not see that clang with libstdc++ has coroutines; cmake/Toolchain.cmake says so for every source.
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>

namespace millrace {

// A coroutine on the process's one loop thread. Inside a co_await expression only names, std::move(name) and calls:
// no lambda, no braces, no ?: (scripts/check).
template <class T>
using Task = boost::asio::awaitable<T>;
using Executor = boost::asio::any_io_executor;

// Starts a coroutine; an exception that leaves it is logged as INTERNAL and ends only it.
void Spawn(const Executor& executor, Task<void> task, const char* name);
// The executor of the running coroutine.
Task<Executor> CurrentExecutor();
// Wakes after `delay` of wall time.
Task<void> Sleep(std::chrono::microseconds delay);

// Wakes waiting coroutines on the loop thread. Signal() may be called from any thread; a signal without a waiter is kept for the
// next Wait, several are one.
class Wakeup {
 public:
  explicit Wakeup(Executor executor);
  ~Wakeup();
  void Signal();
  // Returns at the next signal or after `timeout`; true when it was a signal.
  Task<bool> Wait(std::chrono::microseconds timeout);

 private:
  struct State;
  std::shared_ptr<State> state_;
};


}  // namespace millrace
