// SPDX-License-Identifier: Apache-2.0
#include "common/telemetry/span.h"

#include <atomic>
#include <ctime>
#include <deque>
#include <mutex>

#include "common/telemetry/metrics.h"
#include "common/telemetry/text.h"
#include "common/telemetry/trace.h"

namespace millrace::telemetry {
namespace {

std::atomic<bool> g_records{false};

struct Queue {
  std::mutex mutex;
  std::deque<SpanRecord> spans;
};

Queue& TheQueue() {
  static auto* queue = new Queue;
  return *queue;
}

std::unique_ptr<SpanRecord> Begin(std::string_view name, SpanKind kind, std::string_view own, std::string_view parent) {
  auto record = std::make_unique<SpanRecord>();
  record->name = name;
  record->kind = kind;
  record->trace_id = own.substr(3, 32);
  record->span_id = own.substr(36, 16);
  if (IsTraceparent(parent)) record->parent_id = parent.substr(36, 16);
  record->start_nanos = UnixNanos();
  return record;
}

void AppendPairs(std::string& out, const std::vector<std::pair<std::string, std::string>>& pairs) {
  out += '[';
  for (const auto& [name, value] : pairs) {
    if (out.back() != '[') out += ',';
    out += "{\"key\":";
    AppendString(out, name);
    out += ",\"value\":{\"stringValue\":";
    AppendString(out, value);
    out += "}}";
  }
  out += ']';
}

void AppendSpan(std::string& out, const SpanRecord& span) {
  out += "{\"traceId\":\"" + span.trace_id + "\",\"spanId\":\"" + span.span_id + "\",\"parentSpanId\":\"" +
         span.parent_id + "\",\"flags\":1,\"name\":";
  AppendString(out, span.name);
  if (!span.trace_state.empty()) {
    out += ",\"traceState\":";
    AppendString(out, span.trace_state);
  }
  out += ",\"kind\":" + std::to_string(static_cast<int>(span.kind)) + ",\"startTimeUnixNano\":\"" +
         std::to_string(span.start_nanos) + "\",\"endTimeUnixNano\":\"" + std::to_string(span.end_nanos) +
         "\",\"attributes\":";
  AppendPairs(out, span.attributes);
  if (!span.links.empty()) {
    out += ",\"links\":[";
    for (const std::string& link : span.links) {
      if (out.back() != '[') out += ',';
      out += "{\"traceId\":\"" + link.substr(3, 32) + "\",\"spanId\":\"" + link.substr(36, 16) + "\"}";
    }
    out += ']';
  }
  out += ",\"status\":{";
  if (span.failed) {
    out += "\"code\":2,\"message\":";
    AppendString(out, span.failure);
  }
  out += "}}";
}

}  // namespace

Span::Span(std::string_view name, SpanKind kind, std::string_view parent) {
  if (!g_records.load(std::memory_order_relaxed) || !IsSampled(parent)) return;
  record_ = Begin(name, kind, ChildTraceparent(parent), parent);
}

Span::Span(std::string_view name, SpanKind kind, std::string_view own, std::string_view parent) {
  if (!g_records.load(std::memory_order_relaxed) || !IsSampled(own)) return;
  record_ = Begin(name, kind, own, parent);
}

std::string Span::Traceparent(std::string_view parent) const {
  return record_ ? "00-" + record_->trace_id + "-" + record_->span_id + "-01" : std::string(parent);
}

void Span::Name(std::string_view name) {
  if (record_) record_->name = name;
}
void Span::Set(std::string_view name, std::string_view value) {
  if (record_ && !value.empty()) record_->attributes.emplace_back(name, value);
}
void Span::Link(std::string_view traceparent) {
  if (record_ && IsTraceparent(traceparent)) record_->links.emplace_back(traceparent);
}
void Span::State(std::string_view trace_state) {
  if (record_) record_->trace_state = trace_state;
}
void Span::Fail(std::string_view why) {
  if (!record_) return;
  record_->failed = true;
  record_->failure = why;
}

void Span::End() {
  if (!record_) return;
  record_->end_nanos = UnixNanos();
  std::unique_ptr<SpanRecord> record = std::move(record_);
  Queue& queue = TheQueue();
  std::lock_guard lock(queue.mutex);
  if (queue.spans.size() >= kSpansWaiting) return CountSpans("dropped", 1);
  queue.spans.push_back(std::move(*record));
}

void RecordSpans(bool on) { g_records = on; }
bool RecordsSpans() { return g_records.load(std::memory_order_relaxed); }

std::vector<SpanRecord> TakeSpans(size_t max) {
  Queue& queue = TheQueue();
  std::lock_guard lock(queue.mutex);
  std::vector<SpanRecord> taken;
  while (!queue.spans.empty() && taken.size() < max) {
    taken.push_back(std::move(queue.spans.front()));
    queue.spans.pop_front();
  }
  return taken;
}

size_t WaitingSpans() {
  std::lock_guard lock(TheQueue().mutex);
  return TheQueue().spans.size();
}

void CountSpans(const char* outcome, size_t count) {
  static Counters& family = Counters::Make("millrace_trace_spans_total", "Spans by what became of them.", {"outcome"});
  family.With({outcome}).Add(static_cast<int64_t>(count));
}

std::string OtlpJson(const std::vector<SpanRecord>& spans,
                     const std::vector<std::pair<std::string, std::string>>& resource) {
  std::string out = "{\"resourceSpans\":[{\"resource\":{\"attributes\":";
  AppendPairs(out, resource);
  out += "},\"scopeSpans\":[{\"scope\":{\"name\":\"millrace\"},\"spans\":[";
  for (const SpanRecord& span : spans) {
    if (out.back() != '[') out += ',';
    AppendSpan(out, span);
  }
  return out + "]}]}]}";
}

}  // namespace millrace::telemetry
