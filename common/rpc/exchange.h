// SPDX-License-Identifier: Apache-2.0
// What both ends of millrace.runtime.v1.Exchange share. Only files of this folder include it.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/async/task.h"
#include "common/base/call_context.h"
#include "common/base/result.h"
#include "millrace/runtime/v1/exchange.pb.h"

namespace millrace::rpc {

inline constexpr const char* kExchangePath = "/millrace.runtime.v1.Exchange/Exchange";
inline constexpr size_t kExchangeBatchBytes = 1024 * 1024;  // no more is added to a message of that length
inline constexpr int kExchangeCallsInFlight = 4096;         // of one stream; further ones wait with their sender
inline constexpr size_t kExchangeEntryBytes = 78 * 1024 * 1024;  // one call or answer; longer ones fail alone

// INTERNAL: the caller's limits should have refused it long before.
inline std::unexpected<Error> TooLong(const std::string& method) {
  return std::unexpected(Error::Internal("a message of " + method + " is longer than 78 MiB"));
}

// Everything but the deadline, which a call carries as its timeout, and what the other side computes.
void WriteContext(const CallContext& context, runtime::v1::CallContext* out);
CallContext ReadContext(const runtime::v1::CallContext& in);

// Runs `work` when the loop has done what it has to do now and has looked once more for what came meanwhile.
void AfterThisTurn(const Executor& executor, std::function<void()> work);

// What waits to leave on a stream: one message on its way, and all that gathers meanwhile in the next. From any thread.
template <class Message, class Entry>
class Outbox {
 public:
  explicit Outbox(google::protobuf::RepeatedPtrField<Entry>* (Message::*entries)()) : entries_(entries) {}
  // True if nothing is on its way and nobody was told to see to that yet: the caller is, who calls Next soon.
  bool Add(Entry entry) {
    std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(entry));
    return !std::exchange(busy_, true);
  }
  // The next message: at least one entry. None: nothing waits, and the next Add is told so; or it is closed, which
  // `closed` tells in the same moment. Drops what waits if the one before was lost.
  std::optional<Message> Next(bool lost = false, bool* closed = nullptr) {
    std::lock_guard lock(mutex_);
    if (lost) waiting_.clear();
    busy_ = !waiting_.empty() && !closed_;
    if (closed) *closed = closed_;
    if (!busy_) return std::nullopt;
    std::optional<Message> message(std::in_place);
    for (size_t bytes = 0; !waiting_.empty() && bytes < kExchangeBatchBytes; waiting_.pop_front()) {
      bytes += waiting_.front().ByteSizeLong();
      *((*message).*entries_)()->Add() = std::move(waiting_.front());
    }
    return message;
  }
  // What has not left yet does not. Only where entries are added in the order of their ids.
  void Remove(int64_t id) {
    std::lock_guard lock(mutex_);
    auto found = std::ranges::lower_bound(waiting_, id, {}, [](const Entry& entry) { return entry.id(); });
    if (found != waiting_.end() && found->id() == id) waiting_.erase(found);
  }
  // No message follows. True if none is on its way either; else whoever calls Next then finds it closed.
  bool Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    return !busy_;
  }
  bool idle() const {
    std::lock_guard lock(mutex_);
    return !busy_;
  }

 private:
  google::protobuf::RepeatedPtrField<Entry>* (Message::*entries_)();
  mutable std::mutex mutex_;
  std::deque<Entry> waiting_;
  bool busy_ = false, closed_ = false;
};

// What came on a stream and waits for the loop. From any thread.
template <class Message>
class Inbox {
 public:
  // True if the loop is not on its way yet: the caller sends it.
  bool Add(std::optional<Message> message) {
    std::lock_guard lock(mutex_);
    came_.push_back(std::move(message));
    return !std::exchange(called_, true);
  }
  // Everything that came, in order; nullopt is the stream's end.
  std::vector<std::optional<Message>> Take() {
    std::lock_guard lock(mutex_);
    called_ = false;
    return std::exchange(came_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::optional<Message>> came_;
  bool called_ = false;
};

}  // namespace millrace::rpc
