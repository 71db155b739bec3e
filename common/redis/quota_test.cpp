// SPDX-License-Identifier: Apache-2.0
// The shared quota against a real Redis.
#include "common/redis/quota.h"

#include <gtest/gtest.h>

#include "tests/support/eventually.h"
#include "tests/support/loop.h"
#include "tests/support/private_redis.h"

namespace millrace::redis {
namespace {

using std::chrono::microseconds;

class QuotaTest : public ::testing::Test {
 protected:
  std::optional<QuotaLease> Take(QuotaStore& store, std::string key, int64_t wanted, int64_t quota,
                                 microseconds window) {
    std::optional<QuotaLease> lease;
    bool done = false;
    loop_.Start(Ask(&store, std::move(key), wanted, quota, window, &lease, &done));
    loop_.RunUntil([&] { return done; });
    return lease;
  }
  // The first answer: a store that just started has no connection yet.
  static Task<void> Ask(QuotaStore* store, std::string key, int64_t wanted, int64_t quota, microseconds window,
                        std::optional<QuotaLease>* lease, bool* done) {
    for (int i = 0; i < 200 && !*lease; ++i) {
      std::string name = key;
      *lease = co_await store->Take(std::move(name), wanted, quota, window);
      if (!*lease) co_await Sleep(std::chrono::milliseconds(10));
    }
    *done = true;
  }
  static Task<void> AskOnce(QuotaStore* store, std::optional<QuotaLease>* lease, bool* done) {
    std::string key = "gone";
    *lease = co_await store->Take(std::move(key), 1, 10, std::chrono::seconds(1));
    *done = true;
  }
  test::Loop loop_;
  test::PrivateRedis redis_;
};

TEST_F(QuotaTest, TwoTakersShareOneQuota) {
  redis_.Start();
  QuotaStore a(loop_.executor(), redis_.unix_url()), b(loop_.executor(), redis_.unix_url());
  a.Start();
  b.Start();
  const microseconds hour = std::chrono::hours(1);
  auto first = Take(a, "k", 6, 10, hour);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->granted, 6);
  EXPECT_LE(first->whole_after, hour * 6 / 10);
  EXPECT_GT(first->whole_after, hour * 6 / 10 - std::chrono::minutes(1));
  auto second = Take(b, "k", 6, 10, hour);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->granted, 4);
  EXPECT_EQ(Take(a, "k", 1, 10, hour)->granted, 0);
  EXPECT_EQ(Take(b, "other", 1, 10, hour)->granted, 1);
}

TEST_F(QuotaTest, WhatIsTakenComesBackEvenly) {
  redis_.Start();
  QuotaStore store(loop_.executor(), redis_.unix_url());
  store.Start();
  const std::chrono::milliseconds window(100);
  std::chrono::steady_clock::time_point began;
  std::string key;
  // On a busy machine an answer can be lost, and what it granted with it: then another key.
  ASSERT_TRUE(test::Eventually([&] {
    key += "k";
    began = std::chrono::steady_clock::now();
    return Take(store, key, 100, 10, window)->granted == 10;
  }));
  int64_t later = 0;
  EXPECT_TRUE(test::Eventually([&] { return (later += Take(store, key, 1, 10, window)->granted) >= 5; }));
  // Five of ten need half the window; a millisecond for the difference of two clocks.
  EXPECT_GE(std::chrono::steady_clock::now() - began, window / 2 - std::chrono::milliseconds(1));
}

TEST_F(QuotaTest, WithoutRedisThereIsNoAnswerAndNoWait) {
  QuotaStore store(loop_.executor(), "unix:/no/such/socket");
  store.Start();
  std::optional<QuotaLease> lease;
  bool done = false;
  loop_.Start(AskOnce(&store, &lease, &done));
  loop_.RunUntil([&] { return done; });
  EXPECT_FALSE(lease);
}

}  // namespace
}  // namespace millrace::redis
