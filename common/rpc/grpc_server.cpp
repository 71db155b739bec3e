// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpc/grpc_security_constants.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/auth_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <map>
#include <optional>
#include <utility>

#include "common/crypto/crypto.h"
#include "common/rpc/awaited.h"
#include "common/rpc/channel.h"
#include "common/rpc/exchange.h"
#include "common/rpc/grpc.h"
#include "common/rpc/grpc_call.h"
#include "common/rpc/metadata.h"
#include "common/rpc/observe.h"
#include "common/rpc/policy.h"
#include "common/rpc/status.h"
#include "common/telemetry/metrics.h"

namespace millrace::rpc {
namespace {

using runtime::v1::Answers;
using runtime::v1::Calls;
using runtime::v1::IncomingAnswer;
using runtime::v1::OutgoingCall;

using PeerNames = std::set<std::string, std::less<>>;

// The calls of one process to one service. gRPC's threads write on and read on by themselves, and hand over to the
// loop, which alone touches the rest. Held by gRPC until OnDone, and by the calls in flight.
class InboundStream final : public grpc::ServerGenericBidiReactor, public std::enable_shared_from_this<InboundStream> {
 public:
  InboundStream(Executor executor, Service* service, std::optional<PeerNames> roles)
      : executor_(std::move(executor)), service_(service), roles_(std::move(roles)) {}

  void Start() {
    held_by_grpc_ = shared_from_this();
    StartRead(&incoming_);
  }
  // Answers what is in flight and refuses what comes; then ends.
  void Drain() {
    draining_ = true;
    EndIfDrained();
  }

  void OnReadDone(bool ok) override {
    std::optional<Calls> calls;
    if (ok && !FromBuffer(&incoming_, &calls.emplace())) calls.reset();
    incoming_.Clear();
    bool more = calls.has_value();
    if (more) Take(&*calls);
    if (inbox_.Add(std::move(calls))) {
      boost::asio::post(executor_, [self = shared_from_this()] { self->Deliver(); });
    }
    if (!more) return;
    paused_ = true;
    ReadOn();
  }
  void OnWriteDone(bool ok) override { Write(!ok); }
  // The caller went away, or a shutdown's grace ended: gRPC gets its end now, the handlers run on.
  void OnCancel() override {
    boost::asio::post(executor_, [self = shared_from_this()] {
      self->End(grpc::Status(grpc::StatusCode::CANCELLED, "canceled"));
    });
  }
  void OnDone() override { held_by_grpc_.reset(); }

 private:
  // From now on the timeout of a call is its deadline: what it waits for the loop counts.
  void Take(Calls* calls) {
    in_flight_ += calls->calls_size();
    int64_t now = WallNow().time_since_epoch().count();
    for (OutgoingCall& call : *calls->mutable_calls()) {
      if (call.timeout_micros() > 0) call.set_timeout_micros(now + call.timeout_micros());
    }
  }
  void Deliver() {
    for (std::optional<Calls>& calls : inbox_.Take()) {
      if (!calls) return End(grpc::Status::OK);  // the caller went away
      if (ended_ || closing_) continue;          // the stream's end is their answer
      for (OutgoingCall& call : *calls->mutable_calls()) {
        Spawn(executor_, Serve(shared_from_this(), std::move(call)), "rpc.serve");
      }
    }
  }
  void ReadOn() {
    if (in_flight_ < kExchangeCallsInFlight && paused_.exchange(false)) StartRead(&incoming_);
  }

  static Task<void> Serve(std::shared_ptr<InboundStream> self, OutgoingCall call) {
    CallContext context = ReadContext(call.context());
    std::shared_ptr<ReplyInfo> reply = context.reply;
    int64_t id = call.id();
    ++self->serving_;
    Answer answer = co_await Dispatch(self.get(), std::move(call), std::move(context));
    --self->serving_;
    self->Reply(id, answer, *reply);
  }

  static Task<Answer> Dispatch(InboundStream* self, OutgoingCall call, CallContext context) {
    if (self->draining_) co_return Fail(ErrorCode::kUnavailable);
    if (call.timeout_micros() > 0) context.deadline = Time(Duration(call.timeout_micros()));
    const auto* pool = google::protobuf::DescriptorPool::generated_pool();
    const MethodDescriptor* method = pool->FindMethodByName(call.method());
    if (method == nullptr) co_return NoSuchRoute(call.method());
    if (self->roles_) MILLRACE_CO_CHECK(CheckPeer(method, *self->roles_, context));
    if (self->service_ == nullptr) co_return NoSuchRoute(call.method());
    std::unique_ptr<Message> request = NewMessage(method->input_type());
    if (!request->ParseFromString(call.request())) {
      co_return Fail(Error::Internal("the request is no " + method->input_type()->full_name()));
    }
    int64_t begin = telemetry::SteadyNanos();
    Answer answer = co_await self->service_->Dispatch(method, std::move(context), std::move(request));
    ObserveServed(method, telemetry::SteadyNanos() - begin, answer);
    co_return std::move(answer);
  }
  static std::unexpected<Error> NoSuchRoute(const std::string& method) {
    return Fail(ErrorCode::kNoSuchRoute, {{"method", "RPC"}, {"path", method}});
  }

  void Reply(int64_t id, const Answer& answer, const ReplyInfo& reply) {
    if (ended_) return;
    IncomingAnswer out;
    if (answer && (*answer)->ByteSizeLong() <= kExchangeEntryBytes) {
      (*answer)->SerializeToString(out.mutable_response());
    } else {
      ToDetail(answer ? TooLong((*answer)->GetTypeName()).error() : answer.error())
          .SerializeToString(out.mutable_error());
    }
    out.set_id(id);
    out.set_replayed(reply.replayed);
    out.set_etag(reply.etag);
    if (outbox_.Add(std::move(out))) {
      AfterThisTurn(executor_, [self = shared_from_this()] { self->Write(); });
    }
    --in_flight_;
    ReadOn();
    EndIfDrained();
  }
  // On the loop while nothing is on its way, else on gRPC's thread.
  void Write(bool lost = false) {
    bool closed = false;
    if (std::optional<Answers> answers = outbox_.Next(lost, &closed)) {
      outgoing_ = ToBuffer(*answers);
      StartWrite(&outgoing_);
    } else if (closed) {
      Finish(status_);
    } else if (draining_) {
      boost::asio::post(executor_, [self = shared_from_this()] { self->EndIfDrained(); });
    }
  }
  // Callers may go on and on: after the last answer to what was taken on, nobody is even refused.
  void EndIfDrained() {
    if (!draining_ || serving_ > 0) return;
    closing_ = true;
    if (outbox_.idle()) End(grpc::Status::OK);
  }
  // Once the message on its way has left; no answer follows.
  void End(const grpc::Status& status) {
    if (std::exchange(ended_, true)) return;
    status_ = status;
    if (outbox_.Close()) Finish(status_);
  }

  Executor executor_;
  Service* service_;
  std::optional<PeerNames> roles_;  // unset: the token was asked for
  grpc::ByteBuffer incoming_, outgoing_;
  Outbox<Answers, IncomingAnswer> outbox_{&Answers::mutable_answers};
  Inbox<Calls> inbox_;
  std::atomic<int> in_flight_ = 0;
  std::atomic<bool> paused_ = false, draining_ = false;
  int serving_ = 0;  // calls whose handlers run
  bool ended_ = false, closing_ = false;
  grpc::Status status_;
  std::shared_ptr<InboundStream> held_by_grpc_;
};

// The roles that the caller's certificate names; none without one.
PeerNames RolesOf(const grpc::GenericCallbackServerContext& context) {
  PeerNames roles;
  std::shared_ptr<const grpc::AuthContext> caller = context.auth_context();
  if (!caller || !caller->IsPeerAuthenticated()) return roles;
  for (const grpc::string_ref& name : caller->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
    std::string_view role = RoleOfName(std::string_view(name.data(), name.size()));
    if (!role.empty()) roles.emplace(role);
  }
  return roles;
}

// The live streams of a server. On the loop.
struct Streams {
  std::vector<std::weak_ptr<InboundStream>> live;
  bool draining = false;

  void Enter(const std::shared_ptr<InboundStream>& stream) {
    if (draining) return stream->Drain();
    std::erase_if(live, [](const auto& each) { return each.expired(); });
    live.push_back(stream);
  }
  // Ends each of them after its last answer, those too that come yet.
  void Drain() {
    draining = true;
    for (const auto& stream : std::exchange(live, {})) {
      if (auto still = stream.lock()) still->Drain();
    }
  }
};

class Entrance final : public grpc::CallbackGenericService {
 public:
  Entrance(Executor executor, const Access& access)
      : executor_(std::move(executor)), token_(access.token), certified_(access.Certified()) {}

  void Add(Service& service) { services_.push_back(&service); }
  const std::vector<Service*>& services() const { return services_; }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    if (!certified_ && !crypto::EqualInConstantTime(Header(*context, kTokenMetadata), token_)) {
      return InboundCall::Refuse(executor_, context, ToStatus(Error(ErrorCode::kUnauthenticated)));
    }
    if (context->method() != kExchangePath) {
      WireStatus none{static_cast<int>(grpc::StatusCode::UNIMPLEMENTED), "only Exchange is served here", ""};
      return InboundCall::Refuse(executor_, context, none);
    }
    std::string_view wanted = Header(*context, kServiceMetadata);
    auto service = std::ranges::find_if(services_, [&](Service* s) { return s->name() == wanted; });
    auto stream = std::make_shared<InboundStream>(executor_, service == services_.end() ? nullptr : *service,
                                                  certified_ ? std::optional(RolesOf(*context)) : std::nullopt);
    boost::asio::post(executor_, [streams = streams_, stream] { streams->Enter(stream); });
    stream->Start();
    return stream.get();
  }

  void Drain() { streams_->Drain(); }

 private:
  static std::string_view Header(const grpc::GenericCallbackServerContext& context, const char* name) {
    auto found = context.client_metadata().find(name);
    if (found == context.client_metadata().end()) return {};
    return {found->second.data(), found->second.size()};
  }

  Executor executor_;
  std::string token_;
  bool certified_;
  std::vector<Service*> services_;
  std::shared_ptr<Streams> streams_ = std::make_shared<Streams>();
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

void GrpcServer::Add(Service& service) { state_->entrance.Add(service); }

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
  for (Service* service : state_->entrance.services()) SetServing(service->name(), true);
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
  state_->entrance.Drain();
  co_await ShutDown(state_->server.get(), grace);
}

}  // namespace millrace::rpc
