// SPDX-License-Identifier: Apache-2.0
#include "services/matching/domain/relax.h"

#include <algorithm>
#include <bit>

namespace millrace::matching::domain {
namespace {

// Steps to the virtual root above all: the node is left out.
constexpr int kLeftOut = 1000;

const Node* ParentOf(const Node& node, bool process) {
  if (node.parent.empty()) return nullptr;
  const auto& taxonomy = taxonomy::Taxonomy::BuiltIn();
  return process ? taxonomy.Process(node.parent) : taxonomy.Material(node.parent);
}

const Node* Up(const Node& node, int steps, bool process) {
  const Node* at = &node;
  for (int step = 0; step < steps && at != nullptr; ++step) at = ParentOf(*at, process);
  return at;
}

bool Serves(const Offer& offer, const Node& wanted, bool process) {
  return process ? ServesProcess(offer, wanted) : ServesMaterial(offer, wanted);
}

bool IsGrowing(Constraint constraint) {  // a greater number asks for less
  return constraint == Constraint::kTolerance || constraint == Constraint::kDistance ||
         constraint == Constraint::kBudget || constraint == Constraint::kCalendar;
}

}  // namespace

void Relaxer::AddNode(const Offer& offer, bool process) {
  const Node* unserved = nullptr;
  for (const Node* wanted : process ? need_.processes : need_.materials) {
    if (Serves(offer, *wanted, process) || wanted == unserved) continue;
    if (unserved != nullptr) return;  // two of them: one widening does not do
    unserved = wanted;
  }
  int steps = 1;
  // Processes are widened by one step, no further: beyond that it is another trade.
  const Node* wider = ParentOf(*unserved, process);
  while (wider != nullptr && !Serves(offer, *wider, process)) {
    if (process) return;
    wider = ParentOf(*wider, process);
    ++steps;
  }
  if (wider == nullptr && process) return;
  ++(process ? processes_ : materials_)[unserved].adds[wider == nullptr ? kLeftOut : steps];
}

void Relaxer::Add(const Miss& miss, const std::string& currency, const std::optional<Interval>& later) {
  const Offer& offer = *miss.offer;
  switch (static_cast<Constraint>(std::countr_zero(miss.failed))) {
    case Constraint::kProcess:
      AddNode(offer, true);
      break;
    case Constraint::kMaterial:
      AddNode(offer, false);
      break;
    case Constraint::kTolerance:
      if (offer.tolerance_um > 0) ++numbers_[Constraint::kTolerance][offer.tolerance_um];
      break;
    case Constraint::kEnvelope:
      if (offer.envelope_mm[0] > 0) sides_.push_back(offer.envelope_mm);
      break;
    case Constraint::kMass:
      if (offer.mass_g > 0) ++numbers_[Constraint::kMass][offer.mass_g];
      break;
    case Constraint::kCertificate: {
      size_t lacking = need_.certificates.size();
      for (size_t i = 0; i < need_.certificates.size(); ++i) {
        if (HoldsCertificate(offer, need_.certificates[i], need_.window.end)) continue;
        if (lacking != need_.certificates.size()) return;
        lacking = i;
      }
      ++schemes_[lacking];
      break;
    }
    case Constraint::kKind:
      ++kinds_;
      break;
    case Constraint::kUnits:
      ++numbers_[Constraint::kUnits][offer.capacity];
      break;
    case Constraint::kDistance:
      if (miss.distance_km) ++numbers_[Constraint::kDistance][*miss.distance_km];
      break;
    case Constraint::kCalendar:
      if (later) ++numbers_[Constraint::kCalendar][Micros(later->end)];
      break;
    case Constraint::kBudget:
      if (miss.total && need_.budget && currency == need_.budget->currency)
        ++numbers_[Constraint::kBudget][*miss.total];
      break;
  }
}

std::optional<Relaxation> Relaxer::Numeric(Constraint constraint) const {
  auto found = numbers_.find(constraint);
  if (found == numbers_.end()) return std::nullopt;
  const auto& [value, adds] = IsGrowing(constraint) ? *found->second.begin() : *found->second.rbegin();
  Relaxation out{constraint, need_, adds, nullptr, nullptr, {}};
  switch (constraint) {
    case Constraint::kTolerance:
      out.need.tolerance_um = value;
      break;
    case Constraint::kMass:
      out.need.mass_g = value;
      break;
    case Constraint::kUnits:
      out.need.units = value;
      break;
    case Constraint::kDistance:
      out.need.max_distance_km = value;
      break;
    case Constraint::kCalendar:
      out.need.window.end = FromMicros(value);
      break;
    case Constraint::kBudget:
      out.need.budget->amount = value;
      break;
    default:
      return std::nullopt;
  }
  return out;
}

std::optional<Relaxation> Relaxer::Envelope() const {
  if (sides_.empty()) return std::nullopt;
  auto cut = [&](const Sides& have) {
    int64_t lost = 0;
    for (size_t side = 0; side < 3; ++side) lost += std::max<int64_t>(0, need_.envelope_mm[side] - have[side]);
    return lost;
  };
  Sides nearest = *std::ranges::min_element(sides_, {}, [&](const Sides& have) { return std::pair(cut(have), have); });
  Relaxation out{Constraint::kEnvelope, need_, 0, nullptr, nullptr, {}};
  for (size_t side = 0; side < 3; ++side) out.need.envelope_mm[side] = std::min(need_.envelope_mm[side], nearest[side]);
  for (const Sides& have : sides_) {
    bool fits = true;
    for (size_t side = 0; side < 3; ++side) fits &= out.need.envelope_mm[side] <= have[side];
    out.adds += fits;
  }
  return out;
}

std::optional<Relaxation> Relaxer::Nodes(bool process) const {
  const auto& widenings = process ? processes_ : materials_;
  std::optional<Relaxation> best;
  const std::vector<const Node*>& wanted = process ? need_.processes : need_.materials;
  for (size_t i = 0; i < wanted.size(); ++i) {
    auto found = widenings.find(wanted[i]);
    if (found == widenings.end()) continue;
    auto [steps, adds] = *found->second.adds.begin();
    if (best && best->adds >= adds) continue;
    best.emplace(process ? Constraint::kProcess : Constraint::kMaterial, need_, adds, wanted[i],
                 Up(*wanted[i], steps, process), Scheme());
    std::vector<const Node*>& nodes = process ? best->need.processes : best->need.materials;
    std::erase(nodes, wanted[i]);
    if (best->relaxed != nullptr) nodes.push_back(best->relaxed);
  }
  return best;
}

std::optional<Relaxation> Relaxer::Certificates() const {
  if (schemes_.empty()) return std::nullopt;
  const auto& [at, adds] = *std::ranges::max_element(schemes_, {}, [](const auto& entry) { return entry.second; });
  Relaxation out{Constraint::kCertificate, need_, adds, nullptr, nullptr, need_.certificates[at]};
  out.need.certificates.erase(out.need.certificates.begin() + static_cast<ptrdiff_t>(at));
  return out;
}

std::vector<Relaxation> Relaxer::Relaxations() const {
  std::vector<Relaxation> out;
  auto add = [&](std::optional<Relaxation> relaxation) {
    if (relaxation && relaxation->adds > 0) out.push_back(*std::move(relaxation));
  };
  add(Nodes(true));
  add(Nodes(false));
  add(Numeric(Constraint::kTolerance));
  add(Envelope());
  add(Numeric(Constraint::kMass));
  add(Certificates());
  if (kinds_ > 0) {
    out.push_back({Constraint::kKind, need_, kinds_, nullptr, nullptr, {}});
    out.back().need.kind = 0;
  }
  add(Numeric(Constraint::kUnits));
  add(Numeric(Constraint::kDistance));
  add(Numeric(Constraint::kCalendar));
  add(Numeric(Constraint::kBudget));
  return out;
}

}  // namespace millrace::matching::domain
