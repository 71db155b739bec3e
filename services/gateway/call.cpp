// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/call.h"

#include "common/base/limits.h"
#include "common/http/http.h"
#include "common/telemetry/span.h"
#include "common/telemetry/trace.h"

namespace millrace::gateway {
namespace {

constexpr size_t kTraceStateBytes = 512;

}  // namespace

CallContext BeginCall(std::string_view traceparent, std::string_view tracestate, std::string_view accept_language) {
  CallContext context;
  context.request_id = FormatId("req", Uuid::New());
  bool followed = telemetry::IsTraceparent(traceparent);
  context.traceparent =
      followed ? telemetry::ChildTraceparent(traceparent) : telemetry::NewTraceparent(telemetry::RecordsSpans());
  if (followed && !tracestate.empty() && tracestate.size() <= kTraceStateBytes)
    context.headers["tracestate"] = std::string(tracestate);
  context.language = http::PreferredLanguage(accept_language);
  context.deadline = WallNow() + limits::kCallDeadline;
  return context;
}

}  // namespace millrace::gateway
