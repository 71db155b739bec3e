// SPDX-License-Identifier: Apache-2.0
// Wake-ups against a real Redis that is absent, restarted, emptied, frozen.
#include "common/redis/wakeups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "tests/support/loop.h"
#include "tests/support/private_redis.h"

namespace millrace::redis {
namespace {

using Heard = std::vector<std::pair<std::string, int64_t>>;

class WakeupsTest : public ::testing::Test {
 protected:
  std::unique_ptr<Wakeups> Make(const std::string& url, Heard* heard) {
    auto wakeups = std::make_unique<Wakeups>(loop_.executor(), url, [heard](std::string source, int64_t seq) {
      heard->emplace_back(std::move(source), seq);
    });
    wakeups->Start();
    return wakeups;
  }
  // Runs the loop until `met`, at most `seconds`.
  bool Until(std::function<bool()> met, int seconds = 15) {
    bool result = false;
    loop_.Start(Poll(std::move(met), seconds, &result));
    loop_.RunUntil([&] { return done_; });
    done_ = false;
    return result;
  }
  Task<void> Poll(std::function<bool()> met, int seconds, bool* result) {
    for (int i = 0; i < seconds * 100 && !met(); ++i) co_await Sleep(std::chrono::milliseconds(10));
    *result = met();
    done_ = true;
  }
  // Says it until it is heard: an announcement without a connection is dropped by design.
  bool AnnounceUntilHeard(Wakeups& from, const Heard& at, int64_t seq) {
    return Until([&] {
      from.Announce("escrow", seq);
      return std::find(at.begin(), at.end(), std::pair<std::string, int64_t>("escrow", seq)) != at.end();
    });
  }

  test::Loop loop_;
  test::PrivateRedis redis_;
  bool done_ = false;
};

TEST_F(WakeupsTest, EachProcessHearsAllInOrder) {
  redis_.Start();
  Heard here, there;
  auto a = Make(redis_.unix_url(), &here);
  auto b = Make(redis_.tcp_url(), &there);
  ASSERT_TRUE(Until([&] { return a->connected() && b->connected(); }));
  ASSERT_TRUE(AnnounceUntilHeard(*a, there, 0));
  here.clear();
  there.clear();
  Heard expected;
  for (int64_t seq = 1; seq <= 300; ++seq) {
    (seq % 2 ? a : b)->Announce(seq % 3 ? "escrow" : "listing", seq);
  }
  ASSERT_TRUE(Until([&] {
    auto late = [](const Heard& heard) {
      return std::count_if(heard.begin(), heard.end(), [](auto& h) { return h.second > 0; }) < 300;
    };
    return !late(here) && !late(there);
  }));
  std::erase_if(here, [](auto& h) { return h.second == 0; });
  std::erase_if(there, [](auto& h) { return h.second == 0; });
  EXPECT_EQ(here, there);
  EXPECT_EQ(here.size(), 300u);
  // The two writers interleave, each in its own order.
  int64_t last_odd = 0;
  for (const auto& [source, seq] : here) {
    EXPECT_EQ(source, seq % 3 ? "escrow" : "listing");
    if (seq % 2 == 0) continue;
    EXPECT_GT(seq, last_odd);
    last_odd = seq;
  }
}

TEST_F(WakeupsTest, TheStreamStaysShort) {
  redis_.Start();
  Heard heard;
  auto a = Make(redis_.unix_url(), &heard);
  ASSERT_TRUE(Until([&] { return a->connected(); }));
  for (int64_t seq = 1; seq <= 5000; ++seq) {
    a->Announce("escrow", seq);
    if (seq % 500 == 0) ASSERT_TRUE(AnnounceUntilHeard(*a, heard, seq));
  }
  EXPECT_LT(std::stoi(redis_.Cli({"XLEN", "millrace:wakeups"})), 1500);
}

TEST_F(WakeupsTest, StartsBeforeRedisDoesAndSurvivesItsDeath) {
  Heard heard;
  auto a = Make(redis_.unix_url(), &heard);
  a->Announce("escrow", 1);  // dropped, not an error
  EXPECT_FALSE(Until([&] { return a->connected(); }, 1));
  redis_.Start();
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 2));
  redis_.Kill();
  ASSERT_TRUE(Until([&] { return !a->connected(); }));
  a->Announce("escrow", 3);
  redis_.Start();  // empty: nothing is kept on disk
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 4));
  EXPECT_EQ(std::count(heard.begin(), heard.end(), std::pair<std::string, int64_t>("escrow", 1)), 0);
}

TEST_F(WakeupsTest, SurvivesTheLossOfEverything) {
  redis_.Start();
  Heard heard;
  auto a = Make(redis_.unix_url(), &heard);
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 1));
  redis_.Cli({"FLUSHALL"});
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 2));
  redis_.Cli({"SCRIPT", "FLUSH"});
  redis_.Cli({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 3));
}

TEST_F(WakeupsTest, HearsAStreamThatBeganAnewWithLowerIds) {
  redis_.Start();
  // As if the server's clock had been far ahead, and everything was lost.
  redis_.Cli({"XADD", "millrace:wakeups", "99999999999999-0", "source", "escrow", "seq", "1"});
  Heard heard;
  auto a = Make(redis_.unix_url(), &heard);
  ASSERT_TRUE(Until([&] { return a->connected(); }));
  redis_.Cli({"FLUSHALL"});
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 2));
}

TEST_F(WakeupsTest, WhatIsNoAnnouncementIsPassedOver) {
  redis_.Start();
  Heard heard;
  auto a = Make(redis_.unix_url(), &heard);
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 1));
  heard.clear();
  redis_.Cli({"XADD", "millrace:wakeups", "*", "what", "ever"});
  redis_.Cli({"XADD", "millrace:wakeups", "*", "source", "escrow", "seq", "7x"});
  redis_.Cli({"XADD", "millrace:wakeups", "*", "source", "", "seq", "7"});
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 2));
  for (const auto& [source, seq] : heard) EXPECT_LE(seq, 2);
  // A key of another type is an error each time; nothing crashes or spins, and it heals.
  redis_.Cli({"DEL", "millrace:wakeups"});
  redis_.Cli({"SET", "millrace:wakeups", "text"});
  a->Announce("escrow", 3);
  EXPECT_FALSE(Until([] { return false; }, 1));
  redis_.Cli({"DEL", "millrace:wakeups"});
  ASSERT_TRUE(AnnounceUntilHeard(*a, heard, 4));
}

TEST_F(WakeupsTest, StopsWhileConnectingAndWhileReading) {
  Heard heard;
  auto absent = Make("redis://localhost:1", &heard);
  absent.reset();
  auto odd = Make("http://nothing", &heard);
  EXPECT_FALSE(odd->connected());
  redis_.Start();
  auto a = Make(redis_.tcp_url(), &heard);
  a.reset();
  auto b = Make(redis_.unix_url(), &heard);
  ASSERT_TRUE(Until([&] { return b->connected(); }));
  b->Announce("escrow", 1);
  b.reset();
  loop_.Run();  // comes to an end: nothing is left waiting
}

}  // namespace
}  // namespace millrace::redis
