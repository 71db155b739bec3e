// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/observe.h"

#include <array>
#include <unordered_map>

#include "common/telemetry/metrics.h"

namespace millrace::gateway {
namespace {

constexpr std::array<std::string_view, 8> kMethods = {"GET",   "HEAD",   "POST",    "PUT",
                                                      "PATCH", "DELETE", "OPTIONS", "other"};

size_t IndexOf(std::string_view method) {
  size_t at = 0;
  while (at + 1 < kMethods.size() && kMethods[at] != method) ++at;
  return at;
}

telemetry::Gauge& Open() {
  static telemetry::Gauge& gauge =
      telemetry::Gauges::Make("millrace_http_requests_in_flight", "Requests that are being answered.").With();
  return gauge;
}

}  // namespace

void ObserveRequest(std::string_view method, const std::string& route, int status, std::chrono::nanoseconds took) {
  static telemetry::Histograms& family = telemetry::Histograms::Make(
      "millrace_http_request_duration_seconds",
      "From a request's last byte to its answer, streams to their first byte.", {"method", "route", "status"});
  // The series that were looked up before; routes and statuses are few.
  thread_local std::unordered_map<std::string, std::unordered_map<size_t, telemetry::Histogram*>> known;
  size_t index = IndexOf(method);
  telemetry::Histogram*& histogram = known[route][static_cast<size_t>(status) * kMethods.size() + index];
  if (!histogram) {
    histogram =
        &family.With({std::string(kMethods[index]), route.empty() ? "unmatched" : route, std::to_string(status)});
  }
  histogram->Observe(took.count());
}

InFlight::InFlight() { Open().Add(1); }
InFlight::~InFlight() { Open().Add(-1); }

}  // namespace millrace::gateway
