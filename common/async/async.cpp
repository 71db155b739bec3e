// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "common/async/pool.h"
#include "common/async/task.h"
#include "common/telemetry/call.h"
#include "common/telemetry/metrics.h"

namespace millrace {

namespace asio = boost::asio;
using telemetry::Call;
using telemetry::CallScope;

void Spawn(const Executor& executor, Task<void> task, const char* name) {
  CallScope for_itself{Call()};  // a coroutine that is begun works for nothing until it says for what
  asio::co_spawn(executor, std::move(task), [name](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "{\"level\":\"error\",\"msg\":\"coroutine.failed\",\"name\":\"%s\",\"cause\":\"%s\"}\n",
                   name, e.what());
    } catch (...) {
      std::fprintf(stderr, "{\"level\":\"error\",\"msg\":\"coroutine.failed\",\"name\":\"%s\"}\n", name);
    }
  });
}

Task<Executor> CurrentExecutor() {
  Executor executor = co_await asio::this_coro::executor;
  co_return executor;
}

Task<void> Sleep(std::chrono::microseconds delay) {
  Executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor);
  timer.expires_after(delay);
  CallScope others{Call()};
  co_await timer.async_wait(asio::use_awaitable);
}

struct Wakeup::State {
  explicit State(Executor e) : executor(std::move(e)) {}
  Executor executor;
  std::mutex mutex;
  bool signalled = false;
  std::vector<std::shared_ptr<asio::steady_timer>> waiters;
};

Wakeup::Wakeup(Executor executor) : state_(std::make_shared<State>(std::move(executor))) {}
Wakeup::~Wakeup() = default;

void Wakeup::Signal() {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->signalled) return;
    state_->signalled = true;
  }
  asio::post(state_->executor, [state = state_] {
    for (auto& timer : state->waiters) timer->cancel();
  });
}

Task<bool> Wakeup::Wait(std::chrono::microseconds timeout) {
  auto state = state_;
  {
    std::lock_guard lock(state->mutex);
    if (state->signalled) {
      state->signalled = false;
      co_return true;
    }
  }
  auto timer = std::make_shared<asio::steady_timer>(state->executor);
  timer->expires_after(timeout);
  state->waiters.push_back(timer);
  boost::system::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  CallScope others{Call()};
  co_await timer->async_wait(token);
  std::erase(state->waiters, timer);
  std::lock_guard lock(state->mutex);
  bool signalled = state->signalled;
  state->signalled = false;
  co_return signalled;
}

struct ThreadPool::State {
  struct Work {
    std::function<void()> run;
    Call call;  // that it belongs to
    int64_t posted;
  };
  explicit State(const char* name)
      : waits(telemetry::Histograms::Make("millrace_pool_wait_seconds", "How long work waited for a thread of a pool.",
                                          {"pool"}, telemetry::ShortSeconds())
                  .With({name})) {}
  std::mutex mutex;
  std::condition_variable ready;
  std::deque<Work> queue;
  telemetry::Histogram& waits;
  bool stopping = false;
  std::vector<std::thread> threads;
};

ThreadPool::ThreadPool(int threads, const char* name) : state_(std::make_unique<State>(name)) {
  for (int i = 0; i < threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] {
      std::unique_lock lock(state->mutex);
      while (true) {
        state->ready.wait(lock, [&] { return state->stopping || !state->queue.empty(); });
        if (state->queue.empty()) return;
        auto work = std::move(state->queue.front());
        state->queue.pop_front();
        lock.unlock();
        state->waits.Observe(telemetry::SteadyNanos() - work.posted);
        {
          CallScope scope(work.call);
          work.run();
          work.run = nullptr;
        }
        lock.lock();
      }
    });
    pthread_setname_np(state_->threads.back().native_handle(), name);
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->ready.notify_all();
  for (auto& thread : state_->threads) thread.join();
}

void ThreadPool::Post(std::function<void()> work) {
  {
    std::lock_guard lock(state_->mutex);
    state_->queue.push_back({std::move(work), telemetry::CurrentCall(), telemetry::SteadyNanos()});
  }
  state_->ready.notify_one();
}

namespace detail {

Task<void> Suspend(std::function<void(std::function<void()> resume)> start) {
  Executor executor = co_await asio::this_coro::executor;
  CallScope others{Call()};
  const Call& call = others.before();
  auto initiate = [executor, call, start = std::move(start)](auto handler) mutable {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    auto guard = asio::make_work_guard(executor);
    CallScope scope(call);  // what is started belongs to it
    start([shared, guard]() mutable {
      asio::post(guard.get_executor(), [shared]() mutable { std::move (*shared)(); });
      guard.reset();
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate), asio::use_awaitable);
}

}  // namespace detail
}  // namespace millrace
