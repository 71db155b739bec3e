// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "common/telemetry/metrics.h"

namespace millrace::postgres {

// How long a statement of a service took, round trip included. Takes a lock: keep the reference.
inline telemetry::Histogram& StatementSeconds(const std::string& service, const char* statement) {
  static telemetry::Histograms& family = telemetry::Histograms::Make(
      "millrace_postgres_statement_duration_seconds", "One execution of a statement, round trip included.",
      {"service", "statement"}, telemetry::ShortSeconds());
  return family.With({service, statement});
}

}  // namespace millrace::postgres
