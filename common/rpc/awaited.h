// SPDX-License-Identifier: Apache-2.0
// An answer that comes while its caller waits for it, or too late. Only files of this folder include it.
#pragma once

#include <google/protobuf/message.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>

#include "common/async/task.h"
#include "common/base/call_context.h"
#include "common/rpc/channel.h"
#include "common/telemetry/call.h"

namespace millrace::rpc {

using Answer = Result<std::unique_ptr<Message>>;

class AwaitedAnswer {
 public:
  explicit AwaitedAnswer(const Executor& executor) : timer_(executor) {}
  // On the loop, at most once.
  void Set(Answer answer, ReplyInfo reply) {
    answer_.emplace(std::move(answer));
    reply_ = std::move(reply);
    timer_.cancel();
  }
  // The answer, with what came beside it, or DEADLINE_EXCEEDED and nothing.
  static Task<Answer> Until(std::shared_ptr<AwaitedAnswer> awaited, Time deadline, std::shared_ptr<ReplyInfo> reply) {
    using Timer = boost::asio::steady_timer;
    if (deadline == Time::max()) {
      awaited->timer_.expires_at(Timer::time_point::max());
    } else {
      awaited->timer_.expires_after(deadline - WallNow());
    }
    boost::system::error_code ignored;
    auto token = boost::asio::redirect_error(boost::asio::use_awaitable, ignored);
    {
      telemetry::CallScope others{telemetry::Call()};
      if (!awaited->answer_) co_await awaited->timer_.async_wait(token);
    }
    if (!awaited->answer_) co_return Fail(ErrorCode::kDeadlineExceeded);
    *reply = std::move(awaited->reply_);
    co_return *std::move(awaited->answer_);
  }

 private:
  boost::asio::steady_timer timer_;
  std::optional<Answer> answer_;
  ReplyInfo reply_;
};

}  // namespace millrace::rpc
