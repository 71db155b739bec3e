// SPDX-License-Identifier: Apache-2.0
// For tests: a real gateway on a loop of its own, with services of the test's behind local channels.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "services/gateway/module.h"

namespace millrace::gateway {

class GatewayWorld : public testing::Test {
 protected:
  explicit GatewayWorld(const std::vector<std::string>& names) : work_(context_.get_executor()) {
    settings_.Set("http_address", "127.0.0.1:0", "test");
    settings_.Set("drain_seconds", "6", "test");
    environment_.executor = context_.get_executor();
    environment_.settings = &settings_;
    environment_.wakeups = &bus_;
    for (const std::string& name : names) {
      services_[name] = std::make_unique<rpc::Service>(name);
      channels_[name] = rpc::LocalChannel(*services_[name]);
    }
    environment_.channel = [this](std::string_view name) -> rpc::Channel& { return *channels_.at(std::string(name)); };
    organization_ = FormatId("org", Uuid::New());
  }
  void SetUp() override {
    thread_ = std::thread([this] { context_.run(); });
    gateway_ = MakeGateway(environment_);
    Run([this]() -> Task<void> {
      Result<int> port = co_await gateway_->Start();
      EXPECT_TRUE(port) << port.error().cause;
      port_ = port.value_or(0);
    });
    ASSERT_NE(port_, 0);
  }
  void TearDown() override {
    Run([this]() -> Task<void> { co_await gateway_->Drain(); });
    work_.reset();
    thread_.join();
    gateway_.reset();
  }
  void Run(std::function<Task<void>()> body) {
    std::atomic<bool> done = false;
    Spawn(context_.get_executor(), Then(&body, &done), "test");
    while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  static Task<void> Then(std::function<Task<void>()>* body, std::atomic<bool>* done) {
    co_await (*body)();
    *done = true;
  }

  // Registers the handler of an RPC of "millrace.identity.v1.Identity" and the like; its context is kept in seen_.
  template <class Request, class Response>
  void On(const char* service, const char* method,
          std::function<Result<Response>(const CallContext&, const Request&)> handler) {
    services_[service]->On<Request, Response>(method, [this, handler](CallContext context, Request request) {
      return Answer<Request, Response>(handler, std::move(context), std::move(request));
    });
  }
  template <class Request, class Response>
  Task<Result<Response>> Answer(std::function<Result<Response>(const CallContext&, const Request&)> handler,
                                CallContext context, Request request) {
    seen_ = context;
    if (slow_) co_await Sleep(std::chrono::milliseconds(500));
    co_return handler(context, request);
  }

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  runtime::Settings settings_;
  runtime::WakeupBus bus_;
  runtime::Environment environment_;
  std::map<std::string, std::unique_ptr<rpc::Service>> services_;
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::unique_ptr<Gateway> gateway_;
  std::thread thread_;
  int port_ = 0;
  std::string organization_;
  CallContext seen_;
  std::atomic<bool> slow_ = false;
};

}  // namespace millrace::gateway
