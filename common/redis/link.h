// SPDX-License-Identifier: Apache-2.0
// One connection to Redis; inside this folder alone.
#pragma once

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/async/task.h"
#include "common/redis/address.h"

namespace millrace::redis {

namespace asio = boost::asio;
using std::chrono::milliseconds;

inline constexpr milliseconds kAnswer{3000};  // a server that says nothing for so long is gone
inline constexpr milliseconds kBackoffFirst{100};
inline constexpr milliseconds kBackoffMax{5000};

// Tells hiredis what the loop sees. It waits on a descriptor of its own, because hiredis closes its one whenever it
// likes, also within its own handlers; `context` is null from then on.
struct Adapter : std::enable_shared_from_this<Adapter> {
  Adapter(const Executor& executor, redisAsyncContext* c, int fd) : descriptor(executor, fd), context(c) {}

  void Wait(bool write) {
    bool& wanted = write ? want_write : want_read;
    bool& waiting = write ? waiting_write : waiting_read;
    wanted = true;
    if (waiting || !context) return;
    waiting = true;
    auto kind = write ? asio::posix::stream_descriptor::wait_write : asio::posix::stream_descriptor::wait_read;
    descriptor.async_wait(kind, [self = shared_from_this(), write](boost::system::error_code) { self->Ready(write); });
  }

  void Ready(bool write) {
    (write ? waiting_write : waiting_read) = false;
    if (!context || !(write ? want_write : want_read)) return;
    if (write) {
      redisAsyncHandleWrite(context);
    } else {
      redisAsyncHandleRead(context);
    }
    if (context && (write ? want_write : want_read)) Wait(write);
  }

  asio::posix::stream_descriptor descriptor;
  redisAsyncContext* context;
  bool want_read = false, want_write = false, waiting_read = false, waiting_write = false;
};

// One connection that comes back by itself.
class Link : public std::enable_shared_from_this<Link> {
 public:
  using Done = std::function<void(redisReply*)>;

  Link(Executor executor, Address address, std::function<void(bool ready)> changed)
      : executor_(executor),
        address_(std::move(address)),
        changed_(std::move(changed)),
        resolver_(executor),
        backoff_timer_(executor),
        answer_timer_(executor) {}

  void Start() {
    // hiredis writes to a socket that the server may have closed.
    if (std::signal(SIGPIPE, SIG_IGN) == SIG_ERR) std::abort();
    Connect();
  }

  void Stop() {
    stopped_ = true;
    backoff_timer_.cancel();
    answer_timer_.cancel();
    resolver_.cancel();
    changed_ = nullptr;
    Drop();
  }

  bool ready() const { return ready_; }
  int pending() const { return pending_; }

  // Ends the connection; it is opened again after a while.
  void Drop() {
    if (context_) redisAsyncFree(context_);
  }

  // `done` gets null if the connection broke. False: not sent.
  bool Send(const std::vector<std::string>& words, milliseconds answer_within, Done done) {
    if (!ready_) return false;
    std::vector<const char*> texts;
    std::vector<size_t> sizes;
    for (const std::string& word : words) {
      texts.push_back(word.data());
      sizes.push_back(word.size());
    }
    auto* call = new Call{shared_from_this(), std::move(done)};
    int sent = redisAsyncCommandArgv(context_, &Link::OnReply, call, static_cast<int>(words.size()), texts.data(),
                                     sizes.data());
    if (sent != REDIS_OK) {
      delete call;
      return false;
    }
    answer_within_ = answer_within;
    if (++pending_ == 1) Watch();
    return true;
  }

 private:
  struct Call {
    std::shared_ptr<Link> link;
    Done done;
  };
  struct Owner {
    std::shared_ptr<Adapter> adapter;
    std::shared_ptr<Link> link;
  };

  static void OnReply(redisAsyncContext*, void* reply, void* data) {
    std::unique_ptr<Call> call(static_cast<Call*>(data));
    Link& link = *call->link;
    --link.pending_;
    if (reply) link.Watch();
    if (!link.stopped_) call->done(static_cast<redisReply*>(reply));
  }

  // Drops the connection when the oldest command has no answer in time.
  void Watch() {
    if (pending_ == 0) {
      answer_timer_.cancel();
      return;
    }
    Expect(answer_within_);
  }
  void Expect(milliseconds within) {
    answer_timer_.expires_after(within);
    answer_timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error && !self->stopped_) self->Drop();
    });
  }

  void Connect() {
    if (stopped_) return;
    if (!address_.path.empty()) {
      Open(redisAsyncConnectUnix(address_.path.c_str()));
      return;
    }
    // hiredis would resolve a name on the loop and block it.
    resolver_.async_resolve(
        address_.host, address_.port,
        [self = shared_from_this()](boost::system::error_code error, asio::ip::tcp::resolver::results_type found) {
          if (self->stopped_) return;
          if (error || found.empty()) return self->Lost();
          asio::ip::tcp::endpoint endpoint = found.begin()->endpoint();
          self->Open(redisAsyncConnect(endpoint.address().to_string().c_str(), endpoint.port()));
        });
  }

  void Open(redisAsyncContext* context) {
    int fd = context && !context->err ? dup(context->c.fd) : -1;
    if (fd < 0) {
      if (context) redisAsyncFree(context);
      return Lost();
    }
    context_ = context;
    auto* owner = new Owner{std::make_shared<Adapter>(executor_, context, fd), shared_from_this()};
    context->data = this;
    context->ev.data = owner;
    context->ev.addRead = [](void* data) { static_cast<Owner*>(data)->adapter->Wait(false); };
    context->ev.delRead = [](void* data) { static_cast<Owner*>(data)->adapter->want_read = false; };
    context->ev.addWrite = [](void* data) { static_cast<Owner*>(data)->adapter->Wait(true); };
    context->ev.delWrite = [](void* data) { static_cast<Owner*>(data)->adapter->want_write = false; };
    context->ev.cleanup = &Link::OnCleanup;
    redisAsyncSetConnectCallback(context, &Link::OnConnect);
    Expect(kAnswer);
  }

  static void OnConnect(const redisAsyncContext* context, int status) {
    if (status != REDIS_OK) return;  // hiredis frees it next
    Link& link = *static_cast<Link*>(context->data);
    link.answer_timer_.cancel();
    link.ready_ = true;
    link.backoff_ = kBackoffFirst;
    if (link.changed_) link.changed_(true);
  }

  // The one place where every connection ends, whoever ended it; pending calls got their null before.
  static void OnCleanup(void* data) {
    std::unique_ptr<Owner> owner(static_cast<Owner*>(data));
    owner->adapter->context = nullptr;
    boost::system::error_code ignored;
    owner->adapter->descriptor.close(ignored);
    Link& link = *owner->link;
    link.context_ = nullptr;
    link.answer_timer_.cancel();
    bool was = std::exchange(link.ready_, false);
    if (was && link.changed_) link.changed_(false);
    link.Lost();
  }

  void Lost() {
    if (stopped_) return;
    // Spread, so that many processes do not come back to a fresh server in the same millisecond.
    backoff_timer_.expires_after(backoff_ + backoff_ * static_cast<int>(random_() % 50) / 100);
    backoff_ = std::min(backoff_ * 2, kBackoffMax);
    backoff_timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error) self->Connect();
    });
  }

  Executor executor_;
  Address address_;
  std::function<void(bool)> changed_;
  asio::ip::tcp::resolver resolver_;
  asio::steady_timer backoff_timer_, answer_timer_;
  std::minstd_rand random_{std::random_device()()};
  redisAsyncContext* context_ = nullptr;
  milliseconds backoff_ = kBackoffFirst;
  milliseconds answer_within_{0};
  int pending_ = 0;
  bool ready_ = false, stopped_ = false;
};

}  // namespace millrace::redis
