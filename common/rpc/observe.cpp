// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/observe.h"

#include <array>
#include <unordered_map>

#include "common/telemetry/call.h"
#include "common/telemetry/metrics.h"

namespace millrace::rpc {
namespace {

using google::protobuf::MethodDescriptor;
using Answer = Result<std::unique_ptr<google::protobuf::Message>>;

constexpr int kCodes = 17;
constexpr std::array<const char*, kCodes> kCodeNames = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

int CodeOf(const Answer& answer) {
  int code = answer ? 0 : Entry(answer.error().code).grpc_code;
  return code >= 0 && code < kCodes ? code : 2;
}

std::string NameOf(const MethodDescriptor* method) { return method->service()->name() + "." + method->name(); }

using Row = std::array<telemetry::Histogram*, kCodes>;

}  // namespace

ClientObservation::ClientObservation(const MethodDescriptor* method, const char* transport, CallContext* context)
    : method_(method),
      transport_(transport),
      span_(method->full_name(), telemetry::SpanKind::kClient,
            context->traceparent.empty() ? telemetry::CurrentCall().Traceparent()
                                         : std::string_view(context->traceparent)),
      begin_(telemetry::SteadyNanos()) {
  if (context->traceparent.empty()) context->traceparent = telemetry::CurrentCall().Traceparent();
  if (context->request_id.empty()) context->request_id = telemetry::CurrentCall().RequestId();
  if (!span_.recorded()) return;
  span_.Set("rpc.transport", transport);
  context->traceparent = span_.Traceparent(context->traceparent);
}

void ClientObservation::End(const Answer& answer) {
  static telemetry::Histograms& family =
      telemetry::Histograms::Make("millrace_rpc_client_duration_seconds", "A call of a service, as its caller sees it.",
                                  {"method", "transport", "code"}, telemetry::ShortSeconds());
  thread_local std::unordered_map<const MethodDescriptor*, std::unordered_map<const char*, Row>> rows;
  int code = CodeOf(answer);
  telemetry::Histogram*& histogram = rows[method_][transport_][static_cast<size_t>(code)];
  if (!histogram) histogram = &family.With({NameOf(method_), transport_, kCodeNames[static_cast<size_t>(code)]});
  histogram->Observe(telemetry::SteadyNanos() - begin_);
  if (!answer) span_.Fail(Name(answer.error().code));
  span_.End();
}

void ObserveServed(const MethodDescriptor* method, int64_t nanos, const Answer& answer) {
  static telemetry::Histograms& family = telemetry::Histograms::Make(
      "millrace_rpc_server_duration_seconds", "A call that another process made, as the service sees it.",
      {"method", "code"}, telemetry::ShortSeconds());
  thread_local std::unordered_map<const MethodDescriptor*, Row> rows;
  int code = CodeOf(answer);
  telemetry::Histogram*& histogram = rows[method][static_cast<size_t>(code)];
  if (!histogram) histogram = &family.With({NameOf(method), kCodeNames[static_cast<size_t>(code)]});
  histogram->Observe(nanos);
}

}  // namespace millrace::rpc
