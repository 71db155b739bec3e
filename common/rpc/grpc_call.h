// SPDX-License-Identifier: Apache-2.0
// One unary call as a gRPC server gets it. Only files of this folder include it.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/async/task.h"
#include "common/rpc/channel.h"
#include "common/rpc/metadata.h"
#include "common/rpc/status.h"

namespace millrace::rpc {

// gRPC's threads hop at once; everything else happens on the loop, where `finished_` alone is touched.
// Held by gRPC until OnDone and by the coroutine that answers.
class InboundCall final : public grpc::ServerGenericBidiReactor {
 public:
  using Serve = std::function<Task<void>(std::shared_ptr<InboundCall>)>;

  // Runs `serve` on the loop before anything is read; it calls Read. `serve` must outlive the server.
  static InboundCall* Accept(const Executor& executor, const Serve& serve, grpc::GenericCallbackServerContext* context);
  // Refuses it at once.
  static InboundCall* Refuse(const Executor& executor, grpc::GenericCallbackServerContext* context,
                             const WireStatus& status);

  // What the caller sent along; valid until the call is finished.
  std::map<std::string, std::string, std::less<>> CopyHeaders() const;
  std::string path() const { return context_->method(); }
  std::string peer() const { return context_->peer(); }  // "ipv4:10.0.0.7:4711"
  Time deadline() const;                                 // Time::max() if there is none
  bool finished() const { return finished_; }

  // Waits for the message; false if the caller went away.
  Task<bool> Read();
  size_t RequestBytes() const { return request_.Length(); }
  // The message, once; false if the bytes are none such.
  bool TakeRequest(Message* message);
  // Ends the call with a message or a status. Does nothing if it has ended.
  void Reply(const Message& response, const std::vector<MetadataPair>& trailers);
  void Reply(const WireStatus& status, const std::vector<MetadataPair>& trailers);

  void OnReadDone(bool ok) override;
  // The caller went away, or a shutdown's grace ended: gRPC gets its end now, the handler runs on.
  void OnCancel() override;
  void OnDone() override { self_.reset(); }

 private:
  InboundCall(Executor executor, const Serve* serve, grpc::GenericCallbackServerContext* context)
      : executor_(std::move(executor)), serve_(serve), context_(context) {}
  bool Begin(const std::vector<MetadataPair>& trailers);

  Executor executor_;
  const Serve* serve_;
  grpc::GenericCallbackServerContext* context_;  // gone after OnDone, which comes after Finish
  grpc::ByteBuffer request_, response_;
  std::function<void(bool)> on_read_;
  bool finished_ = false;
  std::shared_ptr<InboundCall> self_;
};

// Refuses new calls and waits up to `grace` for those in flight; the loop must keep running meanwhile.
Task<void> ShutDown(grpc::Server* server, std::chrono::milliseconds grace);

// "/millrace.escrow.v1.Escrow/Hold" -> its descriptor, or null.
const MethodDescriptor* MethodOfPath(std::string path);

}  // namespace millrace::rpc
