// SPDX-License-Identifier: Apache-2.0
#include "common/telemetry/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <sstream>

namespace millrace::telemetry {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<FamilyBase*> families;
  std::vector<std::function<void()>> collectors;
};

Registry& TheRegistry() {
  static auto* registry = new Registry;  // never destroyed: threads may count until the very end
  return *registry;
}

std::string Number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

void PrintSeries(const std::string& name, const std::string& labels, const Counter& series, std::string* out) {
  *out += name + labels + " " + std::to_string(series.value()) + "\n";
}

void PrintSeries(const std::string& name, const std::string& labels, const Gauge& series, std::string* out) {
  *out += name + labels + " " + Number(series.value()) + "\n";
}

void PrintSeries(const std::string& name, const std::string& labels, const Histogram& series, std::string* out) {
  std::string open = labels.empty() ? "{" : labels.substr(0, labels.size() - 1) + ",";
  const Buckets& buckets = series.buckets();
  int64_t count = 0;
  for (size_t i = 0; i <= buckets.bounds.size(); ++i) {
    count += series.count(i);
    bool last = i == buckets.bounds.size();
    std::string bound = last ? "+Inf" : Number(static_cast<double>(buckets.bounds[i]) * buckets.unit);
    *out += name + "_bucket" + open + "le=\"" + bound + "\"} " + std::to_string(count) + "\n";
  }
  *out += name + "_sum" + labels + " " + Number(static_cast<double>(series.sum()) * buckets.unit) + "\n";
  *out += name + "_count" + labels + " " + std::to_string(count) + "\n";
}

template <class Series>
constexpr const char* kType = "gauge";
template <>
constexpr const char* kType<Counter> = "counter";
template <>
constexpr const char* kType<Histogram> = "histogram";

int64_t Nanos(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

double OpenDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  if (!folder) return 0;
  double count = -3;  // ".", ".." and the folder itself
  while (readdir(folder)) ++count;
  closedir(folder);
  return count;
}

// Of /proc/self/stat: what stands behind the name in parentheses, from "state" on.
std::vector<std::string> StatFields() {
  std::ifstream in("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  std::vector<std::string> fields;
  std::istringstream rest(text.substr(std::min(text.rfind(')') + 1, text.size())));
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

double StartTime() {
  constexpr size_t kStartTicks = 19;
  std::vector<std::string> fields = StatFields();
  if (fields.size() <= kStartTicks) return 0;
  double booted = static_cast<double>(Nanos(CLOCK_REALTIME) - Nanos(CLOCK_BOOTTIME)) * 1e-9;
  return booted + std::stod(fields[kStartTicks]) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

const Buckets& HttpSeconds() {
  static const auto* buckets =
      new Buckets{{5'000'000, 10'000'000, 25'000'000, 50'000'000, 75'000'000, 100'000'000, 250'000'000, 500'000'000,
                   750'000'000, 1'000'000'000, 2'500'000'000, 5'000'000'000, 7'500'000'000, 10'000'000'000},
                  1e-9};
  return *buckets;
}

const Buckets& ShortSeconds() {
  static const auto* buckets = new Buckets{{250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000, 25'000'000,
                                            100'000'000, 500'000'000, 2'500'000'000},
                                           1e-9};
  return *buckets;
}

FamilyBase::FamilyBase(std::string name, std::string help, std::vector<std::string> labels)
    : name_(std::move(name)), help_(std::move(help)), labels_(std::move(labels)) {
  std::lock_guard lock(TheRegistry().mutex);
  TheRegistry().families.push_back(this);
}

FamilyBase* FindFamily(std::string_view name) {
  std::lock_guard lock(TheRegistry().mutex);
  auto found =
      std::ranges::find(TheRegistry().families, name, [](FamilyBase* f) { return std::string_view(f->name()); });
  return found == TheRegistry().families.end() ? nullptr : *found;
}

std::string FamilyBase::LabelText(const std::vector<std::string>& values) const {
  if (labels_.empty()) return {};
  std::string text = "{";
  for (size_t i = 0; i < labels_.size(); ++i) {
    if (i > 0) text += ',';
    text += labels_[i] + "=\"";
    for (char c : i < values.size() ? values[i] : std::string()) {
      if (c == '\\' || c == '"') text += '\\';
      text += c == '\n' ? ' ' : c;
    }
    text += '"';
  }
  return text + "}";
}

std::string FamilyBase::Head(const char* type) const {
  return "# HELP " + name_ + " " + help_ + "\n# TYPE " + name_ + " " + type + "\n";
}

template <class Series>
void Family<Series>::Print(std::string* out) const {
  std::lock_guard lock(mutex_);
  if (series_.empty()) return;
  *out += Head(kType<Series>);
  for (const auto& [labels, series] : series_) PrintSeries(name(), labels, series, out);
}
template void Family<Counter>::Print(std::string* out) const;
template void Family<Gauge>::Print(std::string* out) const;
template void Family<Histogram>::Print(std::string* out) const;

void OnCollect(std::function<void()> collect) {
  std::lock_guard lock(TheRegistry().mutex);
  TheRegistry().collectors.push_back(std::move(collect));
}

std::string MetricsText() {
  std::vector<FamilyBase*> families;
  std::vector<std::function<void()>> collectors;
  {
    std::lock_guard lock(TheRegistry().mutex);
    families = TheRegistry().families;
    collectors = TheRegistry().collectors;
  }
  for (const auto& collect : collectors) collect();
  std::ranges::sort(families, {}, [](FamilyBase* family) -> const std::string& { return family->name(); });
  std::string out;
  for (const FamilyBase* family : families) family->Print(&out);
  return out;
}

int64_t SteadyNanos() { return Nanos(CLOCK_MONOTONIC); }
int64_t UnixNanos() { return Nanos(CLOCK_REALTIME); }

void RegisterProcessMetrics(const std::string& version) {
  static std::once_flag once;
  std::call_once(once, [&version] {
    Gauges::Make("millrace_build_info", "1, with the program's version.", {"version"}).With({version}).Set(1);
    auto gauge = [](const char* name, const char* help) { return &Gauges::Make(name, help).With(); };
    Gauge* memory = gauge("process_resident_memory_bytes", "Memory in RAM.");
    Gauge* descriptors = gauge("process_open_fds", "Open file descriptors.");
    Gauge* descriptors_max = gauge("process_max_fds", "Most open file descriptors.");
    Gauge* threads = gauge("process_threads", "Threads.");
    gauge("process_start_time_seconds", "When the process began, seconds since 1970.")->Set(StartTime());
    Gauge* cpu = gauge("process_cpu_seconds_total", "CPU time of the process, user and system.");
    OnCollect([=] {
      constexpr size_t kThreads = 17, kPages = 21;
      std::vector<std::string> fields = StatFields();
      if (fields.size() > kPages) {
        threads->Set(std::stod(fields[kThreads]));
        memory->Set(std::stod(fields[kPages]) * static_cast<double>(sysconf(_SC_PAGESIZE)));
      }
      rlimit limit{};
      if (getrlimit(RLIMIT_NOFILE, &limit) == 0) descriptors_max->Set(static_cast<double>(limit.rlim_cur));
      descriptors->Set(OpenDescriptors());
      cpu->Set(static_cast<double>(Nanos(CLOCK_PROCESS_CPUTIME_ID)) * 1e-9);
    });
  });
}

}  // namespace millrace::telemetry
