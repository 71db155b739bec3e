// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/probe.h"

#include "millrace/runtime/v1/runtime.pb.h"

namespace millrace::runtime {

// Shared with its loop, which may outlive the probe by one question.
struct Probe::State : std::enable_shared_from_this<State> {
  State(Executor e, rpc::Channel& c, std::string a, std::function<void(bool)> f, ProbePace p)
      : executor(std::move(e)), channel(c), asking(std::move(a)), changed(std::move(f)), pace(p), ended(executor) {}

  Executor executor;
  rpc::Channel& channel;
  std::string asking;
  std::function<void(bool)> changed;
  ProbePace pace;
  Wakeup ended;
  bool stopped = false, healthy = true;

  static Task<void> Run(std::shared_ptr<State> self) {
    using Clock = std::chrono::steady_clock;
    Clock::time_point answered = Clock::now();
    while (!self->stopped) {
      CallContext context = CallContext::ForService(self->asking);
      context.deadline = WallNow() + std::chrono::seconds(2);
      v1::NextDueRequest request;
      Result<v1::NextDueResponse> due = co_await rpc::Call<v1::NextDueResponse>(
          self->channel, "millrace.runtime.v1.Runtime.NextDue", std::move(context), std::move(request));
      if (self->stopped) co_return;
      Clock::time_point now = Clock::now();
      if (due) answered = now;
      bool healthy = now - answered <= self->pace.patience;
      if (healthy != self->healthy) {
        self->healthy = healthy;
        self->changed(healthy);
      }
      co_await self->ended.Wait(self->pace.pause);
    }
  }
};

Probe::Probe(Executor executor, rpc::Channel& channel, std::string asking, std::function<void(bool)> changed,
             ProbePace pace)
    : state_(std::make_shared<State>(std::move(executor), channel, std::move(asking), std::move(changed), pace)) {}

Probe::~Probe() { Stop(); }

void Probe::Start() { Spawn(state_->executor, State::Run(state_), "probe"); }

void Probe::Stop() {
  state_->stopped = true;
  state_->ended.Signal();
}

}  // namespace millrace::runtime
