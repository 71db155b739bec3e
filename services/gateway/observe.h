// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace millrace::gateway {

// Counts an answered request: millrace_http_request_duration_seconds{method,route,status}. `route` is the template; an
// empty one is "unmatched", and a method that HTTP does not know is "other", so that no caller makes series.
void ObserveRequest(std::string_view method, const std::string& route, int status, std::chrono::nanoseconds took);

// A request that is being answered: millrace_http_requests_in_flight.
class InFlight {
 public:
  InFlight();
  ~InFlight();
  InFlight(const InFlight&) = delete;
};

}  // namespace millrace::gateway
