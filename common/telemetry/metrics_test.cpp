// SPDX-License-Identifier: Apache-2.0
#include "common/telemetry/metrics.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/telemetry/call.h"
#include "common/telemetry/span.h"
#include "common/telemetry/trace.h"

namespace millrace::telemetry {
namespace {

bool Has(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != text.npos;
}

TEST(MetricsTest, TextFormat) {
  Counters& requests = Counters::Make("test_requests_total", "Requests.", {"method", "path"});
  requests.With({"GET", "/a\"b\\c\nd"}).Add(2);
  requests.With({"GET", "/a\"b\\c\nd"}).Add();
  Histogram& seconds = Histograms::Make("test_seconds", "Time.", {"route"}, HttpSeconds()).With({"/v1"});
  seconds.Observe(5'000'000);  // a bound belongs to its bucket
  seconds.Observe(5'000'001);
  seconds.Observe(11'000'000'000);
  static const Buckets kSizes{{1, 8}, 1};
  Histograms::Make("test_sizes", "Sizes.", {}, kSizes).With().Observe(3);
  Gauges::Make("test_level", "Level.").With().Set(1.5);
  static int collected = 0;
  OnCollect([] { ++collected; });
  std::string text = MetricsText();
  EXPECT_EQ(collected, 1);
  EXPECT_TRUE(Has(text, "# HELP test_requests_total Requests.\n# TYPE test_requests_total counter"));
  EXPECT_TRUE(Has(text, R"(test_requests_total{method="GET",path="/a\"b\\c d"} 3)")) << text;
  EXPECT_TRUE(Has(text, R"(test_seconds_bucket{route="/v1",le="0.005"} 1)")) << text;
  EXPECT_TRUE(Has(text, R"(test_seconds_bucket{route="/v1",le="0.01"} 2)"));
  EXPECT_TRUE(Has(text, R"(test_seconds_bucket{route="/v1",le="10"} 2)"));
  EXPECT_TRUE(Has(text, R"(test_seconds_bucket{route="/v1",le="+Inf"} 3)"));
  EXPECT_TRUE(Has(text, R"(test_seconds_sum{route="/v1"} 11.010000001)")) << text;
  EXPECT_TRUE(Has(text, R"(test_seconds_count{route="/v1"} 3)"));
  EXPECT_TRUE(Has(text, R"(test_sizes_bucket{le="8"} 1)"));
  EXPECT_TRUE(Has(text, "test_level 1.5"));
}

TEST(MetricsTest, ThreadsLoseNoCount) {
  Counter& counter = Counters::Make("test_threads_total", "t").With();
  Histogram& histogram = Histograms::Make("test_threads_seconds", "t").With();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10'000; ++i) {
        counter.Add();
        histogram.Observe(i);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 40'000);
  EXPECT_EQ(histogram.count(0), 40'000);
}

TEST(MetricsTest, SeriesAreBounded) {
  Counters& many = Counters::Make("test_many_total", "m", {"name"});
  for (size_t i = 0; i < Counters::kSeriesMax + 100; ++i) many.With({std::to_string(i)}).Add();
  EXPECT_EQ(many.With({"other"}).value(), 100);
}

TEST(MetricsTest, TheProcessIsDescribed) {
  RegisterProcessMetrics("1.2.3");
  std::string text = MetricsText();
  EXPECT_TRUE(Has(text, R"(millrace_build_info{version="1.2.3"} 1)"));
  for (const char* name : {"process_resident_memory_bytes", "process_open_fds", "process_threads",
                           "process_cpu_seconds_total", "process_start_time_seconds"}) {
    size_t at = text.find(std::string("\n") + name + " ");
    ASSERT_NE(at, text.npos) << name;
    EXPECT_GT(std::stod(text.substr(at + std::string(name).size() + 2)), 0) << name;
  }
}

constexpr char kSampled[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
constexpr char kUnsampled[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

class SpanTest : public ::testing::Test {
 protected:
  void SetUp() override { RecordSpans(true); }
  void TearDown() override {
    RecordSpans(false);
    while (!TakeSpans(100).empty()) continue;
  }
};

TEST_F(SpanTest, AChildKeepsTheTraceAndNamesItsParent) {
  std::string child;
  {
    Span span("outer", SpanKind::kServer, kSampled);
    child = span.Traceparent(kSampled);
    Span inner("inner", SpanKind::kClient, child);
    inner.Set("rpc.method", "x\"y");
    inner.Fail("BROKEN");
    inner.Link(kSampled);
  }
  std::vector<SpanRecord> spans = TakeSpans(10);
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].name, "inner");
  EXPECT_EQ(spans[0].trace_id, TraceId(kSampled));
  EXPECT_EQ(spans[0].parent_id, spans[1].span_id);
  EXPECT_EQ(spans[1].parent_id, "00f067aa0ba902b7");
  EXPECT_LE(spans[0].start_nanos, spans[0].end_nanos);
  std::string json = OtlpJson(spans, {{"service.name", "millrace"}});
  EXPECT_NE(json.find(R"({"key":"rpc.method","value":{"stringValue":"x\"y"}})"), json.npos) << json;
  EXPECT_NE(json.find(R"("status":{"code":2,"message":"BROKEN"})"), json.npos) << json;
  EXPECT_NE(json.find(R"("parentSpanId":")" + spans[1].span_id), json.npos);
  EXPECT_NE(json.find(R"("links":[{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"00f067aa0ba902b7"}])"),
            json.npos);
}

TEST_F(SpanTest, NothingIsRecordedUnsampledOrUnasked) {
  {
    Span span("x", SpanKind::kServer, kUnsampled);
  }
  {
    Span span("x", SpanKind::kServer, "");
  }
  RecordSpans(false);
  {
    Span span("x", SpanKind::kServer, kSampled);
  }
  EXPECT_EQ(WaitingSpans(), 0u);
  EXPECT_EQ(Span("x", SpanKind::kServer, kSampled).Traceparent(kSampled), kSampled);
}

TEST_F(SpanTest, TheQueueIsBounded) {
  for (size_t i = 0; i < kSpansWaiting + 10; ++i) Span("x", SpanKind::kServer, kSampled);
  EXPECT_EQ(WaitingSpans(), kSpansWaiting);
  EXPECT_NE(MetricsText().find(R"(millrace_trace_spans_total{outcome="dropped"} 10)"), std::string::npos);
  EXPECT_EQ(TakeSpans(512).size(), 512u);
  while (!TakeSpans(1000).empty()) continue;
}

TEST(CallTest, AScopeEndsWithWhatWasBefore) {
  const std::string id = "req_01J9ZK3V6M2E8QW4T7Y1N5R0AB";
  EXPECT_FALSE(CurrentCall().traced());
  {
    CallScope outer(Call::Of(kSampled, id));
    EXPECT_EQ(CurrentCall().RequestId(), id);
    {
      CallScope none{Call()};
      EXPECT_FALSE(CurrentCall().traced());
    }
    EXPECT_EQ(CurrentCall().TraceId(), TraceId(kSampled));
    std::thread([] { EXPECT_FALSE(CurrentCall().traced()); }).join();
  }
  EXPECT_TRUE(CurrentCall().RequestId().empty());
  EXPECT_TRUE(Call::Of("nonsense", "far too long to be a request id of ours").Traceparent().empty());
}

TEST(TraceTest, NewTraceparentsSayWhetherTheyAreSampled) {
  EXPECT_TRUE(IsSampled(NewTraceparent(true)));
  EXPECT_FALSE(IsSampled(NewTraceparent(false)));
  EXPECT_TRUE(IsSampled(kSampled));
  EXPECT_FALSE(IsSampled("nonsense"));
}

}  // namespace
}  // namespace millrace::telemetry
