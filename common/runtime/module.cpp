// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/module.h"

#include <algorithm>

#include "common/base/limits.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"
#include "millrace/events/v1/events.pb.h"
#include "millrace/identity/v1/approvals.pb.h"
#include "millrace/runtime/v1/runtime.pb.h"

namespace millrace::runtime {
namespace {

namespace wire = ::millrace::runtime::v1;

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kObserve{2};
// An older look does not count: a lost database shows within 5 s even if its host only falls silent.
constexpr std::chrono::milliseconds kObservedFor{4500};
constexpr postgres::Statement kObserveStatement = {
    "core_observe",
    "SELECT pg_is_in_recovery(), (SELECT count(*) FROM event WHERE seq IS NULL), "
    "(SELECT count(*) FROM task WHERE due_at <= runtime.now()), "
    "(SELECT count(*) FROM task WHERE due_at <= runtime.now() - interval '1 minute'), "
    "(SELECT count(*) FROM parked_event), (SELECT head FROM event_log)"};

// What the look of a service found, as gauges.
void Show(const std::string& service, postgres::Row row) {
  auto set = [&service](const char* name, const char* help, int64_t value) {
    telemetry::Gauges::Make(name, help, {"service"}).With({service}).Set(static_cast<double>(value));
  };
  set("millrace_relay_lag_events", "Committed events that have no place in the log yet.", row.Int(1));
  set("millrace_tasks_due", "Due work that waits.", row.Int(2));
  set("millrace_tasks_late", "Due work that waits for more than a minute of business time.", row.Int(3));
  set("millrace_events_parked", "Events kept aside, since they or one before them could not be applied.", row.Int(4));
  set("millrace_event_log_head", "The last place in the log.", row.Int(5));
}

postgres::DatabaseOptions Login(const std::string& service, const char* role, const Settings& settings) {
  postgres::DatabaseOptions options;
  options.url = settings.Get("database_url");
  options.schema = service;
  options.role = service + role;
  options.connections = 2;
  return options;
}

// Reads the log of `source` through its channel, which is looked up late: the other service may not be there yet.
events::Pull PullFrom(Environment& environment, std::string source, std::string reader) {
  return [&environment, source, reader](int64_t after, int limit) -> Task<Result<events::v1::ListEventsResponse>> {
    events::v1::ListEventsRequest request;
    request.set_after_seq(after);
    request.set_limit(limit);
    CallContext context = CallContext::ForService(reader);
    rpc::Channel& channel = environment.channel(source);
    Result<events::v1::ListEventsResponse> page = co_await rpc::Call<events::v1::ListEventsResponse>(
        channel, "millrace.events.v1.EventLog.ListEvents", std::move(context), std::move(request));
    if (page) {
      static telemetry::Gauges& lag = telemetry::Gauges::Make(
          "millrace_consumer_lag_events", "Events of another service's log that are still to be applied.",
          {"service", "source"});
      lag.With({reader, source}).Set(static_cast<double>(std::max<int64_t>(page->head_seq() - after, 0)));
    }
    co_return std::move(page);
  };
}

// Asks identity, whichever process it is in. What it cannot be asked does not run.
rpc::ApprovalCheck AskIdentity(Environment& environment, std::string asker) {
  return [&environment, asker](rpc::ApprovalUse use) -> Task<Result<void>> {
    identity::v1::CheckApprovalRequest request;
    request.set_id(use.approval);
    request.set_method(use.method);
    request.set_fingerprint(use.fingerprint);
    request.set_organization_id(FormatId("org", use.organization));
    request.set_member_id(FormatId("usr", use.member));
    CallContext context = CallContext::ForService(asker, use.traceparent);
    context.deadline = std::min(context.deadline, use.deadline);
    rpc::Channel& channel = environment.channel("identity");
    Result<identity::v1::CheckApprovalResponse> stands = co_await rpc::Call<identity::v1::CheckApprovalResponse>(
        channel, "millrace.identity.v1.Approvals.CheckApproval", std::move(context), std::move(request));
    if (!stands) co_return std::unexpected<Error>(std::move(stands).error());
    co_return Result<void>();
  };
}

}  // namespace

void WakeupBus::Listen(std::string source, std::function<void(int64_t)> heard) {
  listeners_.emplace(std::move(source), std::move(heard));
}

void WakeupBus::Heard(const std::string& source, int64_t seq) {
  auto [first, last] = listeners_.equal_range(source);
  for (; first != last; ++first) first->second(seq);
}

void WakeupBus::Announce(const std::string& source, int64_t seq) {
  Heard(source, seq);
  if (forward) forward(source, seq);
}

ServiceCore::ServiceCore(std::string name, Environment& environment)
    : name_(std::move(name)),
      environment_(environment),
      worker_(Login(name_, "_worker", *environment.settings)),
      reader_(Login(name_, "_reader", *environment.settings)),
      service_(name_),
      log_(name_, worker_),
      relay_(environment.executor, log_, [this](int64_t head) { environment_.wakeups->Announce(name_, head); }),
      tasks_(environment.executor, worker_),
      ended_(environment.executor),
      observing_ended_(environment.executor) {
  service_.CheckApprovalsBy(AskIdentity(environment, name_));
  Register();
}

ServiceCore::~ServiceCore() = default;

void ServiceCore::Consume(std::string source, events::Sink& sink) {
  Source& entry = sources_[source];
  entry.sink = &sink;
  entry.consumer =
      std::make_unique<events::Consumer>(environment_.executor, source, PullFrom(environment_, source, name_), sink);
  events::Consumer* consumer = entry.consumer.get();
  environment_.wakeups->Listen(source, [consumer](int64_t) { consumer->Signal(); });
}

void ServiceCore::Committed() {
  relay_.Signal();
  tasks_.Signal();
}

// Before anything starts: the services of a process ask each other while the last of them is starting.
void ServiceCore::Register() {
  service_.On<events::v1::ListEventsRequest, events::v1::ListEventsResponse>(
      "millrace.events.v1.EventLog.ListEvents", [this](CallContext, events::v1::ListEventsRequest request) {
        return log_.List(request.after_seq(), request.limit());
      });
  service_.On<wire::NextDueRequest, wire::NextDueResponse>(
      "millrace.runtime.v1.Runtime.NextDue",
      [this](CallContext, wire::NextDueRequest) -> Task<Result<wire::NextDueResponse>> {
        Result<std::optional<Time>> due = co_await tasks_.NextDue();
        if (!due) co_return std::unexpected<Error>(std::move(due).error());
        wire::NextDueResponse response;
        if (*due) {
          int64_t micros = Micros(**due);
          response.mutable_due_time()->set_seconds(micros / 1000000);
          response.mutable_due_time()->set_nanos(static_cast<int32_t>(micros % 1000000) * 1000);
        }
        co_return std::move(response);
      });
  service_.On<wire::FireRequest, wire::FireResponse>(
      "millrace.runtime.v1.Runtime.Fire", [this](CallContext, wire::FireRequest) -> Task<Result<wire::FireResponse>> {
        Result<int> fired = co_await tasks_.FireAndSettle();
        if (!fired) co_return std::unexpected<Error>(std::move(fired).error());
        wire::FireResponse response;
        response.set_fired(*fired);
        co_return std::move(response);
      });
  service_.On<wire::HeadRequest, wire::HeadResponse>(
      "millrace.runtime.v1.Runtime.Head", [this](CallContext, wire::HeadRequest) -> Task<Result<wire::HeadResponse>> {
        Result<int64_t> head = co_await log_.Stamp();
        if (!head) co_return std::unexpected<Error>(std::move(head).error());
        relay_.Signal();  // tells everybody
        wire::HeadResponse response;
        response.set_seq(*head);
        co_return std::move(response);
      });
  service_.On<wire::PositionRequest, wire::PositionResponse>(
      "millrace.runtime.v1.Runtime.Position",
      [this](CallContext, wire::PositionRequest) -> Task<Result<wire::PositionResponse>> {
        wire::PositionResponse response;
        for (auto& [source, entry] : sources_) {
          std::string name = source;
          Result<int64_t> position = co_await entry.sink->Position(std::move(name));
          if (!position) co_return std::unexpected<Error>(std::move(position).error());
          (*response.mutable_positions())[source] = *position;
        }
        co_return std::move(response);
      });
}

void ServiceCore::Start() {
  relay_.Start();
  tasks_.Start();
  for (auto& [source, entry] : sources_) entry.consumer->Start();
  Spawn(environment_.executor, KeepHouse(), "housekeeping");
  if (!environment_.health) return;
  health_handle_ = environment_.health->Watch([this] { return Database(); });
  observed_ = {true, true, Clock::now()};  // it has just started on it
  Spawn(environment_.executor, Observe(), "observe");
}

Task<void> ServiceCore::Observe() {
  while (!stopped_) {
    postgres::Params params;
    auto begin = Clock::now();
    Result<postgres::Rows> rows = co_await worker_.Query(kObserveStatement, std::move(params));
    if (stopped_) co_return;
    observed_ = {rows.has_value(), rows && !(*rows)[0].Bool(0), begin};
    if (rows) Show(name_, (*rows)[0]);
    co_await observing_ended_.Wait(kObserve);
  }
}

Health::Part ServiceCore::Database() const {
  Health::Part part{name_, "database", true, ""};
  if (!observed_.answered) part.detail = "does not answer";
  if (observed_.answered && !observed_.primary) part.detail = "is not the primary";
  if (Clock::now() - observed_.at > kObservedFor) part.detail = "has not answered for some seconds";
  part.ready = part.detail.empty();
  return part;
}

Task<void> ServiceCore::KeepHouse() {
  while (!stopped_) {
    Result<int64_t> outcomes = limits::kRowsPerPrune, events = limits::kRowsPerPrune;
    while (!stopped_ && outcomes && *outcomes == limits::kRowsPerPrune)
      outcomes = co_await postgres::PruneOutcomes(worker_);
    while (!stopped_ && events && *events == limits::kRowsPerPrune) events = co_await log_.Prune();
    co_await ended_.Wait(std::chrono::hours(1));
  }
}

void ServiceCore::Stop() {
  stopped_ = true;
  if (environment_.health) environment_.health->Forget(health_handle_);
  ended_.Signal();
  observing_ended_.Signal();
  for (auto& [source, entry] : sources_) entry.consumer->Stop();
  tasks_.Stop();
  relay_.Stop();
}

Task<bool> ServiceCore::CatchUpWith(std::string source, std::chrono::milliseconds timeout) {
  auto found = sources_.find(source);
  if (found == sources_.end()) co_return true;
  CallContext context = CallContext::ForService(name_);
  Time end = WallNow() + timeout;
  context.deadline = end;
  wire::HeadRequest request;
  rpc::Channel& channel = environment_.channel(source);
  Result<wire::HeadResponse> head = co_await rpc::Call<wire::HeadResponse>(channel, "millrace.runtime.v1.Runtime.Head",
                                                                           std::move(context), std::move(request));
  if (!head) co_return false;
  while (true) {
    std::string name = source;
    Result<int64_t> position = co_await found->second.sink->Position(std::move(name));
    if (position && *position >= head->seq()) co_return true;
    if (WallNow() >= end) co_return false;
    found->second.consumer->Signal();
    co_await Sleep(std::chrono::milliseconds(2));
  }
}

}  // namespace millrace::runtime
