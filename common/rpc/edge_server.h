// SPDX-License-Identifier: Apache-2.0
// gRPC for callers outside: the transport alone; who they are and what they may is the handler's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/metadata.h"
#include "common/rpc/service.h"
#include "common/rpc/status.h"

namespace millrace::rpc {

// One call from outside. Its message is read when it is asked for, so that a caller can be refused before.
struct EdgeCall {
  const MethodDescriptor* method = nullptr;
  std::string peer;                                         // address without port
  std::map<std::string, std::string, std::less<>> headers;  // the first of each name
  Time deadline = Time::max();
  // The message, once. Errors: PAYLOAD_TOO_LARGE beyond `limit` bytes; INVALID_REQUEST if the bytes are none such;
  // UNAVAILABLE if the caller went away. Fields that the contract does not have are dropped.
  std::function<Task<Result<std::unique_ptr<Message>>>(size_t limit)> read;
};

struct EdgeAnswer {
  std::unique_ptr<Message> message;  // null: `status` says why
  WireStatus status;
  std::vector<MetadataPair> trailers;
};

struct EdgeOptions {
  std::string address;           // host:port
  std::string certificate, key;  // paths of PEM files; empty: plaintext
  // Which methods there are; all others are UNIMPLEMENTED, and reflection does not show them.
  std::function<bool(const MethodDescriptor*)> serves;
  std::vector<const google::protobuf::FileDescriptor*> files;  // what reflection knows
  std::function<Task<EdgeAnswer>(std::shared_ptr<EdgeCall>)> handler;
};

// Serves on one port, with grpc.health.v1 and server reflection (v1alpha and v1) beside the methods. Refuses a taken
// port. Limits: 8 KiB of metadata, 100 calls at once on a connection, 256 MiB of messages in flight, 10 s for a
// handshake; idle connections end after 5 min.
class EdgeServer {
 public:
  EdgeServer(Executor executor, EdgeOptions options);
  ~EdgeServer();
  // The bound port. Errors: INTERNAL, with a cause that names the address.
  Result<int> Start();
  // What grpc.health.v1 says of a service by its full name, and of "" (all of them).
  void SetServing(const std::string& service, bool serving);
  // Refuses new calls, waits up to `grace` for those in flight; the loop must keep running meanwhile.
  Task<void> Shutdown(std::chrono::milliseconds grace);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::rpc
