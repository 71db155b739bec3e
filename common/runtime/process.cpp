// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/process.h"

#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdlib>

#include "common/telemetry/log.h"

namespace millrace::runtime {

struct Process::State {
  boost::asio::io_context loop{1};
  boost::asio::signal_set signals{loop};
  std::function<Task<void>()> drain;
  bool draining = false;
  int status = 0;

  Task<void> DrainAndEnd() {
    if (drain) co_await drain();
    loop.stop();
  }
  void Begin() {
    if (draining) return;
    draining = true;
    Spawn(loop.get_executor(), DrainAndEnd(), "drain");
  }
  void Listen() {
    signals.async_wait([this](boost::system::error_code error, int) {
      if (error) return;
      if (draining) {
        telemetry::Flush();
        std::_Exit(130);
      }
      Begin();
      Listen();
    });
  }
};

Process::Process() : state_(std::make_unique<State>()) {
  std::signal(SIGPIPE, SIG_IGN);
  state_->signals.add(SIGTERM);
  state_->signals.add(SIGINT);
}
Process::~Process() = default;

Executor Process::executor() { return state_->loop.get_executor(); }

int Process::Run(std::function<Task<void>()> start, std::function<Task<void>()> drain) {
  state_->drain = std::move(drain);
  state_->Listen();
  Spawn(state_->loop.get_executor(), start(), "start");
  state_->loop.run();
  return state_->status;
}

void Process::Stop(int status) {
  state_->status = status;
  state_->Begin();
}

}  // namespace millrace::runtime
