// SPDX-License-Identifier: Apache-2.0
// How one service calls another: inside one process by a function call, between processes by gRPC; the same contract.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/rpc/service.h"

namespace millrace::rpc {

class Channel {
 public:
  virtual ~Channel() = default;
  // Errors: the handler's; UNAVAILABLE when the service cannot be reached or the connection broke (outcome unknown);
  // DEADLINE_EXCEEDED at the context's deadline (outcome unknown). Fills context.reply.
  virtual Task<Result<std::unique_ptr<Message>>> Send(const MethodDescriptor* method, CallContext context,
                                                      std::unique_ptr<Message> request) = 0;
};

// How the processes of one instance know each other: by certificates of its own authority, or, without any, by a shared
// secret over plaintext, which is for one machine alone. With certificates the secret is not sent: the certificate says
// which roles a caller is, the secret could only say that it is one of them, and API keys derive from it.
struct Access {
  std::string token;
  std::string certificate, key, ca;  // paths of PEM files

  bool Certified() const { return !certificate.empty(); }
};

// Into a service of the same process. The service must outlive the channel.
std::unique_ptr<Channel> LocalChannel(Service& service);
// To a service of another process: one connection, kept alive. `address` is host:port; `service` is the name of the
// wanted service ("escrow"): where a process serves several, each of them has a Runtime and an EventLog; and the
// server's certificate must carry that name. Destroying it cancels its calls and waits for gRPC to let go of them; the
// executor must still exist.
std::unique_ptr<Channel> GrpcChannel(Executor executor, std::string address, Access access, std::string service);

const MethodDescriptor* FindMethod(std::string_view full_name);  // ends the program if there is none

// Calls "millrace.escrow.v1.EscrowService.Hold" and the like with types.
template <class Response, class Request>
Task<Result<Response>> Call(Channel& channel, std::string_view method, CallContext context, Request request) {
  const MethodDescriptor* descriptor = FindMethod(method);
  std::unique_ptr<Message> message = std::make_unique<Request>(std::move(request));
  Result<std::unique_ptr<Message>> answer = co_await channel.Send(descriptor, std::move(context), std::move(message));
  if (!answer) co_return std::unexpected<Error>(std::move(answer).error());
  co_return std::move(static_cast<Response&>(**answer));
}

// Serves services to other processes on one port, with grpc.health.v1 beside them. Refuses a taken port, and callers
// without the token; with certificates, callers without one of the same authority, and calls that their roles may not
// make (policy.h).
class GrpcServer {
 public:
  GrpcServer(Executor executor, std::string address, Access access);
  ~GrpcServer();
  void Add(Service& service);
  // The bound port. Errors: INTERNAL, with a cause that names the address.
  Result<int> Start();
  // What grpc.health.v1 says of a service by its name, and of "" (all of them): serving, from Start on, until told
  // otherwise.
  void SetServing(const std::string& service, bool serving);
  // Refuses new calls, waits up to `grace` for those in flight; the loop must keep running meanwhile. Returns on the
  // loop.
  Task<void> Shutdown(std::chrono::milliseconds grace);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::rpc
