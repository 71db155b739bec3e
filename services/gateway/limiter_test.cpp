// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/limiter.h"

#include <gtest/gtest.h>

#include "tests/support/loop.h"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;

class LimiterTest : public testing::Test {
 protected:
  CallContext Caller(const std::string& key) {
    CallContext context;
    context.organization = organization_;
    context.actor = key;
    return context;
  }
  Uuid organization_ = Uuid::New();
  test::Loop loop_;
};

TEST_F(LimiterTest, ABurstToTheLimitAndNotOneMore) {
  Limiter limiter(loop_.executor(), {"default", 5, 3600s}, nullptr);
  EXPECT_EQ(limiter.PolicyField(), "\"default\";q=5;w=3600");
  for (int64_t left = 4; left >= 0; --left) {
    auto decision = limiter.TakeAtOnce(Caller("key_a"));
    ASSERT_TRUE(decision && decision->allowed);
    EXPECT_EQ(decision->remaining, left);
    EXPECT_LE(decision->seconds, 3600);
  }
  auto refused = limiter.TakeAtOnce(Caller("key_a"));
  ASSERT_TRUE(refused && !refused->allowed);
  EXPECT_EQ(refused->remaining, 0);
  EXPECT_GT(refused->seconds, 700);  // one of five comes back in 720 s
  EXPECT_LE(refused->seconds, 720);
  Error error = limiter.Refusal(*refused);
  EXPECT_EQ(error.code, ErrorCode::kRateLimited);
  EXPECT_EQ(error.extensions["violated-policies"], "[\"default\"]");
  EXPECT_EQ(error.params["seconds"], std::to_string(refused->seconds));
  EXPECT_EQ(limiter.LimitField(*refused), "\"default\";r=0;t=" + std::to_string(refused->seconds));
  // A refused request costs nothing, and another key has a quota of its own.
  EXPECT_EQ(limiter.TakeAtOnce(Caller("key_a"))->allowed, false);
  EXPECT_EQ(limiter.TakeAtOnce(Caller("key_b"))->remaining, 4);
}

TEST_F(LimiterTest, NeverMoreIsLeftThanTheQuota) {
  // 60 s by so many is no whole number of nanoseconds.
  Limiter limiter(loop_.executor(), {"default", 44'000'000, 60s}, nullptr);
  for (int i = 0; i < 3; ++i) {
    auto decision = limiter.TakeAtOnce(Caller("key_a"));
    ASSERT_TRUE(decision && decision->allowed);
    EXPECT_LT(decision->remaining, 44'000'000);
    EXPECT_GT(decision->remaining, 43'000'000);
  }
}

TEST_F(LimiterTest, ALeaseIsSmall) {
  EXPECT_EQ(Limiter::LeaseOf(1), 1);
  EXPECT_EQ(Limiter::LeaseOf(5), 1);
  EXPECT_EQ(Limiter::LeaseOf(600), 30);
  EXPECT_EQ(Limiter::LeaseOf(60'000'000), 1000);
}

}  // namespace
}  // namespace millrace::gateway
