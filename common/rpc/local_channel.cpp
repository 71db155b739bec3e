// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/message.h>

#include "common/rpc/awaited.h"
#include "common/rpc/channel.h"
#include "common/rpc/observe.h"

namespace millrace::rpc {
namespace {

// The caller may go away at its deadline while the handler runs on: as between processes.
Task<void> Run(Service* service, const MethodDescriptor* method, CallContext context, std::unique_ptr<Message> request,
               std::shared_ptr<AwaitedAnswer> awaited) {
  context.reply = std::make_shared<ReplyInfo>();  // a late handler writes into its own
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Answer answer = co_await service->Dispatch(method, std::move(context), std::move(request));
  awaited->Set(std::move(answer), std::move(*reply));
}

class Local final : public Channel {
 public:
  explicit Local(Service& service) : service_(service) {}

  Task<Answer> Send(const MethodDescriptor* method, CallContext context, std::unique_ptr<Message> request) override {
    ClientObservation observation(method, "local", &context);
    Answer answer = co_await Exchange(method, std::move(context), std::move(request));
    observation.End(answer);
    co_return std::move(answer);
  }

 private:
  Task<Answer> Exchange(const MethodDescriptor* method, CallContext context, std::unique_ptr<Message> request) {
    if (context.deadline == Time::max()) {
      Answer answer = co_await service_.Dispatch(method, std::move(context), std::move(request));
      co_return std::move(answer);
    }
    Executor executor = co_await CurrentExecutor();
    auto awaited = std::make_shared<AwaitedAnswer>(executor);
    Time deadline = context.deadline;
    std::shared_ptr<ReplyInfo> reply = context.reply;
    Spawn(executor, Run(&service_, method, std::move(context), std::move(request), awaited), "rpc.local");
    Answer answer = co_await AwaitedAnswer::Until(std::move(awaited), deadline, std::move(reply));
    co_return std::move(answer);
  }

  Service& service_;
};

}  // namespace

std::unique_ptr<Channel> LocalChannel(Service& service) { return std::make_unique<Local>(service); }

}  // namespace millrace::rpc
