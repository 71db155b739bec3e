// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/async/task.h"

namespace millrace::runtime {

// Sends spans to a collector: OTLP/HTTP in JSON, POST <endpoint>/v1/traces, up to 512 at once, at the latest 5 s after
// they ended. What a collector does not take is tried again with growing pauses, meanwhile the queue fills and then
// drops (telemetry::kSpansWaiting); nothing else of the process waits for it. Lives on the loop.
class TraceExporter {
 public:
  using Attributes = std::vector<std::pair<std::string, std::string>>;
  TraceExporter(Executor executor, std::string endpoint, Attributes resource);
  ~TraceExporter();
  // Turns the recording of spans on.
  void Start();
  // Ends the recording and sends what waits, for at most 2 s. For the end of a process.
  Task<void> Flush();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace millrace::runtime
