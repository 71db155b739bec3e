// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/rpc/awaited.h"
#include "common/rpc/channel.h"
#include "common/rpc/exchange.h"
#include "common/rpc/grpc.h"
#include "common/rpc/metadata.h"
#include "common/rpc/observe.h"
#include "common/rpc/policy.h"
#include "common/rpc/status.h"

namespace millrace::rpc {
namespace {

using runtime::v1::Answers;
using runtime::v1::Calls;
using runtime::v1::IncomingAnswer;
using runtime::v1::OutgoingCall;

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

// One stream to a service, with the calls that wait for their answers. gRPC's threads write on and read on by
// themselves, and hand over to the loop, which alone touches the rest. Held by gRPC until OnDone.
class Stream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                     public std::enable_shared_from_this<Stream> {
 public:
  Stream(Executor executor, grpc::GenericStub* stub, const std::string& token, const std::string& service)
      : executor_(std::move(executor)) {
    if (!token.empty()) context_.AddMetadata(kTokenMetadata, token);
    context_.AddMetadata(kServiceMetadata, service);
    stub->PrepareBidiStreamingCall(&context_, kExchangePath, grpc::StubOptions(), this);
  }

  void Start() {
    held_by_grpc_ = shared_from_this();
    AddHold();  // until the reading has failed: writes start outside of gRPC's callbacks
    StartRead(&incoming_);
    StartCall();
  }
  bool ended() const { return ended_; }
  bool done() const {
    std::lock_guard lock(released_->mutex);
    return released_->done;
  }

  // Its answer comes unless the call is forgotten first. Until it leaves, its timeout is its deadline.
  std::shared_ptr<AwaitedAnswer> Ask(const MethodDescriptor* method, OutgoingCall call) {
    auto awaited = std::make_shared<AwaitedAnswer>(executor_);
    waiting_.emplace(call.id(), Waiting{method, awaited});
    if (outbox_.Add(std::move(call))) {
      AfterThisTurn(executor_, [self = shared_from_this()] {
        if (!self->ended_) self->Write();
      });
    }
    return awaited;
  }
  void Forget(int64_t id) {
    if (waiting_.erase(id) > 0) outbox_.Remove(id);
  }

  // Ends the stream, waits for gRPC to let go of it, and ends its calls.
  void Cancel() {
    context_.TryCancel();
    End();
    {
      std::unique_lock lock(released_->mutex);
      released_->changed.wait(lock, [this] { return released_->done; });
    }
    FailAll();
  }

  void OnReadDone(bool ok) override {
    std::optional<Answers> answers;
    if (ok && !FromBuffer(&incoming_, &answers.emplace())) {
      context_.TryCancel();
      answers.reset();
    }
    incoming_.Clear();
    bool more = answers.has_value();
    if (inbox_.Add(std::move(answers))) {
      boost::asio::post(executor_, [self = shared_from_this()] { self->Deliver(); });
    }
    if (more) StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override { Write(!ok); }
  void OnDone(const grpc::Status& status) override {
    // The stream keeps the channel, and a channel that ends on gRPC's thread would join that thread: the loop lets go.
    std::shared_ptr<Released> released = released_;
    status_ = status;
    boost::asio::post(executor_, [self = std::move(held_by_grpc_)] { self->FailAll(); });
    std::lock_guard lock(released->mutex);  // the executor may be gone once this is known
    released->done = true;
    released->changed.notify_all();
  }

 private:
  struct Released {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  };
  struct Waiting {
    const MethodDescriptor* method;
    std::shared_ptr<AwaitedAnswer> awaited;
  };

  // On the loop while nothing is on its way, else on gRPC's thread.
  void Write(bool lost = false) {
    std::optional<Calls> calls = outbox_.Next(lost);
    if (!calls) return;
    for (OutgoingCall& call : *calls->mutable_calls()) {
      if (call.timeout_micros() == 0) continue;
      Duration left = Time(Duration(call.timeout_micros())) - WallNow();
      call.set_timeout_micros(std::max<int64_t>(left.count(), 1));
    }
    outgoing_ = ToBuffer(*calls);
    StartWrite(&outgoing_);
  }

  // gRPC may let go.
  void End() {
    if (std::exchange(ended_, true)) return;
    RemoveHold();
  }

  void Deliver() {
    for (std::optional<Answers>& answers : inbox_.Take()) {
      if (!answers) return End();  // the other side ended it, or it broke
      for (IncomingAnswer& answer : *answers->mutable_answers()) {
        auto found = waiting_.find(answer.id());
        if (found == waiting_.end()) continue;  // its caller went away at the deadline
        Waiting waiting = std::move(found->second);
        waiting_.erase(found);
        waiting.awaited->Set(Finish(waiting.method, answer), {answer.replayed(), answer.etag()});
      }
    }
  }

  static Answer Finish(const MethodDescriptor* method, const IncomingAnswer& answer) {
    if (!answer.error().empty()) {
      type::ErrorDetail detail;
      if (detail.ParseFromString(answer.error())) return std::unexpected(FromDetail(detail));
      return std::unexpected(Error::Internal("the error of " + method->full_name() + " is none"));
    }
    std::unique_ptr<Message> response = NewMessage(method->output_type());
    if (!response->ParseFromString(answer.response())) {
      return std::unexpected(Error::Internal("the answer is no " + method->output_type()->full_name()));
    }
    return response;
  }

  void FailAll() {
    WireStatus wire{status_.error_code(), status_.error_message(), status_.error_details()};
    if (status_.ok()) wire = {static_cast<int>(grpc::StatusCode::UNAVAILABLE), "the other side drains", ""};
    for (auto& [id, waiting] : std::exchange(waiting_, {})) waiting.awaited->Set(std::unexpected(FromStatus(wire)), {});
  }

  Executor executor_;
  grpc::ClientContext context_;
  grpc::ByteBuffer incoming_, outgoing_;
  Outbox<Calls, OutgoingCall> outbox_{&Calls::mutable_calls};
  Inbox<Answers> inbox_;
  std::unordered_map<int64_t, Waiting> waiting_;
  bool ended_ = false;
  std::shared_ptr<Stream> held_by_grpc_;
  std::shared_ptr<Released> released_ = std::make_shared<Released>();
  grpc::Status status_;
};

class Remote final : public Channel {
 public:
  Remote(Executor executor, const std::string& address, const Access& access, std::string service)
      : executor_(std::move(executor)),
        token_(access.Certified() ? "" : access.token),
        service_(std::move(service)),
        stub_(Connect(address, access, service_)) {}
  ~Remote() override {
    for (const auto& stream : former_) stream->Cancel();
    if (stream_) stream_->Cancel();
  }

  Task<Answer> Send(const MethodDescriptor* method, CallContext context, std::unique_ptr<Message> request) override {
    ClientObservation observation(method, "grpc", &context);
    Answer answer = co_await Exchange(method, std::move(context), std::move(request));
    observation.End(answer);
    co_return std::move(answer);
  }

 private:
  Task<Answer> Exchange(const MethodDescriptor* method, CallContext context, std::unique_ptr<Message> request) {
    OutgoingCall call;
    if (context.deadline != Time::max()) {
      if (context.deadline <= WallNow()) co_return Fail(ErrorCode::kDeadlineExceeded);
      call.set_timeout_micros(context.deadline.time_since_epoch().count());
    }
    int64_t id = ++last_id_;
    call.set_id(id);
    call.set_method(method->full_name());
    WriteContext(context, call.mutable_context());
    request->SerializeToString(call.mutable_request());
    if (call.ByteSizeLong() > kExchangeEntryBytes) co_return TooLong(call.method());
    if (!stream_ || stream_->ended()) {
      std::erase_if(former_, [](const auto& each) { return each->done(); });
      if (stream_) former_.push_back(std::move(stream_));
      stream_ = std::make_shared<Stream>(executor_, &stub_, token_, service_);
      stream_->Start();
    }
    std::shared_ptr<Stream> stream = stream_;
    std::shared_ptr<AwaitedAnswer> awaited = stream->Ask(method, std::move(call));
    Answer answer = co_await AwaitedAnswer::Until(std::move(awaited), context.deadline, context.reply);
    stream->Forget(id);
    co_return std::move(answer);
  }

  Executor executor_;
  std::string token_, service_;
  grpc::GenericStub stub_;
  std::shared_ptr<Stream> stream_;
  std::vector<std::shared_ptr<Stream>> former_;  // that gRPC may hold yet
  int64_t last_id_ = 0;
};

}  // namespace

std::unique_ptr<Channel> GrpcChannel(Executor executor, std::string address, Access access, std::string service) {
  PrepareGrpc();
  return std::make_unique<Remote>(std::move(executor), address, access, std::move(service));
}

}  // namespace millrace::rpc
