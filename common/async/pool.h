// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <functional>
#include <memory>
#include <optional>

#include "common/async/task.h"

namespace millrace {

// A few threads for work that blocks or computes; the loop stays free.
class ThreadPool {
 public:
  ThreadPool(int threads, const char* name);
  ~ThreadPool();  // finishes what was posted
  void Post(std::function<void()> work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

namespace detail {
// Suspends the caller, hands `start` a resume function that may be called once from any thread; the coroutine goes on on its loop.
Task<void> Suspend(std::function<void(std::function<void()> resume)> start);
}  // namespace detail

// Runs `work` on the pool and returns its value on the caller's loop; an exception comes out of the co_await.
template <class F, class R = std::invoke_result_t<F>>
Task<R> RunOn(ThreadPool& pool, F work) {
  auto value = std::make_shared<std::optional<R>>();
  auto failure = std::make_shared<std::exception_ptr>();
  auto body = std::make_shared<F>(std::move(work));
  std::function<void(std::function<void()>)> start = [&pool, value, failure, body](std::function<void()> resume) {
    pool.Post([value, failure, body, resume = std::move(resume)]() mutable {
      try {
        value->emplace((*body)());
      } catch (...) {
        *failure = std::current_exception();
      }
      resume();
    });
  };
  co_await detail::Suspend(std::move(start));
  if (*failure) std::rethrow_exception(*failure);
  co_return std::move(**value);
}

}  // namespace millrace
