// SPDX-License-Identifier: Apache-2.0
// The time of one match over synthetic listings: match_bench [listings]. Prints what it measured; checks nothing.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>

#include "services/matching/domain/match.h"
#include "services/matching/domain/sentences.h"

namespace millrace::matching::domain {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

// CPU time of this thread: other work on the machine does not count.
double CpuMilliseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

class Bench {
 public:
  explicit Bench(size_t listings) {
    for (int i = 0; i < 20; ++i) rules_.push_back(MakeRules(i));
    for (size_t i = 0; i < listings; ++i) index_.PutListing(MakeOffer(), {}, true);
    for (size_t i = 0; i < listings * 2; ++i) {
      Time from = start_ + minutes(15 * Upto(24 * 4 * 30));
      const Uuid& resource = resources_[random_() % resources_.size()];
      index_.PutBooking(Uuid::New(), 1, {{resource, {from, from + hours(1 + Upto(40))}, 1, false}});
    }
  }

  void Run(const char* name, int processes) {
    std::vector<double> milliseconds;
    int64_t considered = 0, matched = 0;
    constexpr int kQueries = 200;
    for (int i = 0; i < kQueries; ++i) {
      Need need = MakeNeed(processes);
      double begin = CpuMilliseconds();
      MatchResult result = FindMatches(*index_.Snapshot(), need, start_, 10);
      for (const Match& match : result.matches) (void)Explain(match, need);
      milliseconds.push_back(CpuMilliseconds() - begin);
      considered += result.considered;
      matched += result.match_count;
    }
    std::ranges::sort(milliseconds);
    std::printf("%-28s listings %zu considered %ld matched %ld  CPU p50 %.2f ms  p99 %.2f ms\n", name, index_.size(),
                static_cast<long>(considered / kQueries), static_cast<long>(matched / kQueries),
                milliseconds[kQueries / 2], milliseconds[kQueries * 99 / 100]);
  }

 private:
  int64_t Upto(int64_t most) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(most + 1)); }

  std::shared_ptr<const calendar::Rules> MakeRules(int i) {
    auto rules = std::make_shared<calendar::Rules>();
    for (int day = 1; day <= (i % 2 ? 7 : 5); ++day)
      rules->weekly.push_back({day, 60 * (6 + i % 4), 60 * (16 + i % 8)});
    rules->lead_time_minutes = 60 * (i % 5);
    rules->buffer_before_minutes = 15 * (i % 3);
    return rules;
  }

  Offer MakeOffer() {
    const auto& processes = taxonomy::Taxonomy::BuiltIn().processes();
    const auto& materials = taxonomy::Taxonomy::BuiltIn().materials();
    Offer offer;
    offer.listing = Uuid::New();
    offer.resource = resources_.emplace_back(Uuid::New());
    offer.provider = Uuid::New();
    offer.version = 1;
    offer.kind = 1;
    for (int i = 0; i < 2; ++i) offer.processes.push_back(&processes[random_() % processes.size()]);
    for (int i = 0; i < 4; ++i) offer.materials.push_back(&materials[random_() % materials.size()]);
    offer.tolerance_um = 2 + Upto(60);
    offer.envelope_mm = SortedSides(100 + Upto(2000), 100 + Upto(1000), 50 + Upto(800));
    offer.mass_g = 1000 + Upto(2'000'000);
    if (Upto(1)) offer.certificates.push_back({"iso9001", {}});
    offer.rules = rules_[random_() % rules_.size()];
    offer.plan.steps = {{0, 5000 + Upto(40000)}, {480, 4000}};
    offer.plan.vat_basis_points = 1300;
    offer.capacity = 1 + Upto(2);
    offer.place = Point{118 + static_cast<double>(Upto(400)) / 100, 30 + static_cast<double>(Upto(300)) / 100};
    return offer;
  }

  Need MakeNeed(int wanted) {
    const auto& processes = taxonomy::Taxonomy::BuiltIn().processes();
    const auto& materials = taxonomy::Taxonomy::BuiltIn().materials();
    Need need;
    for (int i = 0; i < wanted; ++i) need.processes.push_back(&processes[random_() % processes.size()]);
    need.materials.push_back(&materials[random_() % materials.size()]);
    need.tolerance_um = 20 + Upto(40);
    need.envelope_mm = SortedSides(Upto(500), Upto(500), Upto(300));
    need.duration_minutes = 60 * (1 + Upto(8));
    need.window = {start_ + hours(Upto(200)), start_ + hours(400)};
    need.budget = Money{200000 + Upto(400000), "CNY"};
    need.place = Point{120, 31};
    need.max_distance_km = 100 + Upto(200);
    need.weights = kDefaultWeights;
    return need;
  }

  std::mt19937_64 random_{7};
  Time start_ = *ParseTime("2026-10-05T00:00:00Z");
  std::vector<std::shared_ptr<const calendar::Rules>> rules_;
  std::vector<Uuid> resources_;
  Index index_;
};

}  // namespace
}  // namespace millrace::matching::domain

int main(int argc, char** argv) {
  size_t listings = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 100000;
  millrace::matching::domain::Bench bench(listings);
  bench.Run("one process", 1);
  bench.Run("no process (full scan)", 0);
  return 0;
}
