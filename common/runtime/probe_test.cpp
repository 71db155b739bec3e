// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/probe.h"

#include <gtest/gtest.h>

#include "millrace/runtime/v1/runtime.pb.h"
#include "tests/support/loop.h"

namespace millrace::runtime {
namespace {

using namespace std::chrono_literals;

struct ProbeTest : testing::Test {
  ProbeTest() : service("escrow") {
    service.On<v1::NextDueRequest, v1::NextDueResponse>(
        "millrace.runtime.v1.Runtime.NextDue",
        [this](CallContext, v1::NextDueRequest) -> Task<Result<v1::NextDueResponse>> {
          ++asked;
          if (!works) co_return Fail(ErrorCode::kUnavailable);
          co_return v1::NextDueResponse();
        });
    channel = rpc::LocalChannel(service);
  }
  test::Loop loop;
  rpc::Service service;
  std::unique_ptr<rpc::Channel> channel;
  std::vector<bool> heard;
  bool works = true;
  int asked = 0;
};

TEST_F(ProbeTest, TellsOfALossOnceItLastsAndOfTheReturnAtOnce) {
  Probe probe(
      loop.executor(), *channel, "gateway", [this](bool healthy) { heard.push_back(healthy); }, ProbePace{1ms, 50ms});
  probe.Start();
  loop.RunUntil([this] { return asked >= 10; });
  EXPECT_TRUE(heard.empty()) << "it was healthy from the start";
  works = false;
  loop.RunUntil([this] { return !heard.empty(); });
  EXPECT_EQ(heard, std::vector<bool>{false});
  works = true;
  loop.RunUntil([this] { return heard.size() > 1; });
  EXPECT_EQ(heard, (std::vector<bool>{false, true}));
  probe.Stop();
  loop.Run();
}

TEST_F(ProbeTest, APassingFaultIsNone) {
  Probe probe(
      loop.executor(), *channel, "gateway", [this](bool healthy) { heard.push_back(healthy); },
      ProbePace{1ms, 60000ms});
  works = false;
  probe.Start();
  loop.RunUntil([this] { return asked >= 20; });
  works = true;
  loop.RunUntil([this] { return asked >= 30; });
  EXPECT_TRUE(heard.empty());
  probe.Stop();
  loop.Run();
}

TEST_F(ProbeTest, EndsWhileItAsks) {
  auto probe = std::make_unique<Probe>(loop.executor(), *channel, "gateway", [](bool) {}, ProbePace{1ms, 50ms});
  probe->Start();
  loop.RunUntil([this] { return asked >= 1; });
  probe.reset();
  loop.Run();  // comes to its end
}

}  // namespace
}  // namespace millrace::runtime
