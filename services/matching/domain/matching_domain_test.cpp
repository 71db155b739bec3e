// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>
#include <set>

#include "services/matching/domain/demand_states.h"
#include "services/matching/domain/match.h"
#include "services/matching/domain/sentences.h"
#include "tests/support/rounds.h"

namespace millrace::matching::domain {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const taxonomy::Taxonomy& Tree() { return taxonomy::Taxonomy::BuiltIn(); }

// Everything the index was told, kept the plain way, and the answer by the definitions.
struct World {
  struct Listing {
    Offer offer;
    std::vector<Uuid> parents;
    bool published = true;
  };
  std::map<Uuid, Listing> listings;
  std::map<Uuid, std::pair<int64_t, std::vector<Leg>>> bookings;
  std::map<Uuid, std::vector<Uuid>> parents;
  std::map<Uuid, int> tiers;

  bool IsAbove(const Uuid& line, const Uuid& machine) const {
    auto found = parents.find(machine);
    if (found == parents.end()) return false;
    return std::ranges::any_of(found->second,
                               [&](const Uuid& parent) { return parent == line || IsAbove(line, parent); });
  }
  BusyList Busy(const Offer& offer) const {
    BusyList busy;
    for (const auto& [id, booking] : bookings) {
      for (const Leg& leg : booking.second) {
        if (leg.resource == offer.resource) {
          busy.push_back({leg.blocked, leg.parent_leg ? offer.capacity : leg.units});
        } else if (!leg.parent_leg &&
                   (IsAbove(leg.resource, offer.resource) || IsAbove(offer.resource, leg.resource))) {
          busy.push_back({leg.blocked, offer.capacity});
        }
      }
    }
    return busy;
  }
  // The earliest window, minute by minute of a five-minute grid on which all times of the world lie.
  std::optional<Interval> Earliest(const Offer& offer, const Need& need, int64_t units, Time now) const {
    BusyList busy = Busy(offer);
    for (Time start = std::max(need.window.start, now); start + need.length() <= need.window.end; start += minutes(5)) {
      bool candidate = start.time_since_epoch() % minutes(15) == Duration(0);
      for (const calendar::Busy& one : busy)
        candidate |= one.window.end + minutes(offer.rules->buffer_before_minutes) == start;
      Interval window{start, start + need.length()};
      if (candidate && calendar::PeakUse(busy, calendar::Blocked(*offer.rules, window)) + units <= offer.capacity &&
          calendar::CheckWindow(*offer.rules, window, now)) {
        return window;
      }
    }
    return std::nullopt;
  }
};

bool Under(const Node& node, const Node& above) {
  for (const Node* at = &node; at != nullptr;
       at = Tree().Process(at->parent) ? Tree().Process(at->parent) : Tree().Material(at->parent)) {
    if (at == &above) return true;
    if (at->parent.empty()) return false;
  }
  return false;
}

std::set<Constraint> FailedByDefinition(const Offer& offer, const Need& need) {
  std::set<Constraint> failed;
  for (const Node* wanted : need.processes) {
    bool served = false;
    for (const Node* offered : offer.processes) served |= Under(*offered, *wanted);
    if (!served) failed.insert(Constraint::kProcess);
  }
  for (const Node* wanted : need.materials) {
    bool served = false;
    for (const Node* offered : offer.materials) served |= Under(*offered, *wanted) || Under(*wanted, *offered);
    if (!served) failed.insert(Constraint::kMaterial);
  }
  if (need.tolerance_um != 0 && (offer.tolerance_um == 0 || offer.tolerance_um > need.tolerance_um)) {
    failed.insert(Constraint::kTolerance);
  }
  // Some turn of the part must fit.
  Sides turn = need.envelope_mm;
  std::ranges::sort(turn);
  bool fits = false;
  do {
    fits |= turn[0] <= offer.envelope_mm[0] && turn[1] <= offer.envelope_mm[1] && turn[2] <= offer.envelope_mm[2];
  } while (std::ranges::next_permutation(turn).found);
  if (!fits) failed.insert(Constraint::kEnvelope);
  if (need.mass_g > offer.mass_g) failed.insert(Constraint::kMass);
  for (const Scheme& scheme : need.certificates) {
    bool held = false;
    for (const Certificate& one : offer.certificates) {
      held |= one.scheme == FoldScheme(scheme.written) && (!one.expire || *one.expire >= need.window.end);
    }
    if (!held) failed.insert(Constraint::kCertificate);
  }
  if (need.kind != 0 && need.kind != offer.kind) failed.insert(Constraint::kKind);
  if (need.units > offer.capacity) failed.insert(Constraint::kUnits);
  if (need.max_distance_km > 0 &&
      (!offer.place || DistanceKm(*offer.place, *need.place) > static_cast<double>(need.max_distance_km))) {
    failed.insert(Constraint::kDistance);
  }
  auto price = pricing::PriceWindow(offer.plan, {need.window.start, need.window.start + need.length()}, need.units);
  if (need.budget && (price->currency != need.budget->currency || price->total > need.budget->amount)) {
    failed.insert(Constraint::kBudget);
  }
  return failed;
}

class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {
    for (const char* code : {"separating.milling", "separating.turning", "separating"}) {
      const Node* node = Tree().Process(code);
      if (node == nullptr) continue;
      for (int at = node->begin; at < std::min(node->end, node->begin + 9); ++at) {
        processes_.push_back(&Tree().processes()[static_cast<size_t>(at)]);
      }
    }
    for (const char* code : {"metal", "steel", "aluminium", "cast_aluminium", "stainless_steel", "plastic"}) {
      if (const Node* node = Tree().Material(code)) materials_.push_back(node);
    }
    for (auto& provider : providers_) provider = Uuid::New();
    for (auto& resource : resources_) resource = Uuid::New();
  }

  int64_t Upto(int64_t most) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(most + 1)); }
  bool OneIn(int64_t count) { return Upto(count - 1) == 0; }
  template <class T>
  const T& Of(const std::vector<T>& values) {
    return values[random_() % values.size()];
  }
  const Uuid& Resource() { return resources_[random_() % resources_.size()]; }
  const Uuid& Provider() { return providers_[random_() % providers_.size()]; }

  Offer MakeOffer(const Uuid& listing, const Uuid& resource, int64_t version) {
    Offer offer;
    offer.listing = listing;
    offer.resource = resource;
    offer.provider = Provider();
    offer.version = version;
    offer.kind = 1 + static_cast<int>(Upto(1));
    for (int64_t i = Upto(2); i >= 0; --i) offer.processes.push_back(Of(processes_));
    for (int64_t i = Upto(2); i > 0; --i) offer.materials.push_back(Of(materials_));
    if (!OneIn(6)) offer.tolerance_um = 5 + Upto(20);
    if (!OneIn(6)) offer.envelope_mm = SortedSides(Upto(800), Upto(800), Upto(800));
    offer.mass_g = Upto(100000);
    if (!OneIn(3)) offer.certificates.push_back({"iso9001", {}});
    if (OneIn(3)) offer.certificates.push_back({"iatf16949", start + hours(24 * (OneIn(2) ? -1 : 400))});
    auto rules = std::make_shared<calendar::Rules>();
    int open = static_cast<int>(Upto(3)) * 240;
    for (int day = 1; day <= 7; ++day) {
      if (!OneIn(4)) rules->weekly.push_back({day, open, open + 480 + static_cast<int>(Upto(1)) * 240});
    }
    rules->lead_time_minutes = static_cast<int>(Upto(2)) * 600;
    rules->buffer_before_minutes = static_cast<int>(Upto(2)) * 20;
    rules->buffer_after_minutes = static_cast<int>(Upto(2)) * 10;
    if (OneIn(5)) rules->max_duration_minutes = 300;
    offer.rules = rules;
    offer.plan.steps = {{0, 1000 + Upto(20) * 500}};
    offer.plan.vat_basis_points = 1300;
    if (OneIn(8)) offer.plan.currency = "EUR";
    offer.capacity = 1 + Upto(2);
    if (!OneIn(6))
      offer.place = Point{115 + static_cast<double>(Upto(100)) / 20, 30 + static_cast<double>(Upto(100)) / 20};
    return offer;
  }

  Need MakeNeed() {
    Need need;
    need.organization = OneIn(3) ? Provider() : Uuid::New();
    if (!OneIn(6)) need.processes.push_back(Of(processes_));
    if (OneIn(5)) need.processes.push_back(Of(processes_));
    if (need.processes.size() == 2 && need.processes[0] == need.processes[1]) need.processes.pop_back();
    if (OneIn(3)) need.materials.push_back(Of(materials_));
    if (OneIn(3)) need.tolerance_um = 5 + Upto(20);
    if (OneIn(3)) need.envelope_mm = SortedSides(Upto(500), Upto(500), Upto(500));
    if (OneIn(4)) need.mass_g = Upto(50000);
    if (OneIn(4)) need.certificates.push_back({"ISO 9001", "iso9001"});
    if (OneIn(5)) need.certificates.push_back({"IATF-16949", "iatf16949"});
    if (OneIn(4)) need.kind = 1 + static_cast<int>(Upto(1));
    need.units = 1 + (OneIn(4) ? 1 : 0);
    need.duration_minutes = 60 + 15 * Upto(20);
    need.window.start = start + hours(Upto(30));
    need.window.end = need.window.start + need.length() + hours(Upto(40));
    if (OneIn(2)) need.budget = Money{5000 + Upto(60000), "CNY"};
    if (OneIn(2)) need.place = Point{117, 32};
    if (need.place && OneIn(2)) need.max_distance_km = 50 + Upto(300);
    need.weights = kDefaultWeights;
    if (OneIn(4)) need.weights = {Upto(9), Upto(9), Upto(9), Upto(9), Upto(9), Upto(9), Upto(9)};
    return need;
  }

  std::vector<Leg> MakeLegs(const World& world) {
    const Uuid& resource = Resource();
    Time from = start + minutes(5 * Upto(700));
    Interval blocked{from, from + minutes(5 * (6 + Upto(100)))};
    std::vector<Leg> legs{{resource, blocked, 1 + Upto(1), false}};
    for (const Uuid& other : resources_) {
      if (world.IsAbove(other, resource) || world.IsAbove(resource, other)) legs.push_back({other, blocked, 1, true});
    }
    return legs;
  }

  const Time start = *ParseTime("2026-10-05T00:00:00Z");
  std::array<Uuid, 40> resources_;

 private:
  std::mt19937_64 random_;
  std::vector<const Node*> processes_, materials_;
  std::array<Uuid, 9> providers_;
};

// Index and world told the same: new, changed and withdrawn listings, bookings made, changed and released, tiers.
void Live(Maker& maker, Index& index, World& world, int steps) {
  std::vector<Uuid> listings, bookings;
  for (int i = 0; i < steps; ++i) {
    int64_t what = maker.Upto(9);
    if (what < 6 || listings.empty()) {
      bool known = !listings.empty() && maker.OneIn(4);
      Uuid listing = known ? maker.Of(listings) : Uuid::New();
      if (!known) listings.push_back(listing);
      World::Listing& entry = world.listings[listing];
      size_t at = static_cast<size_t>(maker.Upto(39));
      Uuid resource = known ? entry.offer.resource : maker.resources_[at];
      Offer offer = maker.MakeOffer(listing, resource, entry.offer.version + 1);
      for (const auto& [id, other] : world.listings) {
        if (id != listing && other.offer.resource == resource) offer.capacity = other.offer.capacity;
      }
      // Machines 10… may belong to lines 0 to 4, lines to hall 5.
      std::vector<Uuid> parents = world.parents[resource];
      if (at >= 10 && !known && maker.OneIn(3)) parents = {maker.resources_[static_cast<size_t>(maker.Upto(4))]};
      if (at < 5 && !known && maker.OneIn(3)) parents = {maker.resources_[5]};
      bool published = !maker.OneIn(5);
      entry = {offer, parents, published};
      world.parents[resource] = parents;
      index.PutListing(offer, parents, published);
      Offer older = maker.MakeOffer(listing, resource, offer.version - 1);
      if (maker.OneIn(4)) index.PutListing(older, {}, true);  // late news change nothing
    } else if (what < 9) {
      bool known = !bookings.empty() && maker.OneIn(3);
      Uuid booking = known ? maker.Of(bookings) : Uuid::New();
      if (!known) bookings.push_back(booking);
      auto& entry = world.bookings[booking];
      entry.first += 1;
      entry.second = known && maker.OneIn(2) ? std::vector<Leg>() : maker.MakeLegs(world);
      index.PutBooking(booking, entry.first, entry.second);
    } else {
      Uuid provider = maker.Provider();
      int tier = 1 + static_cast<int>(maker.Upto(3));
      world.tiers[provider] = tier;
      index.PutTier(provider, tier);
    }
  }
}

void ExpectExact(const World& world, const Index& index, const Need& need, Time now) {
  MatchResult result = FindMatches(*index.Snapshot(), need, now, 1000);
  std::map<Uuid, Interval> expected;
  std::array<int, kConstraints + 1> failures{};
  int considered = 0;
  for (const auto& [id, listing] : world.listings) {
    if (!listing.published || listing.offer.provider == need.organization) continue;
    bool near = need.processes.empty();
    for (const Node* wanted : need.processes) {
      const Node* around = wanted->parent.empty() ? wanted : Tree().Process(wanted->parent);
      for (const Node* offered : listing.offer.processes) near |= Under(*offered, *around);
    }
    if (!near) continue;
    ++considered;
    std::set<Constraint> failed = FailedByDefinition(listing.offer, need);
    if (failed.size() > 2) failed.erase(Constraint::kBudget);  // looked at where at most one other fails
    if (failed.size() <= 1) {
      auto window = world.Earliest(listing.offer, need, std::min(need.units, listing.offer.capacity), now);
      if (!window) failed.insert(Constraint::kCalendar);
      if (failed.empty()) expected[id] = *window;
    }
    for (Constraint constraint : failed) ++failures[static_cast<size_t>(constraint)];
  }
  std::map<Uuid, Interval> found;
  int64_t last = kPpm;
  for (const Match& match : result.matches) {
    found[match.offer->listing] = match.window;
    auto tier = world.tiers.find(match.offer->provider);
    ASSERT_EQ(match.tier, tier == world.tiers.end() ? 3 : tier->second);
    ASSERT_EQ(match.price.total, pricing::PriceWindow(match.offer->plan, match.window, need.units)->total);
    int64_t sum = 0;
    for (const ScorePart& part : match.parts) {
      ASSERT_GE(part.value, 0);
      ASSERT_LE(part.value, kPpm);
      sum += part.contribution;
    }
    ASSERT_EQ(sum, match.score);
    ASSERT_LE(match.score, last);
    last = match.score;
  }
  ASSERT_EQ(found, expected);
  ASSERT_EQ(result.match_count, static_cast<int>(expected.size()));
  ASSERT_EQ(result.considered, considered);
  ASSERT_EQ(result.failed, failures);
  // Fewer wanted: the same ones first.
  MatchResult few = FindMatches(*index.Snapshot(), need, now, 3);
  ASSERT_EQ(few.matches.size(), std::min<size_t>(3, expected.size()));
  for (size_t i = 0; i < few.matches.size(); ++i)
    ASSERT_EQ(few.matches[i].offer->listing, result.matches[i].offer->listing);
  // Each relaxation adds what it says.
  for (const Relaxation& relaxation : result.relaxations) {
    MatchResult more = FindMatches(*index.Snapshot(), relaxation.need, now, 1000);
    Change change = Describe(relaxation, need);
    ASSERT_GT(relaxation.adds, 0);
    ASSERT_NE(change.from, change.to);
    if (relaxation.constraint == Constraint::kUnits) {
      ASSERT_GE(more.match_count, result.match_count + relaxation.adds);
    } else {
      ASSERT_EQ(more.match_count, result.match_count + relaxation.adds) << change.sentence.en;
    }
  }
  size_t fewest = 1;
  for (const Miss& miss : result.misses) {
    ASSERT_NE(miss.failed, 0u);
    ASSERT_GE(static_cast<size_t>(std::popcount(miss.failed)), fewest);
    fewest = static_cast<size_t>(std::popcount(miss.failed));
    ASSERT_EQ(expected.count(miss.offer->listing), 0u);
  }
}

TEST(Matching, AgreesWithTheDefinitionsOnRandomWorlds) {
  int relaxations = 0, matches = 0;
  for (uint64_t seed = 1; seed <= static_cast<uint64_t>(Rounds(25)); ++seed) {
    Maker maker(seed);
    Index index;
    World world;
    for (int round = 0; round < 4; ++round) {
      Live(maker, index, world, 50);
      for (int demand = 0; demand < 8; ++demand) {
        Need need = maker.MakeNeed();
        Time now = maker.start + hours(3);
        ASSERT_NO_FATAL_FAILURE(ExpectExact(world, index, need, now)) << "seed " << seed << " round " << round;
        MatchResult result = FindMatches(*index.Snapshot(), need, now, 10);
        relaxations += static_cast<int>(result.relaxations.size());
        matches += result.match_count;
      }
    }
  }
  EXPECT_GT(matches, 300);
  EXPECT_GT(relaxations, 300);
}

TEST(Matching, ASnapshotStaysAsItWas) {
  Maker maker(99);
  Index index;
  World world;
  Live(maker, index, world, 80);
  Need need = maker.MakeNeed();
  need.processes.clear();
  auto before = index.Snapshot();
  MatchResult first = FindMatches(*before, need, maker.start, 1000);
  Live(maker, index, world, 200);
  MatchResult again = FindMatches(*before, need, maker.start, 1000);
  ASSERT_EQ(first.considered, again.considered);
  ASSERT_EQ(first.match_count, again.match_count);
  EXPECT_NE(FindMatches(*index.Snapshot(), need, maker.start, 1000).considered, first.considered);
}

TEST(Matching, WeightsDecideTheOrder) {
  Maker maker(5);
  Index index;
  Need need = maker.MakeNeed();
  need = Need();
  need.duration_minutes = 60;
  need.window = {maker.start, maker.start + hours(24 * 7)};
  Offer cheap = maker.MakeOffer(Uuid::New(), Uuid::New(), 1), trusted = cheap;
  trusted.listing = Uuid::New();
  trusted.provider = Uuid::New();
  cheap.plan.steps = {{0, 100}};
  trusted.plan.steps = {{0, 900}};
  index.PutListing(cheap, {}, true);
  index.PutListing(trusted, {}, true);
  index.PutTier(trusted.provider, 1);
  need.weights.price = 1;
  EXPECT_EQ(FindMatches(*index.Snapshot(), need, maker.start, 10).matches.at(0).offer->listing, cheap.listing);
  need.weights = {};
  need.weights.credit = 1;
  auto result = FindMatches(*index.Snapshot(), need, maker.start, 10);
  EXPECT_EQ(result.matches.at(0).offer->listing, trusted.listing);
  EXPECT_EQ(result.matches.at(0).score, kPpm);
}

TEST(Matching, SaysWhyInBothLanguages) {
  Maker maker(6);
  Index index;
  Offer offer = maker.MakeOffer(Uuid::New(), Uuid::New(), 1);
  offer.tolerance_um = 20;
  index.PutListing(offer, {}, true);
  Need need;
  need.duration_minutes = 60;
  need.window = {maker.start, maker.start + hours(24 * 14)};
  need.weights = kDefaultWeights;
  need.tolerance_um = 10;
  MatchResult result = FindMatches(*index.Snapshot(), need, maker.start, 10);
  ASSERT_EQ(result.misses.size(), 1u);
  Shortcoming lacking = Describe(Constraint::kTolerance, result.misses[0], need);
  EXPECT_EQ(lacking.have, "0.02 mm");
  EXPECT_EQ(lacking.need, "0.01 mm");
  EXPECT_EQ(lacking.sentence.en, "tolerance does not fit: has 0.02 mm, needs 0.01 mm");
  ASSERT_EQ(result.relaxations.size(), 1u);
  EXPECT_EQ(Describe(result.relaxations[0], need).sentence.en, "tolerance 0.02 mm instead of 0.01 mm: 1 more");
  EXPECT_EQ(Describe(result.relaxations[0], need).sentence.zh, "公差由 0.01 mm 放宽到 0.02 mm：多 1 个匹配");
  need.tolerance_um = 20;
  result = FindMatches(*index.Snapshot(), need, maker.start, 10);
  ASSERT_EQ(result.matches.size(), 1u);
  for (const ScorePart& part : result.matches[0].parts) {
    EXPECT_FALSE(ExplainPart(part, result.matches[0], need).zh.empty());
    EXPECT_FALSE(ExplainPart(part, result.matches[0], need).en.empty());
  }
  EXPECT_NE(Explain(result.matches[0], need).zh.find("满足全部要求"), std::string::npos);
}

TEST(Matching, SchemesOfCertificatesAreComparedByTheirLetters) {
  EXPECT_EQ(FoldScheme("ISO 9001"), FoldScheme("iso9001"));
  EXPECT_EQ(FoldScheme("ＩＳＯ－9001"), "iso9001");
  EXPECT_NE(FoldScheme("ISO 9001"), FoldScheme("ISO 14001"));
}

TEST(DemandTable, EveryStateIsReachedAndEveryWaitHasItsRow) {
  const auto& table = DemandTable();
  std::set<DemandState> reached{DemandState::kDraft};
  for (const auto& row : table.transitions) reached.insert(row.to);
  EXPECT_EQ(reached.size(), 6u);
  for (const auto& wait : table.waits) EXPECT_NE(table.Find(wait.state, wait.outcome, kSystem), nullptr);
  for (DemandState end : {DemandState::kFulfilled, DemandState::kExpired, DemandState::kWithdrawn}) {
    EXPECT_TRUE(table.From(end).empty());
  }
  EXPECT_EQ(table.Find(DemandState::kAwarded, DemandEvent::kWithdraw, kBuyer), nullptr);
}

}  // namespace
}  // namespace millrace::matching::domain
