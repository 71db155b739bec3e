// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <thread>

#include "common/async/pool.h"

namespace millrace {
namespace {

Task<void> AddOnPool(ThreadPool& pool, std::thread::id loop, int* sum) {
  for (int i = 0; i < 100; ++i) {
    auto work = [i, loop] { return std::this_thread::get_id() == loop ? -1000 : i; };
    int value = co_await RunOn(pool, work);
    *sum += value;
    EXPECT_EQ(std::this_thread::get_id(), loop);
  }
}

TEST(ThreadPool, RunsAwayFromTheLoopAndReturnsToIt) {
  boost::asio::io_context loop;
  ThreadPool pool(2, "test");
  int sum = 0;
  for (int i = 0; i < 10; ++i) Spawn(loop.get_executor(), AddOnPool(pool, std::this_thread::get_id(), &sum), "test");
  loop.run();
  EXPECT_EQ(sum, 10 * 4950);
}

Task<void> ThrowOnPool(ThreadPool& pool, bool* caught) {
  auto work = []() -> int { throw std::runtime_error("no"); };
  try {
    int value = co_await RunOn(pool, work);
    (void)value;
  } catch (const std::runtime_error&) {
    *caught = true;
  }
}

TEST(ThreadPool, ExceptionComesOutOfTheAwait) {
  boost::asio::io_context loop;
  ThreadPool pool(1, "test");
  bool caught = false;
  Spawn(loop.get_executor(), ThrowOnPool(pool, &caught), "test");
  loop.run();
  EXPECT_TRUE(caught);
}

Task<void> WaitTwice(Wakeup& wakeup, bool* first, bool* second) {
  *first = co_await wakeup.Wait(std::chrono::seconds(5));
  *second = co_await wakeup.Wait(std::chrono::milliseconds(1));
}

TEST(Wakeup, KeepsASignalAndTimesOut) {
  boost::asio::io_context loop;
  Wakeup wakeup(loop.get_executor());
  wakeup.Signal();
  wakeup.Signal();
  bool first = false, second = true;
  Spawn(loop.get_executor(), WaitTwice(wakeup, &first, &second), "test");
  loop.run();
  EXPECT_TRUE(first);
  EXPECT_FALSE(second);
}

TEST(Wakeup, WakesFromAnotherThread) {
  boost::asio::io_context loop;
  Wakeup wakeup(loop.get_executor());
  bool first = false, second = true;
  Spawn(loop.get_executor(), WaitTwice(wakeup, &first, &second), "test");
  std::thread other([&] { wakeup.Signal(); });
  loop.run();
  other.join();
  EXPECT_TRUE(first);
}

}  // namespace
}  // namespace millrace
