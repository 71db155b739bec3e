// SPDX-License-Identifier: Apache-2.0
// Numbers that Prometheus reads. A series is looked up once and its reference kept; counting is then one relaxed
// atomic addition, from any thread. (prometheus-cpp takes 30 instructions for a counter and 199 and a lock for a
// histogram; these take 2 and about 20.)
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::telemetry {

// The bounds of a histogram's buckets in whole units, and what one unit is in the unit that the name says.
struct Buckets {
  std::vector<int64_t> bounds;  // ascending
  double unit = 1;
};
// Nanoseconds, shown as seconds. The bounds of OpenTelemetry's HTTP durations: 5 ms to 10 s.
const Buckets& HttpSeconds();
// From 0.25 ms to 2.5 s.
const Buckets& ShortSeconds();

class Counter {
 public:
  explicit Counter(const Buckets&) {}
  void Add(int64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

class Gauge {
 public:
  explicit Gauge(const Buckets&) {}
  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double value) { value_.fetch_add(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

class Histogram {
 public:
  explicit Histogram(const Buckets& buckets) : buckets_(buckets), counts_(buckets.bounds.size() + 1) {}
  void Observe(int64_t value) {
    size_t at = 0;
    while (at < buckets_.bounds.size() && value > buckets_.bounds[at]) ++at;
    counts_[at].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(value, std::memory_order_relaxed);
  }
  const Buckets& buckets() const { return buckets_; }
  int64_t count(size_t bucket) const { return counts_[bucket].load(std::memory_order_relaxed); }
  int64_t sum() const { return sum_.load(std::memory_order_relaxed); }

 private:
  const Buckets& buckets_;
  std::vector<std::atomic<int64_t>> counts_;  // the last: beyond every bound
  std::atomic<int64_t> sum_{0};
};

// A metric of one name; lives until the program ends.
class FamilyBase {
 public:
  FamilyBase(std::string name, std::string help, std::vector<std::string> labels);
  virtual ~FamilyBase() = default;
  const std::string& name() const { return name_; }
  // # HELP, # TYPE and a line for each series.
  virtual void Print(std::string* out) const = 0;

 protected:
  // {a="x",b="y"} with its values escaped, "" without labels.
  std::string LabelText(const std::vector<std::string>& values) const;
  std::string Head(const char* type) const;
  size_t label_count() const { return labels_.size(); }

 private:
  std::string name_, help_;
  std::vector<std::string> labels_;
};

// The metric of that name, if there is one.
FamilyBase* FindFamily(std::string_view name);

template <class Series>
class Family final : public FamilyBase {
 public:
  // More series than this of one name are counted together, every label "other": no caller can make memory grow.
  static constexpr size_t kSeriesMax = 4000;
  // The metric of this name, made if it is not there.
  static Family& Make(std::string name, std::string help, std::vector<std::string> labels = {},
                      const Buckets& buckets = HttpSeconds()) {
    if (auto* found = dynamic_cast<Family*>(FindFamily(name))) return *found;
    return *new Family(std::move(name), std::move(help), std::move(labels), buckets);
  }
  // The series with these values of the labels, in the order of their names. Takes a lock: keep the reference.
  Series& With(const std::vector<std::string>& values = {}) {
    std::lock_guard lock(mutex_);
    auto found = series_.find(LabelText(values));
    if (found != series_.end()) return found->second;
    bool room = series_.size() < kSeriesMax;
    std::string text = LabelText(room ? values : std::vector<std::string>(label_count(), "other"));
    return series_.try_emplace(std::move(text), buckets_).first->second;
  }
  void Print(std::string* out) const override;

 private:
  Family(std::string name, std::string help, std::vector<std::string> labels, const Buckets& buckets)
      : FamilyBase(std::move(name), std::move(help), std::move(labels)), buckets_(buckets) {}
  const Buckets& buckets_;
  mutable std::mutex mutex_;
  std::map<std::string, Series> series_;  // by the text of their labels
};

using Counters = Family<Counter>;
using Gauges = Family<Gauge>;
using Histograms = Family<Histogram>;

// Called before each look at the metrics: sets gauges that nobody keeps.
void OnCollect(std::function<void()> collect);
// All metrics in Prometheus's text format 0.0.4, by name.
std::string MetricsText();
inline constexpr std::string_view kMetricsMediaType = "text/plain; version=0.0.4; charset=utf-8";

// Nanoseconds of a clock that only goes forward.
int64_t SteadyNanos();
// Since 1970, by the wall clock.
int64_t UnixNanos();

// Registers millrace_build_info and the process's own: memory, CPU time, descriptors, start time, threads. Once.
void RegisterProcessMetrics(const std::string& version);

}  // namespace millrace::telemetry
