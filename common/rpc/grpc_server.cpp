// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <map>
#include <thread>

#include "common/async/pool.h"
#include "common/crypto/crypto.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc.h"
#include "common/rpc/grpc_call.h"
#include "common/rpc/metadata.h"
#include "common/rpc/observe.h"
#include "common/rpc/policy.h"
#include "common/rpc/status.h"
#include "common/telemetry/metrics.h"

namespace millrace::rpc {
namespace {

using Answer = Result<std::unique_ptr<Message>>;

// The services of a process, by name.
class Directory {
 public:
  void Add(Service& service) { services_.push_back(&service); }
  const std::vector<Service*>& services() const { return services_; }
  Service* Find(const std::string& name) const {
    auto found = std::ranges::find_if(services_, [&](Service* s) { return s->name() == name; });
    return found == services_.end() ? nullptr : *found;
  }

 private:
  std::vector<Service*> services_;
};

class Entrance final : public grpc::CallbackGenericService {
 public:
  Entrance(Executor executor, const Access& access)
      : executor_(std::move(executor)), token_(access.token), certified_(access.Certified()) {
    serve_ = [this](std::shared_ptr<InboundCall> call) { return Serve(std::move(call)); };
  }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    if (!certified_) {
      const auto& headers = context->client_metadata();
      auto shown = headers.find(grpc::string_ref(kTokenMetadata.data(), kTokenMetadata.size()));
      std::string_view token;
      if (shown != headers.end()) token = {shown->second.data(), shown->second.size()};
      if (!crypto::EqualInConstantTime(token, token_)) {
        return InboundCall::Refuse(executor_, context, ToStatus(Error(ErrorCode::kUnauthenticated)));
      }
    }
    return InboundCall::ReadThenServe(executor_, serve_, context);
  }
  Directory directory;

 private:
  Answer Refused(const InboundCall& call) const {
    return Fail(ErrorCode::kNoSuchRoute, {{"method", "RPC"}, {"path", call.path().substr(1)}});
  }

  Task<void> Serve(std::shared_ptr<InboundCall> call) {
    if (call->finished()) co_return;  // its headers are gone
    CallContext context = ReadContext(call->Headers());
    context.deadline = call->deadline();
    std::shared_ptr<ReplyInfo> reply = context.reply;
    Answer answer = co_await Dispatch(call, std::move(context));
    if (answer) {
      call->Reply(**answer, WriteReply(*reply));
    } else {
      call->Reply(ToStatus(answer.error()), WriteReply(*reply));
    }
  }

  Task<Answer> Dispatch(std::shared_ptr<InboundCall> call, CallContext context) {
    const MethodDescriptor* method = MethodOfPath(call->path());
    if (method == nullptr) co_return Refused(*call);
    if (certified_) MILLRACE_CO_CHECK(CheckPeer(method, call->PeerRoles(), context));
    Service* service = directory.Find(call->Header(kServiceMetadata).value_or(""));
    if (service == nullptr) co_return Refused(*call);
    std::unique_ptr<Message> request = NewMessage(method->input_type());
    if (!call->TakeRequest(request.get())) {
      co_return Fail(Error::Internal("the request is no " + method->input_type()->full_name()));
    }
    int64_t begin = telemetry::SteadyNanos();
    Answer answer = co_await service->Dispatch(method, std::move(context), std::move(request));
    ObserveServed(method, telemetry::SteadyNanos() - begin, answer);
    co_return std::move(answer);
  }

  Executor executor_;
  std::string token_;
  bool certified_;
  InboundCall::Serve serve_;
};

}  // namespace

struct GrpcServer::State {
  State(Executor executor, std::string a, Access access)
      : entrance(std::move(executor), access), address(std::move(a)), access(std::move(access)) {}
  Entrance entrance;
  std::string address;
  Access access;
  std::unique_ptr<grpc::Server> server;
  std::map<std::string, bool> serving;
};

GrpcServer::GrpcServer(Executor executor, std::string address, Access access)
    : state_(std::make_unique<State>(std::move(executor), std::move(address), std::move(access))) {
  PrepareGrpc();
}

GrpcServer::~GrpcServer() = default;

void GrpcServer::Add(Service& service) { state_->entrance.directory.Add(service); }

Result<int> GrpcServer::Start() {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(state_->address, MutualServerCredentials(state_->access), &port);
  builder.RegisterCallbackGenericService(&state_->entrance);
  builder.SetMaxReceiveMessageSize(kGrpcMessageBytes);
  builder.SetMaxSendMessageSize(kGrpcMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kGrpcMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a taken port is refused, not shared
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kGrpcKeepaliveMillis / 2);
  state_->server = builder.BuildAndStart();
  if (!state_->server || port == 0) return Fail(Error::Internal("cannot listen for gRPC on " + state_->address));
  for (Service* service : state_->entrance.directory.services()) SetServing(service->name(), true);
  return port;
}

void GrpcServer::SetServing(const std::string& service, bool serving) {
  auto* health = state_->server ? state_->server->GetHealthCheckService() : nullptr;
  if (!health) return;
  state_->serving[service] = serving;
  health->SetServingStatus(service, serving);
  health->SetServingStatus("", std::ranges::all_of(state_->serving, [](const auto& entry) { return entry.second; }));
}

Task<void> GrpcServer::Shutdown(std::chrono::milliseconds grace) {
  if (!state_->server) co_return;
  co_await ShutDown(state_->server.get(), grace);
}

}  // namespace millrace::rpc
