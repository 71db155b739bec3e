// SPDX-License-Identifier: Apache-2.0
#include "services/matching/domain/index.h"

#include <algorithm>

#include "common/base/risk_tier.h"
#include "common/base/text.h"

namespace millrace::matching::domain {
namespace {

// Equal texts are equal rules.
std::string KeyOf(const calendar::Rules& rules) {
  std::string key = rules.time_zone;
  auto add = [&](int64_t number) { key += ',' + std::to_string(number); };
  for (int number : {rules.min_duration_minutes, rules.max_duration_minutes, rules.lead_time_minutes,
                     rules.buffer_before_minutes, rules.buffer_after_minutes}) {
    add(number);
  }
  for (const auto& rule : rules.weekly) add(rule.weekday), add(rule.start_minute), add(rule.end_minute);
  key += ';';
  for (const auto& exception : rules.exceptions) {
    add(Micros(exception.window.start)), add(Micros(exception.window.end)), add(exception.open);
  }
  return key;
}

}  // namespace

Sides SortedSides(int64_t x, int64_t y, int64_t z) {
  Sides sides{x, y, z};
  std::ranges::sort(sides, std::greater());
  return sides;
}

std::string FoldScheme(std::string_view scheme) {
  std::string folded = FoldText(scheme);
  std::erase(folded, ' ');
  return folded;
}

Index::Index() : data_(std::make_shared<IndexData>()) {
  data_->by_process.resize(taxonomy::Taxonomy::BuiltIn().processes().size());
}

IndexData& Index::Mutable() {
  if (data_.use_count() > 1) data_ = std::make_shared<IndexData>(*data_);
  return *data_;
}

std::shared_ptr<const calendar::Rules> Index::Intern(std::shared_ptr<const calendar::Rules> rules) {
  if (rules_.size() > 2 * row_of_.size() + 1000)
    std::erase_if(rules_, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<const calendar::Rules>& known = rules_[KeyOf(*rules)];
  if (auto same = known.lock()) return same;
  known = rules;
  return rules;
}

void Index::PutListing(Offer offer, std::vector<Uuid> parents, bool published) {
  int64_t& version = version_of_[offer.listing];
  if (offer.version < version) return;
  version = offer.version;
  SetParents(offer.resource, std::move(parents));
  Remove(offer.listing);
  if (published) Insert(std::move(offer));
}

void Index::Insert(Offer offer) {
  offer.rules = Intern(std::move(offer.rules));
  IndexData& data = Mutable();
  uint32_t at = static_cast<uint32_t>(data.rows.size());
  if (free_rows_.empty()) {
    data.rows.emplace_back();
  } else {
    at = free_rows_.back();
    free_rows_.pop_back();
  }
  auto tier = tiers_.find(offer.provider);
  Row& row = data.rows[at];
  row.tier = tier == tiers_.end() ? kNewcomerTier : tier->second;
  row.busy = BusyOf(offer.resource, offer.capacity);
  row_of_[offer.listing] = at;
  rows_of_resource_[offer.resource].push_back(at);
  rows_of_provider_[offer.provider].push_back(at);
  // A listing may name a process twice, and then stands there once.
  std::set<int> nodes;
  for (const Node* process : offer.processes) nodes.insert(process->begin);
  for (int node : nodes) data.by_process[static_cast<size_t>(node)].push_back(at);
  row.offer = std::make_shared<const Offer>(std::move(offer));
}

void Index::Remove(const Uuid& listing) {
  auto found = row_of_.find(listing);
  if (found == row_of_.end()) return;
  uint32_t at = found->second;
  row_of_.erase(found);
  IndexData& data = Mutable();
  std::shared_ptr<const Offer> offer = data.rows[at].offer;
  data.rows[at] = Row();
  std::erase(rows_of_resource_[offer->resource], at);
  std::erase(rows_of_provider_[offer->provider], at);
  for (const Node* process : offer->processes) std::erase(data.by_process[static_cast<size_t>(process->begin)], at);
  free_rows_.push_back(at);
}

void Index::PutBooking(const Uuid& booking, int64_t version, std::vector<Leg> legs) {
  auto known = bookings_.find(booking);
  if (known != bookings_.end() && version < known->second.version) return;
  std::set<Uuid> touched;
  if (known != bookings_.end()) {
    for (const Leg& leg : known->second.legs) {
      taken_[leg.resource].erase(booking);
      touched.insert(leg.resource);
    }
  }
  for (const Leg& leg : legs) {
    taken_[leg.resource][booking].push_back(leg);
    touched.insert(leg.resource);
  }
  if (legs.empty()) {
    if (known != bookings_.end()) bookings_.erase(known);
  } else {
    bookings_[booking] = {version, std::move(legs)};
  }
  for (const Uuid& resource : touched) {
    if (taken_[resource].empty()) taken_.erase(resource);
    Refresh(resource);
  }
}

void Index::PutTier(const Uuid& provider, int tier) {
  tiers_[provider] = tier;
  auto rows = rows_of_provider_.find(provider);
  if (rows == rows_of_provider_.end()) return;
  for (uint32_t at : rows->second) Mutable().rows[at].tier = tier;
}

std::set<Uuid> Index::Relatives(const Uuid& resource, const std::unordered_map<Uuid, std::vector<Uuid>>& edges) const {
  std::set<Uuid> found;
  std::vector<Uuid> open{resource};
  while (!open.empty()) {
    auto next = edges.find(open.back());
    open.pop_back();
    if (next == edges.end()) continue;
    for (const Uuid& other : next->second) {
      if (other != resource && found.insert(other).second) open.push_back(other);
    }
  }
  return found;
}

std::shared_ptr<const BusyList> Index::BusyOf(const Uuid& resource, int64_t capacity) const {
  // The same rule as operations': a line blocks its machines and each machine its line, but machines of a line not each
  // other.
  BusyList busy;
  auto add = [&](const Uuid& where, bool own) {
    auto found = taken_.find(where);
    if (found == taken_.end()) return;
    for (const auto& [booking, legs] : found->second) {
      for (const Leg& leg : legs) {
        if (own) {
          busy.push_back({leg.blocked, leg.parent_leg ? capacity : leg.units});
        } else if (!leg.parent_leg) {
          busy.push_back({leg.blocked, capacity});
        }
      }
    }
  };
  add(resource, true);
  for (const Uuid& line : Relatives(resource, parents_)) add(line, false);
  for (const Uuid& machine : Relatives(resource, children_)) add(machine, false);
  if (busy.empty()) return nullptr;
  return std::make_shared<const BusyList>(std::move(busy));
}

void Index::Refresh(const Uuid& resource) {
  std::set<Uuid> around = Relatives(resource, parents_);
  around.merge(Relatives(resource, children_));
  around.insert(resource);
  for (const Uuid& one : around) {
    auto rows = rows_of_resource_.find(one);
    if (rows == rows_of_resource_.end()) continue;
    for (uint32_t at : rows->second) {
      Row& row = Mutable().rows[at];
      row.busy = BusyOf(one, row.offer->capacity);
    }
  }
}

void Index::SetParents(const Uuid& resource, std::vector<Uuid> parents) {
  auto known = parents_.find(resource);
  if (known == parents_.end() ? parents.empty() : known->second == parents) return;
  std::set<Uuid> before = Relatives(resource, parents_);
  before.merge(Relatives(resource, children_));
  if (known != parents_.end()) {
    for (const Uuid& parent : known->second) std::erase(children_[parent], resource);
  }
  for (const Uuid& parent : parents) children_[parent].push_back(resource);
  parents_[resource] = std::move(parents);
  Refresh(resource);
  for (const Uuid& other : before) Refresh(other);
}

}  // namespace millrace::matching::domain
