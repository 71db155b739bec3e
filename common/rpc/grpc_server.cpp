// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <thread>

#include "common/async/pool.h"
#include "common/crypto/crypto.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc.h"
#include "common/rpc/metadata.h"
#include "common/rpc/observe.h"
#include "common/rpc/status.h"
#include "common/telemetry/metrics.h"

namespace millrace::rpc {
namespace {

using Answer = Result<std::unique_ptr<Message>>;

grpc::Status ToGrpc(const Error& error) {
  WireStatus wire = ToStatus(error);
  return grpc::Status(static_cast<grpc::StatusCode>(wire.code), wire.message, wire.details);
}

// The services of a process, by name and by method.
class Directory {
 public:
  void Add(Service& service) { services_.push_back(&service); }
  Service* Find(const std::string& name, const MethodDescriptor* method) const {
    auto fits = [&](Service* s) { return name.empty() ? s->Has(method) : s->name() == name; };
    auto found = std::ranges::find_if(services_, fits);
    return found == services_.end() ? nullptr : *found;
  }

 private:
  std::vector<Service*> services_;
};

// "/millrace.escrow.v1.Escrow/Hold" -> its descriptor, or null.
const MethodDescriptor* MethodOfPath(std::string path) {
  std::ranges::replace(path, '/', '.');
  return path.empty() ? nullptr : google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(path.substr(1));
}

// One call. gRPC's threads read its headers and hop; everything else happens on the loop, where `finished_` alone is
// touched. Held by gRPC until OnDone and by the coroutine that answers.
class ServerCall final : public grpc::ServerGenericBidiReactor {
 public:
  static ServerCall* Begin(const Executor& executor, const Directory& directory, const std::string& token,
                           grpc::GenericCallbackServerContext* context) {
    auto* call = new ServerCall(executor, directory, context);
    call->self_.reset(call);
    if (!crypto::EqualInConstantTime(call->Header(kTokenMetadata).value_or(""), token)) {
      call->finished_ = true;
      call->Finish(ToGrpc(Error(ErrorCode::kUnauthenticated)));
    } else {
      call->StartRead(&call->request_);
    }
    return call;
  }

  void OnReadDone(bool ok) override {
    boost::asio::post(executor_, [call = self_, ok] {
      if (ok) {
        Spawn(call->executor_, Serve(call), "rpc.serve");
      } else if (!call->finished_) {
        call->finished_ = true;
        call->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "no request"));
      }
    });
  }
  // The caller went away, or a shutdown's grace ended: gRPC gets its end now, the handler runs on.
  void OnCancel() override {
    boost::asio::post(executor_, [call = self_] {
      if (call->finished_) return;
      call->finished_ = true;
      call->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "canceled"));
    });
  }
  void OnDone() override { self_.reset(); }

 private:
  ServerCall(Executor executor, const Directory& directory, grpc::GenericCallbackServerContext* context)
      : executor_(std::move(executor)), directory_(directory), context_(context) {}

  std::optional<std::string> Header(std::string_view name) const {
    const auto& headers = context_->client_metadata();
    auto found = headers.find(grpc::string_ref(name.data(), name.size()));
    if (found == headers.end()) return std::nullopt;
    return std::string(found->second.data(), found->second.size());
  }

  static Task<void> Serve(std::shared_ptr<ServerCall> call) {
    if (call->finished_) co_return;
    const MethodDescriptor* method = MethodOfPath(call->context_->method());
    Service* service = nullptr;
    if (method != nullptr) service = call->directory_.Find(call->Header(kServiceMetadata).value_or(""), method);
    if (service == nullptr) {
      Error none(ErrorCode::kNoSuchRoute, {{"method", "RPC"}, {"path", call->context_->method().substr(1)}});
      co_return call->Reply(std::unexpected(std::move(none)), ReplyInfo());
    }
    std::unique_ptr<Message> request = NewMessage(method->input_type());
    if (!FromBuffer(&call->request_, request.get())) {
      Error broken = Error::Internal("the request is no " + method->input_type()->full_name());
      co_return call->Reply(std::unexpected(std::move(broken)), ReplyInfo());
    }
    call->request_.Clear();
    CallContext context = ReadContext([raw = call.get()](std::string_view name) { return raw->Header(name); });
    auto deadline = call->context_->deadline();
    if (deadline != std::chrono::system_clock::time_point::max()) {
      context.deadline = std::chrono::time_point_cast<Duration>(deadline);
    }
    std::shared_ptr<ReplyInfo> reply = context.reply;
    int64_t begin = telemetry::SteadyNanos();
    Answer answer = co_await service->Dispatch(method, std::move(context), std::move(request));
    ObserveServed(method, telemetry::SteadyNanos() - begin, answer);
    call->Reply(std::move(answer), *reply);
  }

  void Reply(Answer answer, const ReplyInfo& reply) {
    if (finished_) return;
    finished_ = true;
    for (MetadataPair& pair : WriteReply(reply)) context_->AddTrailingMetadata(pair.name, pair.value);
    if (!answer) return Finish(ToGrpc(answer.error()));
    response_ = ToBuffer(**answer);
    StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
  }

  Executor executor_;
  const Directory& directory_;
  grpc::GenericCallbackServerContext* context_;  // gone after OnDone, which comes after Finish
  grpc::ByteBuffer request_, response_;
  bool finished_ = false;
  std::shared_ptr<ServerCall> self_;
};

class Entrance final : public grpc::CallbackGenericService {
 public:
  Entrance(Executor executor, std::string token) : executor_(std::move(executor)), token_(std::move(token)) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return ServerCall::Begin(executor_, directory, token_, context);
  }
  Directory directory;

 private:
  Executor executor_;
  std::string token_;
};

}  // namespace

struct GrpcServer::State {
  State(Executor executor, std::string a, std::string token)
      : entrance(std::move(executor), std::move(token)), address(std::move(a)) {}
  Entrance entrance;
  std::string address;
  std::unique_ptr<grpc::Server> server;
};

GrpcServer::GrpcServer(Executor executor, std::string address, std::string token)
    : state_(std::make_unique<State>(std::move(executor), std::move(address), std::move(token))) {
  PrepareGrpc();
}

GrpcServer::~GrpcServer() = default;

void GrpcServer::Add(Service& service) { state_->entrance.directory.Add(service); }

Result<int> GrpcServer::Start() {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(state_->address, grpc::InsecureServerCredentials(), &port);
  builder.RegisterCallbackGenericService(&state_->entrance);
  builder.SetMaxReceiveMessageSize(kGrpcMessageBytes);
  builder.SetMaxSendMessageSize(kGrpcMessageBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kGrpcMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a taken port is refused, not shared
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kGrpcKeepaliveMillis / 2);
  state_->server = builder.BuildAndStart();
  if (!state_->server || port == 0) return Fail(Error::Internal("cannot listen for gRPC on " + state_->address));
  return port;
}

Task<void> GrpcServer::Shutdown(std::chrono::milliseconds grace) {
  if (!state_->server) co_return;
  if (auto* health = state_->server->GetHealthCheckService()) health->SetServingStatus(false);
  std::thread stopper;
  std::function<void(std::function<void()>)> start = [this, grace, &stopper](std::function<void()> resume) {
    // Blocks until every call has ended, for which the loop is needed: never on the loop's thread.
    stopper = std::thread([this, grace, resume = std::move(resume)] {
      state_->server->Shutdown(std::chrono::system_clock::now() + grace);
      resume();
    });
  };
  co_await millrace::detail::Suspend(std::move(start));
  stopper.join();
}

}  // namespace millrace::rpc
