// SPDX-License-Identifier: Apache-2.0
// The same calls as over HTTP for callers that speak gRPC.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/call_context.h"
#include "common/rpc/edge_server.h"
#include "common/runtime/module.h"
#include "common/runtime/probe.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {

// Serves every RPC that has a route, but the one whose signature is over an HTTP body. Metadata: authorization,
// idempotency-key, if-match, accept-language, traceparent; trailing: request-id, traceparent, etag, replayed. Errors
// are google.rpc.Status (rpc::ToPublicStatus).
class GrpcEdge {
 public:
  // What a call passes before its message is read, by whatever transport: fills in the caller, or refuses.
  using Admit = std::function<Task<Result<void>>(const Route* route, std::string authorization, std::string peer,
                                                 CallContext* context)>;

  // The table must outlive it.
  GrpcEdge(runtime::Environment& environment, const RoutingTable& table, Admit admit);
  ~GrpcEdge();
  // Serves on the setting grpc_address; the bound port. Errors: INTERNAL, with a cause that names the address.
  Result<int> Start();
  Task<void> Drain(std::chrono::milliseconds grace);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace millrace::gateway
