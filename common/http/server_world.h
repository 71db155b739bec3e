// SPDX-License-Identifier: Apache-2.0
// For tests: a server with its loop on a thread.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <stdexcept>
#include <thread>

#include "common/http/http.h"

namespace millrace::http {

class ServerWorld {
 public:
  ServerWorld(ServerOptions options, Handler handler)
      : work_(context_.get_executor()),
        server_(std::make_unique<Server>(context_.get_executor(), std::move(options), std::move(handler))) {
    Result<int> port = server_->Start();
    if (!port) throw std::runtime_error(port.error().cause);
    port_ = *port;
    thread_ = std::thread([this] { context_.run(); });
  }
  ~ServerWorld() {
    Drain(std::chrono::milliseconds(2000));
    work_.reset();
    thread_.join();
    server_.reset();
  }
  // Returns when the server has drained.
  void Drain(std::chrono::milliseconds grace) {
    std::atomic<bool> done = false;
    Spawn(context_.get_executor(), DrainThen(grace, &done), "drain");
    while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  Executor executor() { return context_.get_executor(); }
  int port() const { return port_; }
  std::string url(const std::string& scheme = "http") const { return scheme + "://localhost:" + std::to_string(port_); }

 private:
  Task<void> DrainThen(std::chrono::milliseconds grace, std::atomic<bool>* done) {
    co_await server_->Drain(grace);
    *done = true;
  }

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::unique_ptr<Server> server_;
  int port_ = 0;
  std::thread thread_;
};

}  // namespace millrace::http
