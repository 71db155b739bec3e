// SPDX-License-Identifier: Apache-2.0
// What a call costs, for metrics and traces; the same for every transport.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>

#include "common/base/call_context.h"
#include "common/base/result.h"
#include "common/telemetry/span.h"

namespace millrace::rpc {

// One call as its caller sees it. Gives a context without a trace the one of the running call; with End, counts
// millrace_rpc_client_duration_seconds{method,transport,code}.
class ClientObservation {
 public:
  ClientObservation(const google::protobuf::MethodDescriptor* method, const char* transport, CallContext* context);
  void End(const Result<std::unique_ptr<google::protobuf::Message>>& answer);

 private:
  const google::protobuf::MethodDescriptor* method_;
  const char* transport_;
  telemetry::Span span_;
  int64_t begin_;
};

// Counts a call that another process made: millrace_rpc_server_duration_seconds{method,code}.
void ObserveServed(const google::protobuf::MethodDescriptor* method, int64_t nanos,
                   const Result<std::unique_ptr<google::protobuf::Message>>& answer);

}  // namespace millrace::rpc
