// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <condition_variable>
#include <mutex>
#include <set>

#include "common/async/pool.h"
#include "common/rpc/channel.h"
#include "common/rpc/grpc.h"
#include "common/rpc/metadata.h"
#include "common/rpc/observe.h"
#include "common/rpc/policy.h"
#include "common/rpc/status.h"

namespace millrace::rpc {
namespace {

using Answer = Result<std::unique_ptr<Message>>;

// One call; lives in the frame of the coroutine that waits for it, until gRPC has called back.
struct ClientCall {
  grpc::ClientContext context;
  grpc::ByteBuffer request, response;
  grpc::Status status;
};

// The calls that gRPC still holds, so that a channel that ends can wait for them.
class InFlight {
 public:
  void Add(ClientCall* call) {
    std::lock_guard lock(mutex_);
    calls_.insert(call);
  }
  void Remove(ClientCall* call) {
    std::lock_guard lock(mutex_);
    calls_.erase(call);
    if (calls_.empty()) empty_.notify_all();
  }
  void CancelAndWait() {
    std::unique_lock lock(mutex_);
    for (ClientCall* call : calls_) call->context.TryCancel();
    empty_.wait(lock, [this] { return calls_.empty(); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  std::set<ClientCall*> calls_;
};

std::shared_ptr<grpc::Channel> Connect(const std::string& address, const Access& access, const std::string& service) {
  grpc::ChannelArguments arguments;
  if (access.Certified()) arguments.SetSslTargetNameOverride(InternalName(service));
  arguments.SetMaxReceiveMessageSize(kGrpcMessageBytes);
  arguments.SetMaxSendMessageSize(kGrpcMessageBytes);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kGrpcMetadataBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Despite its name, how long an attempt to connect may take: on a busy machine a handshake takes a while.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kGrpcKeepaliveMillis);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kGrpcKeepaliveTimeoutMillis);
  return grpc::CreateCustomChannel(address, ClientCredentials(access), arguments);
}

class Remote final : public Channel {
 public:
  Remote(Executor executor, const std::string& address, const Access& access, std::string service)
      : executor_(std::move(executor)),
        token_(access.Certified() ? "" : access.token),
        service_(std::move(service)),
        stub_(Connect(address, access, service_)) {}
  ~Remote() override { in_flight_.CancelAndWait(); }

  Task<Answer> Send(const MethodDescriptor* method, CallContext context, std::unique_ptr<Message> request) override {
    ClientObservation observation(method, "grpc", &context);
    ClientCall call;
    Prepare(method, context, *request, &call);
    std::function<void(std::function<void()>)> start = [this, method, &call](std::function<void()> resume) {
      in_flight_.Add(&call);
      // On gRPC's thread: note the outcome and hop. The call is not touched after `resume`, which may end the coroutine
      // at once.
      auto done = [in_flight = &in_flight_, call = &call, resume = std::move(resume)](grpc::Status status) {
        call->status = std::move(status);
        in_flight->Remove(call);
        resume();
      };
      std::string path = "/" + method->service()->full_name() + "/" + method->name();
      stub_.UnaryCall(&call.context, path, grpc::StubOptions(), &call.request, &call.response, std::move(done));
    };
    co_await millrace::detail::Suspend(std::move(start));
    ReadReply(TrailerLookup(&call.context), context.reply.get());
    Answer answer = Finish(method, &call);
    observation.End(answer);
    co_return std::move(answer);
  }

 private:
  void Prepare(const MethodDescriptor*, const CallContext& context, const Message& request, ClientCall* call) {
    for (MetadataPair& pair : WriteContext(context)) call->context.AddMetadata(pair.name, pair.value);
    if (!token_.empty()) call->context.AddMetadata(std::string(kTokenMetadata), token_);
    call->context.AddMetadata(std::string(kServiceMetadata), service_);
    if (context.deadline != Time::max()) {
      call->context.set_deadline(std::chrono::time_point_cast<std::chrono::system_clock::duration>(context.deadline));
    }
    call->request = ToBuffer(request);
  }

  static MetadataLookup TrailerLookup(const grpc::ClientContext* context) {
    return [context](std::string_view name) -> std::optional<std::string> {
      const auto& trailers = context->GetServerTrailingMetadata();
      auto found = trailers.find(grpc::string_ref(name.data(), name.size()));
      if (found == trailers.end()) return std::nullopt;
      return std::string(found->second.data(), found->second.size());
    };
  }

  static Answer Finish(const MethodDescriptor* method, ClientCall* call) {
    const grpc::Status& status = call->status;
    if (!status.ok()) {
      WireStatus wire{status.error_code(), status.error_message(), status.error_details()};
      return std::unexpected(FromStatus(wire));
    }
    std::unique_ptr<Message> response = NewMessage(method->output_type());
    if (!FromBuffer(&call->response, response.get())) {
      return std::unexpected(Error::Internal("the answer is no " + method->output_type()->full_name()));
    }
    return response;
  }

  Executor executor_;
  std::string token_, service_;
  grpc::GenericStub stub_;
  InFlight in_flight_;
};

}  // namespace

std::unique_ptr<Channel> GrpcChannel(Executor executor, std::string address, Access access, std::string service) {
  PrepareGrpc();
  return std::make_unique<Remote>(std::move(executor), address, access, std::move(service));
}

}  // namespace millrace::rpc
