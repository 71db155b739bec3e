// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/exporter.h"

#include <algorithm>
#include <chrono>

#include "common/http/http.h"
#include "common/telemetry/log.h"
#include "common/telemetry/span.h"

namespace millrace::runtime {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kBatchSpans = 512;
constexpr milliseconds kLook{500};
constexpr milliseconds kBatchAge{5000};
constexpr milliseconds kAnswer{5000};
constexpr milliseconds kPauseFirst{1000};
constexpr milliseconds kPauseMax{30000};
constexpr milliseconds kFlush{2000};
constexpr int kAttempts = 8;  // of one batch; then it is dropped

enum class Sent { kTaken, kLater, kRefused };

}  // namespace

struct TraceExporter::State {
  Executor executor;
  std::string endpoint;
  Attributes resource;
  bool stopped = false, sending = false;
  std::string said;  // the failure that was logged last

  Task<Sent> Send(const std::vector<telemetry::SpanRecord>* spans, milliseconds timeout) {
    http::Request request;
    request.method = "POST";
    request.path = "/v1/traces";
    request.fields.Set("Content-Type", "application/json");
    request.body = telemetry::OtlpJson(*spans, resource);
    std::string base = endpoint;
    Result<http::Response> answer = co_await http::Fetch(std::move(base), std::move(request), timeout);
    int status = answer ? answer->status : 0;
    std::string failure;
    if (!answer) failure = answer.error().cause;
    if (answer && status / 100 != 2) failure = "status " + std::to_string(status);
    if (failure != said) {
      said = failure;
      telemetry::Log(failure.empty() ? telemetry::Level::kInfo : telemetry::Level::kWarning,
                     failure.empty() ? "traces.exported" : "traces.not_exported", {{"cause", failure}});
    }
    if (failure.empty()) co_return Sent::kTaken;
    // What OTLP names as worth another try.
    bool later = status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
    co_return later ? Sent::kLater : Sent::kRefused;
  }

  static Task<void> Run(std::shared_ptr<State> state) {
    auto last = Clock::now();
    while (!state->stopped) {
      co_await Sleep(kLook);
      bool due = telemetry::WaitingSpans() >= kBatchSpans || Clock::now() - last >= kBatchAge;
      if (!due || state->stopped) continue;
      last = Clock::now();
      state->sending = true;
      while (telemetry::WaitingSpans() > 0) {
        std::vector<telemetry::SpanRecord> spans = telemetry::TakeSpans(kBatchSpans);
        co_await Deliver(state, std::move(spans));
      }
      state->sending = false;
    }
  }

  static Task<void> Deliver(std::shared_ptr<State> state, std::vector<telemetry::SpanRecord> spans) {
    milliseconds pause = kPauseFirst;
    for (int attempt = 1; attempt <= kAttempts; ++attempt) {
      Sent sent = co_await state->Send(&spans, kAnswer);
      if (sent == Sent::kTaken) co_return telemetry::CountSpans("exported", spans.size());
      if (sent == Sent::kRefused || state->stopped) break;
      auto end = Clock::now() + pause;
      while (!state->stopped && Clock::now() < end) co_await Sleep(kLook);
      pause = std::min(pause * 2, kPauseMax);
    }
    telemetry::CountSpans("dropped", spans.size());
  }
};

TraceExporter::TraceExporter(Executor executor, std::string endpoint, Attributes resource)
    : state_(std::make_shared<State>(std::move(executor), std::move(endpoint), std::move(resource))) {
  while (state_->endpoint.ends_with('/')) state_->endpoint.pop_back();
}

TraceExporter::~TraceExporter() {
  state_->stopped = true;
  telemetry::RecordSpans(false);
}

void TraceExporter::Start() {
  telemetry::RecordSpans(true);
  Spawn(state_->executor, State::Run(state_), "traces");
}

Task<void> TraceExporter::Flush() {
  auto state = state_;
  telemetry::RecordSpans(false);
  state->stopped = true;
  auto end = Clock::now() + kFlush;
  while (state->sending && Clock::now() < end) co_await Sleep(milliseconds(10));
  while (telemetry::WaitingSpans() > 0 && Clock::now() < end) {
    std::vector<telemetry::SpanRecord> spans = telemetry::TakeSpans(kBatchSpans);
    auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
    Sent sent = co_await state->Send(&spans, left);
    telemetry::CountSpans(sent == Sent::kTaken ? "exported" : "dropped", spans.size());
    if (sent != Sent::kTaken) co_return;
  }
}

}  // namespace millrace::runtime
