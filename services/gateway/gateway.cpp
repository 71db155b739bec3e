// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>

#include "common/base/limits.h"
#include "common/http/http.h"
#include "common/http/json.h"
#include "common/rpc/metadata.h"
#include "common/rpc/scope.h"
#include "common/telemetry/call.h"
#include "common/telemetry/log.h"
#include "common/telemetry/span.h"
#include "common/telemetry/trace.h"
#include "services/gateway/authenticator.h"
#include "services/gateway/call.h"
#include "services/gateway/expand.h"
#include "services/gateway/grpc_edge.h"
#include "services/gateway/limiter.h"
#include "services/gateway/module.h"
#include "services/gateway/negotiate.h"
#include "services/gateway/oauth.h"
#include "services/gateway/observe.h"
#include "services/gateway/pages.h"
#include "services/gateway/patch.h"
#include "services/gateway/routes.h"
#include "services/gateway/stream.h"
#include "services/gateway/transcode.h"

namespace millrace::gateway {
namespace {

using google::protobuf::Message;

// What a signature is over travels as metadata, so it must be little.
constexpr const char* kSignatureFields[] = {"webhook-id", "webhook-timestamp", "webhook-signature"};
const std::string kStreamScope = "events:read";
constexpr size_t kSignedBodyBytes = 4 * 1024;

// What one request's answer is made of, beside the answer.
struct Exchange {
  CallContext context;
  std::string route;             // the template, for the log
  const Route* found = nullptr;  // the RPC's route
  std::optional<Limiter::Decision> quota;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
};

Error NoSuchRoute(const http::Request& request, const RoutingTable& table) {
  std::string near;
  for (const std::string& route : table.Near(request.path)) near += (near.empty() ? "" : ",") + http::JsonString(route);
  return Error(ErrorCode::kNoSuchRoute, {{"method", request.method}, {"path", request.path}})
      .With("routes", "[" + near + "]");
}

// What a refused body should have been (RFC 5789 §3.1, RFC 9110 §12.5.1).
void AddAccepted(const Route& route, http::Response* response) {
  if (response->status != 415 || route.rule.body.empty()) return;
  if (route.patch) response->fields.Set("Accept-Patch", AcceptedTypes(route));
  if (route.rule.method == "POST") response->fields.Set("Accept-Post", AcceptedTypes(route));
}

http::Response Text(std::string media_type, std::string body, int status = 200) {
  http::Response response;
  response.status = status;
  response.fields.Set("Content-Type", std::move(media_type));
  response.fields.Set("Cache-Control", "no-store");
  response.fields.Set("X-Content-Type-Options", "nosniff");
  response.body = std::move(body);
  return response;
}

}  // namespace

struct Gateway::State : std::enable_shared_from_this<State> {
  explicit State(runtime::Environment& e) : environment(e), pages(table) {
    scopes.insert(kStreamScope);
    for (const auto& route : table.routes()) scopes.insert(route->scope);
    const runtime::Settings& settings = *e.settings;
    if (const std::string& url = settings.Get("redis_url"); !url.empty())
      quotas = std::make_unique<redis::QuotaStore>(e.executor, url);
    Limiter::Policy policy{"default", settings.Int("rate_limit_requests"),
                           std::chrono::seconds(settings.Int("rate_limit_window"))};
    limiter = std::make_unique<Limiter>(e.executor, std::move(policy), quotas.get());
  }

  runtime::Environment& environment;
  RoutingTable table;
  Pages pages;
  std::set<std::string> scopes;  // of every route
  Authenticator authenticator;
  std::unique_ptr<redis::QuotaStore> quotas;
  std::unique_ptr<Limiter> limiter;
  std::unique_ptr<http::Server> server;
  std::unique_ptr<GrpcEdge> grpc;
  int grpc_port = 0;
  bool ready = false;

  static Exchange Begin(const http::Request& request) {
    Exchange exchange;
    exchange.context = BeginCall(request.fields.Get("traceparent"), request.fields.Get("tracestate"),
                                 request.fields.Get("Accept-Language"));
    return exchange;
  }

  // A credential is asked for unless the route is public; one that is given must be good in any case.
  Task<Result<void>> Identify(std::string authorization, std::string peer, bool is_public, CallContext* context) {
    if (authorization.empty() && is_public) co_return Result<void>();
    rpc::Channel* identity = &environment.channel("identity");
    Result<void> known =
        co_await authenticator.Authenticate(identity, std::move(authorization), std::move(peer), context);
    co_return known;
  }

  // Counts a known caller's request. Errors: RATE_LIMITED.
  Task<Result<void>> Charge(const CallContext* context, std::optional<Limiter::Decision>* quota) {
    if (context->organization.IsNil()) co_return Result<void>();
    *quota = limiter->TakeAtOnce(*context);
    if (!*quota) {
      CallContext copy = *context;
      *quota = co_await limiter->Take(std::move(copy));
    }
    if (!(*quota)->allowed) co_return Fail(limiter->Refusal(**quota));
    co_return Result<void>();
  }

  // What a call of a route passes before its message is looked at, by whatever transport: credential, scope, quota.
  Task<Result<void>> Admitted(const Route* route, std::string authorization, std::string peer, CallContext* context,
                              std::optional<Limiter::Decision>* quota) {
    bool is_public = route->rules->public_();
    Result<void> known = co_await Identify(std::move(authorization), std::move(peer), is_public, context);
    if (!known) co_return std::unexpected<Error>(std::move(known).error());
    if (!is_public) MILLRACE_CO_CHECK(rpc::CheckScope(context->scopes, route->scope));
    Result<void> charged = co_await Charge(context, quota);
    co_return charged;
  }

  Task<Result<http::Response>> CallRoute(const RoutingTable::Match& match, const http::Request& request,
                                         Exchange* exchange) {
    const Route& route = *match.route;
    CallContext& context = exchange->context;
    context.deadline = WallNow() + route.deadline;
    std::string authorization(request.fields.Get("Authorization"));
    Result<void> known = co_await Admitted(&route, std::move(authorization), request.peer, &context, &exchange->quota);
    if (!known) co_return std::unexpected<Error>(std::move(known).error());
    MILLRACE_CO_CHECK(ReadConditions(request.fields, &context));
    std::string changed;
    if (route.read && !request.body.empty()) {
      Result<std::string> body = co_await ChangedBody(match, request, &context);
      if (!body) co_return std::unexpected<Error>(std::move(body).error());
      changed = *std::move(body);
    }
    std::string_view body = changed.empty() ? std::string_view(request.body) : std::string_view(changed);
    MILLRACE_CO_TRY(ReadRequestResult read, ReadRequest(match, request, body));
    context.validate_only = read.validate_only;
    if (IsSigned(route)) {
      for (const char* name : kSignatureFields) context.headers[name] = std::string(request.fields.Get(name));
      context.raw_body = request.body;
    }
    rpc::Channel* channel = &environment.channel(route.service);
    CallContext sent = context;
    Result<std::unique_ptr<Message>> answer =
        co_await channel->Send(route.method, std::move(sent), std::move(read.message));
    if (!answer) co_return std::unexpected<Error>(std::move(answer).error());
    std::string expanded;
    if (!read.expansions.empty()) {
      Result<std::string> more = co_await Expand(&environment, &table, &route, read.expansions, answer->get(), context);
      if (!more) co_return std::unexpected<Error>(std::move(more).error());
      expanded = *std::move(more);
    }
    co_return WriteResponse(route, request, context, **answer, std::move(expanded));
  }

  // The body of a change as the update RPC takes it: a patch merged into the stored object, or a whole object without
  // what GET added to it. Reads the object with the caller's own rights. Empty: the body may stay as it is.
  Task<Result<std::string>> ChangedBody(const RoutingTable::Match& match, const http::Request& request,
                                        CallContext* context) {
    const Route& route = *match.route;
    std::string strip = StripOf(route);
    const auto* type = route.body_field->message_type();
    if (route.rules->if_match() && context->if_match.empty()) co_return Fail(ErrorCode::kEtagRequired);
    if (MediaType(request.fields.Get("Content-Type")) != AcceptedTypes(route)) co_return std::string();
    JsonValue whole;
    if (!route.patch) {
      MILLRACE_CO_TRY(whole, http::ParseJson(request.body, strip));
      if (whole.kind != JsonValue::Kind::kObject || !HasOutputOnly(type, whole)) co_return std::string();
    } else {
      // The same patch again is the same command, whatever it is merged into.
      MILLRACE_CO_TRY(std::string digest, PatchDigest(request.body, strip));
      context->headers[std::string(rpc::kFingerprintHeader)] = request.path + " " + digest;
    }
    http::Request get = request;
    get.query.clear();
    get.body.clear();
    RoutingTable::Match reading = match;
    reading.route = route.read;
    for (auto& [field, value] : reading.parameters)
      field = route.read->method->input_type()->FindFieldByName(field->name());
    MILLRACE_CO_TRY(ReadRequestResult read, ReadRequest(reading, get));
    CallContext asking = *context;
    asking.idempotency_key.clear();
    asking.if_match.clear();
    asking.headers.clear();
    asking.reply = std::make_shared<ReplyInfo>();
    std::shared_ptr<ReplyInfo> reply = asking.reply;
    rpc::Channel* channel = &environment.channel(route.read->service);
    Result<std::unique_ptr<Message>> stored =
        co_await channel->Send(route.read->method, std::move(asking), std::move(read.message));
    if (!stored) co_return std::unexpected<Error>(std::move(stored).error());
    // What the client read is of another version: the update refuses it, or its answer is kept. Nothing to compare
    // with.
    bool stale = context->if_match != "*" && context->if_match != reply->etag;
    if (context->if_match == "*") context->if_match = reply->etag;
    std::string object = http::WriteJson(**stored);
    if (route.patch) co_return Patched(type, request.body, object, stale, strip);
    MILLRACE_CO_TRY(JsonValue present, http::ParseJson(object));
    DropOutputOnly(type, &whole, &present, stale);
    co_return WriteTree(whole);
  }

  Task<Result<StreamCaller>> CallerOfStream(std::string authorization, std::string peer, CallContext context) {
    StreamCaller caller;
    caller.context = std::move(context);
    caller.context.deadline = WallNow() + limits::kCallDeadline;
    caller.context.reply = std::make_shared<ReplyInfo>();
    rpc::Channel* identity = &environment.channel("identity");
    Result<void> known = co_await authenticator.Authenticate(identity, std::move(authorization), std::move(peer),
                                                             &caller.context, &caller.asked);
    if (!known) co_return std::unexpected<Error>(std::move(known).error());
    MILLRACE_CO_CHECK(rpc::CheckScope(caller.context.scopes, kStreamScope));
    co_return caller;
  }

  Task<Result<http::Response>> Stream(const http::Request& request, Exchange* exchange) {
    std::string authorization(request.fields.Get("Authorization"));
    Feed feed;
    feed.caller = [self = shared_from_this(), authorization, peer = request.peer, context = exchange->context] {
      return self->CallerOfStream(authorization, peer, context);
    };
    Result<StreamCaller> known = co_await feed.caller();
    if (!known) co_return std::unexpected<Error>(std::move(known).error());
    exchange->context.organization = known->context.organization;
    exchange->context.actor = known->context.actor;
    Result<void> charged = co_await Charge(&exchange->context, &exchange->quota);
    if (!charged) co_return std::unexpected<Error>(std::move(charged).error());
    MILLRACE_CO_TRY(notifications::v1::WaitFeedRequest wait, ReadStreamRequest(request));
    feed.notifications = &environment.channel("notifications");
    Result<http::Response> response = co_await OpenStream(std::move(feed), std::move(wait));
    co_return response;
  }

  // Ready: serving, and identity answers, which every request needs. A token that is none must be refused, not
  // unanswered.
  Task<http::Response> Ready() {
    Error error(ErrorCode::kUnavailable);
    if (ready) {
      CallContext context = CallContext::ForService("gateway");
      context.deadline = WallNow() + std::chrono::seconds(2);
      identity::v1::AuthenticateRequest none;
      rpc::Channel* identity = &environment.channel("identity");
      Result<identity::v1::AuthenticateResponse> answer = co_await rpc::Call<identity::v1::AuthenticateResponse>(
          *identity, "millrace.identity.v1.Identity.Authenticate", std::move(context), std::move(none));
      if (!answer) error.code = answer.error().code;
    }
    bool serves = ready && Entry(error.code).http_status < 500;
    co_return serves ? Text("text/plain", "ready\n") : Text("text/plain", "not ready\n", 503);
  }

  // The gateway's own routes; nothing if the path is none of them.
  Task<Result<std::optional<http::Response>>> OwnRoute(const http::Request& request, Exchange* exchange) {
    const std::string& path = request.path;
    std::string_view page = pages.TemplateOf(path);
    if (page.empty() && path != "/livez" && path != "/readyz" && path != "/v1/stream") co_return std::nullopt;
    exchange->route = page.empty() ? path : std::string(page);
    if (request.method != "GET" && request.method != "HEAD") {
      co_return Fail(ErrorCode::kMethodNotAllowed, {{"allow", "GET, HEAD"}});
    }
    if (path == "/livez") co_return Text("text/plain", "alive\n");
    if (!page.empty()) co_return pages.Get(request, exchange->context.language, exchange->context.request_id);
    if (path == "/readyz") {
      http::Response response = co_await Ready();
      co_return response;
    }
    if (!Accepts(request.fields.Get("Accept"), "text/event-stream"))
      co_return Fail(ErrorCode::kNotAcceptable, {{"offer", "text/event-stream"}});
    Result<http::Response> stream = co_await Stream(request, exchange);
    if (!stream) co_return std::unexpected<Error>(std::move(stream).error());
    co_return *std::move(stream);
  }

  Task<Result<http::Response>> Dispatch(const http::Request& request, Exchange* exchange) {
    if (IsOAuthPath(request.path)) {
      exchange->route = request.path;
      rpc::Channel* identity = &environment.channel("identity");
      Place place = PlaceOf(environment.settings->Get("public_url"), request);
      Result<http::Response> answer = co_await AnswerOAuth(identity, request, exchange->context, std::move(place),
                                                           &scopes, authenticator.attempts());
      co_return answer;
    }
    Result<std::optional<http::Response>> own = co_await OwnRoute(request, exchange);
    if (!own) co_return std::unexpected<Error>(std::move(own).error());
    if (*own) co_return **std::move(own);
    RoutingTable::Match match = table.Find(request.method, request.path);
    if (!match.route && !match.allow.empty()) co_return Fail(ErrorCode::kMethodNotAllowed, {{"allow", match.allow}});
    if (!match.route || match.malformed) co_return Fail(NoSuchRoute(request, table));
    exchange->route = match.route->rule.path;
    exchange->found = match.route;
    bool file = match.route->method->output_type()->full_name() == "google.api.HttpBody";
    if (!file && !Accepts(request.fields.Get("Accept"), "application/json"))
      co_return Fail(ErrorCode::kNotAcceptable, {{"offer", "application/json"}});
    Result<http::Response> response = co_await CallRoute(match, request, exchange);
    co_return response;
  }

  // Long bodies are for known callers only. The caller is looked at again when the body is there.
  Task<std::optional<http::Response>> Admit(http::Request head) {
    const Route* route = table.Look(head.method, head.path);
    if (!route || route->rules->public_()) co_return std::nullopt;
    Exchange exchange = Begin(head);
    exchange.route = route->rule.path;
    std::string authorization(head.fields.Get("Authorization"));
    Result<void> known = co_await Identify(std::move(authorization), head.peer, false, &exchange.context);
    if (known) known = rpc::CheckScope(exchange.context.scopes, route->scope);
    if (known) co_return std::nullopt;
    co_return Finish(head, exchange, std::unexpected<Error>(std::move(known).error()));
  }

  Task<http::Response> Handle(http::Request request) {
    InFlight in_flight;
    Exchange exchange = Begin(request);
    std::string_view given = request.fields.Get("traceparent");
    telemetry::Span span("http.request", telemetry::SpanKind::kServer, exchange.context.traceparent, given);
    telemetry::CallScope scope(telemetry::Call::Of(exchange.context.traceparent, exchange.context.request_id));
    Result<http::Response> result = Fail(ErrorCode::kInternal);
    try {
      result = co_await Dispatch(request, &exchange);
    } catch (const std::exception& failure) {
      result = Fail(Error::Internal(failure.what()));
    }
    http::Response response = Finish(request, exchange, std::move(result));
    if (span.recorded()) Describe(request, exchange, response, &span);
    co_return response;
  }

  static void Describe(const http::Request& request, const Exchange& exchange, const http::Response& response,
                       telemetry::Span* span) {
    std::string route = exchange.route.empty() ? "unmatched" : exchange.route;
    span->Name(request.method + " " + route);
    span->Set("http.request.method", request.method);
    span->Set("http.route", route);
    span->Set("http.response.status_code", std::to_string(response.status));
    span->Set("millrace.request_id", exchange.context.request_id);
    auto state = exchange.context.headers.find("tracestate");
    if (state != exchange.context.headers.end()) span->State(state->second);
    if (response.status >= 500) span->Fail(std::to_string(response.status));
  }

  // The answer as it goes out, and its line in the log.
  http::Response Finish(const http::Request& request, const Exchange& exchange, Result<http::Response> result) const {
    const CallContext& context = exchange.context;
    http::Response response;
    std::string cause;
    if (result) {
      response = *std::move(result);
    } else {
      cause = result.error().cause;
      if (exchange.found) PointAtRequest(*exchange.found, &result.error());
      response = http::Problem(result.error(), context.language, context.request_id);
      if (exchange.found) AddAccepted(*exchange.found, &response);
      if (context.reply->replayed) response.fields.Set("Idempotent-Replayed", "true");
    }
    if (response.status == 401 && !IsOAuthPath(request.path))
      response.fields.Set("WWW-Authenticate", Challenge(PlaceOf(environment.settings->Get("public_url"), request).url));
    if (exchange.quota) {
      response.fields.Add("RateLimit-Policy", limiter->PolicyField());
      response.fields.Add("RateLimit", limiter->LimitField(*exchange.quota));
    }
    response.fields.Set("Request-Id", context.request_id);
    response.fields.Set("traceparent", context.traceparent);
    auto lasted = std::chrono::steady_clock::now() - exchange.begin;
    ObserveRequest(request.method, exchange.route, response.status, lasted);
    auto took = std::chrono::duration_cast<std::chrono::milliseconds>(lasted);
    std::string organization = context.organization.IsNil() ? "" : FormatId("org", context.organization);
    auto level = response.status >= 500 ? telemetry::Level::kWarning : telemetry::Level::kInfo;
    telemetry::Log(level, "http.request",
                   {{"method", request.method},
                    {"route", exchange.route},
                    {"status", response.status},
                    {"ms", static_cast<int64_t>(took.count())},
                    {"request_id", context.request_id},
                    {"trace", telemetry::TraceId(context.traceparent)},
                    {"organization", organization},
                    {"key", context.actor},
                    {"cause", cause}});
    return response;
  }

  size_t BodyLimit(std::string_view method, std::string_view path) const {
    const Route* route = table.Look(method, path);
    if (!route) return limits::kHttpBodyBytes;
    return IsSigned(*route) ? kSignedBodyBytes : route->body_limit;
  }
};

Gateway::Gateway(runtime::Environment& environment) : state_(std::make_shared<State>(environment)) {}
Gateway::~Gateway() = default;

Task<Result<int>> Gateway::Start() {
  http::ServerOptions options;
  http::SetAddress(state_->environment.settings->Get("http_address"), &options);
  options.tls_certificate = state_->environment.settings->Get("tls_certificate");
  options.tls_key = state_->environment.settings->Get("tls_key");
  options.connections_per_peer = static_cast<int>(state_->environment.settings->Int("http_connections_per_peer"));
  options.compute = state_->environment.compute;
  // The server lives in the state, so its hooks must not own the state.
  options.body_limit = [state = state_.get()](std::string_view method, std::string_view path) {
    return state->BodyLimit(method, path);
  };
  options.admit = [weak = std::weak_ptr<State>(state_)](http::Request head) -> Task<std::optional<http::Response>> {
    std::shared_ptr<State> state = weak.lock();
    if (!state) co_return Text("text/plain", "not ready\n", 503);
    std::optional<http::Response> refusal = co_await state->Admit(std::move(head));
    co_return refusal;
  };
  http::Handler handler = [weak = std::weak_ptr<State>(state_)](http::Request request) -> Task<http::Response> {
    std::shared_ptr<State> state = weak.lock();
    if (!state) co_return Text("text/plain", "not ready\n", 503);
    http::Response response = co_await state->Handle(std::move(request));
    co_return response;
  };
  state_->server = std::make_unique<http::Server>(state_->environment.executor, std::move(options), std::move(handler));
  if (state_->quotas) state_->quotas->Start();
  MILLRACE_CO_TRY(int port, state_->server->Start());
  MILLRACE_CO_CHECK(StartGrpc());
  state_->ready = true;
  co_return port;
}

Result<void> Gateway::StartGrpc() {
  if (state_->environment.settings->Get("grpc_address").empty()) return {};
  // The edge lives in the state, so its hook must not own the state.
  GrpcEdge::Admit admit = [weak = std::weak_ptr<State>(state_)](const Route* route, std::string authorization,
                                                                std::string peer,
                                                                CallContext* context) -> Task<Result<void>> {
    std::shared_ptr<State> state = weak.lock();
    if (!state) co_return Fail(ErrorCode::kUnavailable);
    std::optional<Limiter::Decision> quota;
    Result<void> known = co_await state->Admitted(route, std::move(authorization), std::move(peer), context, &quota);
    co_return known;
  };
  state_->grpc = std::make_unique<GrpcEdge>(state_->environment, state_->table, std::move(admit));
  MILLRACE_TRY(int port, state_->grpc->Start());
  state_->grpc_port = port;
  telemetry::Log(telemetry::Level::kInfo, "grpc.listens", {{"port", port}});
  return {};
}

int Gateway::grpc_port() const { return state_->grpc_port; }

Task<void> Gateway::Drain() {
  auto state = state_;
  state->ready = false;
  std::chrono::seconds grace(state->environment.settings->Int("drain_seconds"));
  if (state->grpc) co_await state->grpc->Drain(grace);
  if (state->server) co_await state->server->Drain(grace);
  if (state->quotas) state->quotas->Stop();
}

std::unique_ptr<Gateway> MakeGateway(runtime::Environment& environment) {
  return std::make_unique<Gateway>(environment);
}

}  // namespace millrace::gateway
