// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/grpc_edge.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <set>

#include "common/http/http.h"
#include "common/telemetry/log.h"
#include "common/telemetry/trace.h"
#include "services/gateway/call.h"
#include "services/gateway/contract.h"
#include "services/gateway/transcode.h"

namespace millrace::gateway {
namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

// What one call's answer is made of, beside the answer.
struct Exchange {
  CallContext context;
  const Route* route = nullptr;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

std::string Header(const rpc::EdgeCall& call, std::string_view name) {
  auto found = call.headers.find(name);
  return found == call.headers.end() ? "" : found->second;
}

// The answer as it goes out, and its line in the log.
rpc::EdgeAnswer Finish(const Exchange& exchange, Result<std::unique_ptr<Message>> result) {
  const CallContext& context = exchange.context;
  rpc::EdgeAnswer answer;
  std::string cause, code = "OK";
  if (result) {
    answer.message = *std::move(result);
  } else {
    cause = result.error().cause;
    code = Name(result.error().code);
    answer.status = rpc::ToPublicStatus(result.error(), context.language, context.request_id);
  }
  answer.trailers = {{"request-id", context.request_id}, {"traceparent", context.traceparent}};
  if (!context.reply->etag.empty()) answer.trailers.push_back({"etag", "\"" + context.reply->etag + "\""});
  if (context.reply->replayed) answer.trailers.push_back({"replayed", "true"});
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - exchange.begin);
  std::string organization = context.organization.IsNil() ? "" : FormatId("org", context.organization);
  bool ours = !result && Entry(result.error().code).http_status >= 500;
  telemetry::Log(ours ? telemetry::Level::kWarning : telemetry::Level::kInfo, "grpc.request",
                 {{"method", exchange.route->method->full_name()},
                  {"code", code},
                  {"ms", static_cast<int64_t>(took.count())},
                  {"request_id", context.request_id},
                  {"trace", telemetry::TraceId(context.traceparent)},
                  {"organization", organization},
                  {"key", context.actor},
                  {"cause", cause}});
  return answer;
}

}  // namespace

struct GrpcEdge::State {
  State(runtime::Environment& e, const RoutingTable& table, Admit a) : environment(e), admit(std::move(a)) {
    for (const auto& route : table.routes()) {
      if (!IsSigned(*route)) routes.emplace(route->method, route.get());
    }
  }

  runtime::Environment& environment;
  Admit admit;
  std::map<const MethodDescriptor*, const Route*> routes;  // read by gRPC's threads too
  std::unique_ptr<rpc::EdgeServer> server;
  std::vector<std::unique_ptr<runtime::Probe>> probes;

  // The context so far: what the caller says about the call, not yet who it is.
  Result<void> Begin(const rpc::EdgeCall& call, Exchange* exchange) const {
    exchange->route = routes.at(call.method);
    CallContext& context = exchange->context;
    context = BeginCall(Header(call, "traceparent"), Header(call, "tracestate"), Header(call, "accept-language"));
    context.deadline = std::min<Time>(call.deadline, WallNow() + exchange->route->deadline);
    http::Fields conditions;
    for (const char* name : {"idempotency-key", "if-match"}) {
      if (call.headers.contains(name)) conditions.Set(name, Header(call, name));
    }
    return ReadConditions(conditions, &context);
  }

  Task<Result<std::unique_ptr<Message>>> Call(std::shared_ptr<rpc::EdgeCall> call, Exchange* exchange) {
    MILLRACE_CO_CHECK(Begin(*call, exchange));
    const Route& route = *exchange->route;
    CallContext& context = exchange->context;
    std::string authorization = Header(*call, "authorization");
    Result<void> known = co_await admit(&route, std::move(authorization), call->peer, &context);
    if (!known) co_return std::unexpected<Error>(std::move(known).error());
    Result<std::unique_ptr<Message>> message = co_await call->read(route.body_limit);
    if (!message) co_return std::unexpected<Error>(std::move(message).error());
    if (const auto* field = (*message)->GetDescriptor()->FindFieldByName("validate_only")) {
      context.validate_only = (*message)->GetReflection()->GetBool(**message, field);
    }
    rpc::Channel* channel = &environment.channel(route.service);
    CallContext sent = context;
    std::unique_ptr<Message> request = *std::move(message);
    Result<std::unique_ptr<Message>> answer = co_await channel->Send(route.method, std::move(sent), std::move(request));
    co_return std::move(answer);
  }

  static Task<rpc::EdgeAnswer> Handle(std::shared_ptr<State> self, std::shared_ptr<rpc::EdgeCall> call) {
    if (!self) {  // the process ends
      rpc::EdgeAnswer gone;
      gone.status = rpc::ToStatus(Error(ErrorCode::kUnavailable));
      co_return std::move(gone);
    }
    Exchange exchange;
    Result<std::unique_ptr<Message>> result = Fail(ErrorCode::kInternal);
    try {
      result = co_await self->Call(call, &exchange);
    } catch (const std::exception& failure) {
      result = Fail(Error::Internal(failure.what()));
    }
    rpc::EdgeAnswer answer = Finish(exchange, std::move(result));
    co_return std::move(answer);
  }

  // A service of the contract is healthy while the one that serves it is.
  void WatchServices() {
    std::map<std::string, std::set<std::string>> served;
    for (const auto& [method, route] : routes) served[route->service].insert(method->service()->full_name());
    for (const auto& [name, names] : served) {
      auto changed = [this, names](bool healthy) {
        for (const std::string& each : names) server->SetServing(each, healthy);
      };
      probes.push_back(std::make_unique<runtime::Probe>(environment.executor, environment.channel(name), "gateway",
                                                        std::move(changed)));
      probes.back()->Start();
    }
  }
};

GrpcEdge::GrpcEdge(runtime::Environment& environment, const RoutingTable& table, Admit admit)
    : state_(std::make_shared<State>(environment, table, std::move(admit))) {}

GrpcEdge::~GrpcEdge() {
  for (auto& probe : state_->probes) probe->Stop();
}

Result<int> GrpcEdge::Start() {
  const runtime::Settings& settings = *state_->environment.settings;
  rpc::EdgeOptions options;
  options.address = settings.Get("grpc_address");
  options.certificate = settings.Get("tls_certificate");  // what HTTP has: one edge is not plain while the other is not
  options.key = settings.Get("tls_key");
  options.serves = [state = state_.get()](const MethodDescriptor* method) { return state->routes.contains(method); };
  options.files = ContractFiles();
  // The server lives in the state, so its hooks must not own the state.
  options.handler = [weak = std::weak_ptr<State>(state_)](std::shared_ptr<rpc::EdgeCall> call) {
    return State::Handle(weak.lock(), std::move(call));
  };
  state_->server = std::make_unique<rpc::EdgeServer>(state_->environment.executor, std::move(options));
  MILLRACE_TRY(int port, state_->server->Start());
  state_->WatchServices();
  return port;
}

Task<void> GrpcEdge::Drain(std::chrono::milliseconds grace) {
  for (auto& probe : state_->probes) probe->Stop();
  if (state_->server) co_await state_->server->Shutdown(grace);
}

}  // namespace millrace::gateway
