// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "common/telemetry/log.h"
#include "common/telemetry/trace.h"

namespace millrace::telemetry {
namespace {

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = ::testing::TempDir() + "millrace_log_" + std::to_string(getpid());
    unlink(path_.c_str());
    ASSERT_TRUE(LogToFile(path_));
  }
  void TearDown() override {
    SetLevel(Level::kInfo);
    LogToFile("/dev/stderr");
    unlink(path_.c_str());
  }
  std::vector<std::string> Lines() {
    Flush();
    std::ifstream file(path_);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  // The line without its time, which stands first.
  static std::string Rest(const std::string& line) { return line.substr(line.find(",\"level\"")); }
  std::string path_;
};

TEST_F(LogTest, ALineIsOneObjectWithItsFieldsInOrder) {
  Log(Level::kWarning, "http.request", {{"path", "/v1/bookings"}, {"status", 409}, {"bytes", int64_t{-1}}});
  std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with("{\"ts\":\"2"));
  EXPECT_EQ(Rest(lines[0]),
            R"(,"level":"warning","msg":"http.request","path":"/v1/bookings","status":409,"bytes":-1})");
}

TEST_F(LogTest, WhateverAValueHoldsTheLineStaysOneLineOfValidJson) {
  std::string evil = std::string("a\"b\\c\nd\te\x01") + std::string(1, '\0') + "f\x7F";
  Log(Level::kInfo, "x", {{"v", evil}});
  Log(Level::kInfo, "x", {{"v", "加工 é \U0001F600"}});
  Log(Level::kInfo, "x", {{"v", "\xFF|\xC0\xAF|\xED\xA0\x80|\xE5\x8A"}});  // stray, overlong, surrogate, cut off
  std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(Rest(lines[0]), R"(,"level":"info","msg":"x","v":"a\"b\\c\nd\u0009e\u0001\u0000f\u007f"})");
  EXPECT_EQ(Rest(lines[1]), ",\"level\":\"info\",\"msg\":\"x\",\"v\":\"加工 é \U0001F600\"}");
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ(Rest(lines[2]), ",\"level\":\"info\",\"msg\":\"x\",\"v\":\"" + bad + "|" + bad + bad + "|" + bad + bad +
                                bad + "|" + bad + bad + "\"}");
}

TEST_F(LogTest, LowerLevelsAreDropped) {
  Log(Level::kDebug, "quiet");
  SetLevel(Level::kDebug);
  Log(Level::kDebug, "loud");
  SetLevel(Level::kError);
  Log(Level::kWarning, "quiet");
  ASSERT_EQ(Lines().size(), 1u);
  EXPECT_NE(Lines()[0].find("loud"), std::string::npos);
}

TEST_F(LogTest, LinesOfSeveralThreadsDoNotMix) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 500; ++i) Log(Level::kInfo, "m", {{"v", std::string(200, static_cast<char>('a' + t))}});
    });
  }
  for (auto& thread : threads) thread.join();
  std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), 2000u);
  std::set<std::string> kinds;
  for (const std::string& line : lines) kinds.insert(Rest(line));
  EXPECT_EQ(kinds.size(), 4u);
}

TEST_F(LogTest, AFileThatCannotBeOpenedIsSaid) { EXPECT_FALSE(LogToFile("/no/such/folder/log")); }

TEST(TraceTest, KnowsWhatIsValid) {
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_TRUE(IsTraceparent(good));
  EXPECT_EQ(TraceId(good), "4bf92f3577b34da6a3ce929d0e0e4736");
  for (std::string bad : {std::string(), std::string("00"), good + "0", "01" + good.substr(2),
                          std::string("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
                          std::string("00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
                          std::string("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
                          std::string("00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01")}) {
    EXPECT_FALSE(IsTraceparent(bad)) << bad;
    EXPECT_TRUE(TraceId(bad).empty());
    EXPECT_TRUE(IsTraceparent(ChildTraceparent(bad)));
  }
}

TEST(TraceTest, AChildKeepsTheTraceAndFlags) {
  const std::string parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
  std::string child = ChildTraceparent(parent);
  EXPECT_TRUE(IsTraceparent(child));
  EXPECT_EQ(TraceId(child), TraceId(parent));
  EXPECT_NE(child, parent);
  EXPECT_TRUE(child.ends_with("-00"));
  EXPECT_NE(NewTraceparent(), NewTraceparent());
  EXPECT_TRUE(IsTraceparent(NewTraceparent()));
}

}  // namespace
}  // namespace millrace::telemetry
