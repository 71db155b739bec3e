// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/message.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "common/rpc/channel.h"
#include "common/rpc/observe.h"
#include "common/telemetry/call.h"

namespace millrace::rpc {
namespace {

namespace asio = boost::asio;
using Answer = Result<std::unique_ptr<Message>>;

// A call whose caller may go away at its deadline while the handler runs on: as between processes.
struct Pending {
  explicit Pending(Executor executor) : timer(std::move(executor)) {}
  asio::steady_timer timer;
  std::optional<Answer> answer;
};

Task<void> Run(Service* service, const MethodDescriptor* method, CallContext context, std::unique_ptr<Message> request,
               std::shared_ptr<Pending> pending) {
  Answer answer = co_await service->Dispatch(method, std::move(context), std::move(request));
  pending->answer.emplace(std::move(answer));
  pending->timer.cancel();
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
    std::shared_ptr<ReplyInfo> reply = context.reply;
    context.reply = std::make_shared<ReplyInfo>();  // a late handler writes into its own
    std::shared_ptr<ReplyInfo> own = context.reply;
    Executor executor = co_await CurrentExecutor();
    auto pending = std::make_shared<Pending>(executor);
    pending->timer.expires_after(context.deadline - WallNow());
    Spawn(executor, Run(&service_, method, std::move(context), std::move(request), pending), "rpc.local");
    boost::system::error_code ignored;
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    telemetry::CallScope others{telemetry::Call()};
    if (!pending->answer) co_await pending->timer.async_wait(token);
    if (!pending->answer) co_return Fail(ErrorCode::kDeadlineExceeded);
    *reply = *own;
    co_return *std::move(pending->answer);
  }

  Service& service_;
};

}  // namespace

std::unique_ptr<Channel> LocalChannel(Service& service) { return std::make_unique<Local>(service); }

}  // namespace millrace::rpc
