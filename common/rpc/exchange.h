// SPDX-License-Identifier: Apache-2.0
// What both ends of millrace.runtime.v1.Exchange share. Only files of this folder include it.
#pragma once

#include <deque>

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

// What waits to leave on a stream.
template <class Entry>
class Outbox {
 public:
  bool empty() const { return waiting_.empty(); }
  void Add(Entry entry) { waiting_.push_back(std::move(entry)); }
  // Moves entries to a message: at least one, if there is any.
  void Take(google::protobuf::RepeatedPtrField<Entry>* message) {
    for (size_t bytes = 0; !waiting_.empty() && bytes < kExchangeBatchBytes; waiting_.pop_front()) {
      bytes += waiting_.front().ByteSizeLong();
      *message->Add() = std::move(waiting_.front());
    }
  }

 private:
  std::deque<Entry> waiting_;
};

}  // namespace millrace::rpc
