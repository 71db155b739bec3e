// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/edge_server.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <thread>

#include "common/async/pool.h"
#include "common/base/limits.h"
#include "common/rpc/grpc.h"
#include "common/rpc/grpc_call.h"
#include "common/rpc/reflection.h"

namespace millrace::rpc {
namespace {

constexpr int kCallsPerConnection = 100;
constexpr size_t kQuotaBytes = 256 * 1024 * 1024;
constexpr int kHandshakeMillis = 10'000;
constexpr int kIdleMillis = 300'000;

// "10.0.0.7" of "ipv4:10.0.0.7:4711", "::1" of "ipv6:%5B::1%5D:4711".
std::string AddressOf(std::string peer) {
  size_t scheme = peer.find(':'), port = peer.rfind(':');
  if (scheme == peer.npos || port <= scheme) return peer;
  peer = peer.substr(scheme + 1, port - scheme - 1);
  for (const char* bracket : {"%5B", "%5D", "[", "]"}) {
    if (size_t at = peer.find(bracket); at != peer.npos) peer.erase(at, std::string_view(bracket).size());
  }
  return peer;
}

Task<Result<std::unique_ptr<Message>>> ReadMessage(std::shared_ptr<InboundCall> call, const MethodDescriptor* method,
                                                   size_t limit) {
  bool there = co_await call->Read();
  if (!there) co_return Fail(ErrorCode::kUnavailable);
  if (call->RequestBytes() > limit) co_return Fail(ErrorCode::kPayloadTooLarge, {{"max", std::to_string(limit)}});
  std::unique_ptr<Message> message = NewMessage(method->input_type());
  if (!call->TakeRequest(message.get())) {
    co_return Fail(Error::At("#", ErrorCode::kInvalidFormat, {{"expected", method->input_type()->full_name()}}));
  }
  message->DiscardUnknownFields();
  co_return std::move(message);
}

class Entrance final : public grpc::CallbackGenericService {
 public:
  Entrance(Executor executor, EdgeOptions options)
      : executor_(std::move(executor)), options_(std::move(options)), contract_(options_.files, options_.serves) {
    serve_ = [this](std::shared_ptr<InboundCall> call) { return Serve(std::move(call)); };
  }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    if (IsReflection(context->method())) return ServeReflection(contract_);
    const MethodDescriptor* method = MethodOfPath(context->method());
    if (!method || !options_.serves(method)) {
      WireStatus none{static_cast<int>(grpc::StatusCode::UNIMPLEMENTED), "there is no such method", ""};
      return InboundCall::Refuse(executor_, context, none);
    }
    return InboundCall::Accept(executor_, serve_, context);
  }

  const EdgeOptions& options() const { return options_; }
  const PublicContract& contract() const { return contract_; }

 private:
  Task<void> Serve(std::shared_ptr<InboundCall> inbound) {
    if (inbound->finished()) co_return;  // its headers are gone
    auto call = std::make_shared<EdgeCall>();
    call->method = MethodOfPath(inbound->path());
    call->peer = AddressOf(inbound->peer());
    call->headers = inbound->CopyHeaders();
    call->deadline = inbound->deadline();
    call->read = [inbound, method = call->method](size_t limit) { return ReadMessage(inbound, method, limit); };
    EdgeAnswer answer = co_await options_.handler(call);
    call->read = nullptr;
    if (answer.message) {
      inbound->Reply(*answer.message, answer.trailers);
    } else {
      inbound->Reply(answer.status, answer.trailers);
    }
  }

  Executor executor_;
  EdgeOptions options_;
  PublicContract contract_;
  InboundCall::Serve serve_;
};

}  // namespace

struct EdgeServer::State {
  State(Executor executor, EdgeOptions options) : entrance(std::move(executor), std::move(options)) {}
  Entrance entrance;
  std::unique_ptr<grpc::Server> server;
  std::map<std::string, bool> serving;
};

EdgeServer::EdgeServer(Executor executor, EdgeOptions options) {
  PrepareGrpc();
  state_ = std::make_unique<State>(std::move(executor), std::move(options));
}

EdgeServer::~EdgeServer() = default;

Result<int> EdgeServer::Start() {
  grpc::EnableDefaultHealthCheckService(true);
  const EdgeOptions& options = state_->entrance.options();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.address, PublicServerCredentials(options.certificate, options.key), &port);
  builder.RegisterCallbackGenericService(&state_->entrance);
  builder.SetMaxReceiveMessageSize(kGrpcMessageBytes);
  builder.SetMaxSendMessageSize(kGrpcMessageBytes);
  builder.SetResourceQuota(grpc::ResourceQuota("edge").Resize(kQuotaBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(limits::kHttpHeaderBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kCallsPerConnection);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeMillis);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleMillis);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a taken port is refused, not shared
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kGrpcKeepaliveMillis / 2);
  state_->server = builder.BuildAndStart();
  if (!state_->server || port == 0) return Fail(Error::Internal("cannot listen for gRPC on " + options.address));
  for (const std::string& service : state_->entrance.contract().services()) SetServing(service, true);
  return port;
}

void EdgeServer::SetServing(const std::string& service, bool serving) {
  auto* health = state_->server ? state_->server->GetHealthCheckService() : nullptr;
  if (!health) return;
  state_->serving[service] = serving;
  health->SetServingStatus(service, serving);
  health->SetServingStatus("", std::ranges::all_of(state_->serving, [](const auto& entry) { return entry.second; }));
}

Task<void> EdgeServer::Shutdown(std::chrono::milliseconds grace) {
  if (!state_->server) co_return;
  co_await ShutDown(state_->server.get(), grace);
}

}  // namespace millrace::rpc
