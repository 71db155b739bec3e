// SPDX-License-Identifier: Apache-2.0
// The edge: HTTP/JSON in, calls of the services out. It has no database and no domain of its own.
#pragma once

#include <memory>

#include "common/runtime/module.h"

namespace millrace::gateway {

class Gateway {
 public:
  explicit Gateway(runtime::Environment& environment);
  ~Gateway();
  // Serves on the settings http_address ("host:port") and, unless it is empty, grpc_address; the HTTP port. Errors:
  // INTERNAL, with a cause that names the address.
  Task<Result<int>> Start();
  int grpc_port() const;  // 0: none
  // Not ready from now on; ends streams, lets requests in flight finish for at most the setting drain_seconds.
  Task<void> Drain();

 private:
  Result<void> StartGrpc();

  struct State;
  std::shared_ptr<State> state_;
};

std::unique_ptr<Gateway> MakeGateway(runtime::Environment& environment);

}  // namespace millrace::gateway
