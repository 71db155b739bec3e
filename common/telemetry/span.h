// SPDX-License-Identifier: Apache-2.0
// Spans of a trace, kept in a bounded queue until an exporter takes them. Nothing here speaks HTTP.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::telemetry {

enum class SpanKind { kInternal = 1, kServer = 2, kClient = 3 };

// As OTLP has it; ids in hexadecimal.
struct SpanRecord {
  std::string name;
  SpanKind kind = SpanKind::kInternal;
  std::string trace_id, span_id, parent_id, trace_state;
  int64_t start_nanos = 0, end_nanos = 0;  // since 1970
  bool failed = false;
  std::string failure;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::vector<std::string> links;  // traceparents of others that the work was done for
};

// One span, from its making to its end. Costs a look at a flag while spans are not recorded.
class Span {
 public:
  // A child of the span that `parent`, a traceparent, names. Not recorded if that is none, if its sampled flag is not
  // set, or if nobody exports.
  Span(std::string_view name, SpanKind kind, std::string_view parent);
  // The span that `own` names, a child of `parent`; for the first span of a request, whose id is known already.
  Span(std::string_view name, SpanKind kind, std::string_view own, std::string_view parent);
  ~Span() { End(); }
  Span(Span&&) = default;
  Span& operator=(Span&&) = delete;

  bool recorded() const { return record_ != nullptr; }
  // Of this span; for its children. `parent` if it is not recorded.
  std::string Traceparent(std::string_view parent) const;
  void Name(std::string_view name);
  void Set(std::string_view name, std::string_view value);
  void Link(std::string_view traceparent);
  void State(std::string_view trace_state);
  void Fail(std::string_view why);
  void End();

 private:
  std::unique_ptr<SpanRecord> record_;
};

// Whether spans are recorded; off at first.
void RecordSpans(bool on);
bool RecordsSpans();
// Most spans that wait; more are dropped and counted (millrace_trace_spans_total{outcome="dropped"}).
inline constexpr size_t kSpansWaiting = 8192;
// The oldest spans that wait, `max` at most.
std::vector<SpanRecord> TakeSpans(size_t max);
size_t WaitingSpans();
// Counts spans by what became of them: "exported", "dropped".
void CountSpans(const char* outcome, size_t count);

// An ExportTraceServiceRequest in OTLP's JSON, of one resource: service.name and the like.
std::string OtlpJson(const std::vector<SpanRecord>& spans,
                     const std::vector<std::pair<std::string, std::string>>& resource);

}  // namespace millrace::telemetry
