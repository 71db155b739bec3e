// SPDX-License-Identifier: Apache-2.0
// The program itself, as a process that is killed and started again.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "services/custodian_sandbox/custodian.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::custodian {
namespace {

using nlohmann::json;

class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() : url_(test::PrivatePostgres::Instance().NewDatabase()) {
    test::Loop loop;
    http::Server probe(loop.executor(), http::ServerOptions(),
                       [](http::Request) -> Task<http::Response> { co_return http::Response(); });
    port_ = std::to_string(probe.Start().value_or(0));  // free again when the probe is gone
  }
  ~ProcessTest() override {
    if (pid_ > 0) End(SIGKILL);
  }
  void Begin() {
    pid_ = fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      std::string address = "--address=127.0.0.1:" + port_;
      execl(CUSTODIAN_PROGRAM, "millrace-custodian", address.c_str(), "--database-url", url_.c_str(), "--key", "k",
            nullptr);
      _exit(127);
    }
    for (int i = 0; i < 500; ++i) {
      if (Call("GET", "/v1/account").first == 200) return;
      usleep(20000);
    }
    FAIL() << "the program does not answer";
  }
  // The wait status.
  int End(int signal) {
    int status = 0;
    kill(pid_, signal);
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  std::pair<int, json> Call(const std::string& method, const std::string& target, const json& body = nullptr) {
    http::Request request;
    request.method = method;
    request.target = target;
    request.fields.Set("Authorization", "Bearer k");
    if (!body.is_null()) request.body = body.dump();
    Result<http::Response> response =
        http::FetchBlocking("http://127.0.0.1:" + port_, request, std::chrono::seconds(3));
    if (!response) return {0, nullptr};
    return {response->status, json::parse(response->body, nullptr, false)};
  }

  std::string url_, port_;
  pid_t pid_ = -1;
};

TEST_F(ProcessTest, WhatWasAnsweredSurvivesSigkill) {
  Begin();
  json transfer = {{"amount", "1000"}, {"currency", "CNY"}, {"reference", "MR1"}, {"payer_name", "x"}};
  json pay_out = {
      {"id", "p"}, {"amount", "10"}, {"currency", "CNY"}, {"beneficiary_name", "y"}, {"beneficiary_account", "z"}};
  ASSERT_EQ(Call("POST", "/sandbox/transfers", transfer).first, 201);
  ASSERT_EQ(Call("POST", "/v1/pay_outs", pay_out).first, 201);
  End(SIGKILL);
  EXPECT_EQ(Call("GET", "/v1/account").first, 0);
  Begin();
  EXPECT_EQ(Call("GET", "/v1/account").second["balance"], "990");
  EXPECT_EQ(Call("POST", "/v1/pay_outs", pay_out).first, 200);
  json state = Call("GET", "/sandbox/state").second;
  EXPECT_TRUE(state["balanced"].get<bool>());
  EXPECT_EQ(state["notices"]["pending"], 2);  // no notice URL: kept
}

TEST_F(ProcessTest, SigtermEndsItInOrder) {
  Begin();
  int status = End(SIGTERM);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(ProcessTest, SaysEveryFaultOfItsFlagsAndEndsWithTwo) {
  int status = std::system(CUSTODIAN_PROGRAM " --adress=x >/dev/null 2>&1");
  EXPECT_EQ(WEXITSTATUS(status), 2);
  status = std::system(CUSTODIAN_PROGRAM " --help >/dev/null 2>&1");
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace millrace::custodian
