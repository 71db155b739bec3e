// SPDX-License-Identifier: Apache-2.0
// The two sides of a match: what a published listing offers, and what a demand needs.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/geo.h"
#include "common/base/id.h"
#include "common/base/money.h"
#include "common/calendar/calendar.h"
#include "common/pricing/pricing.h"
#include "common/taxonomy/taxonomy.h"

namespace millrace::matching::domain {

using taxonomy::Node;
using Sides = std::array<int64_t, 3>;  // mm, longest first

// Numbers of millrace.matching.v1.Constraint.
enum class Constraint {
  kProcess = 1,
  kMaterial,
  kTolerance,
  kEnvelope,
  kMass,
  kCertificate,
  kKind,
  kUnits,
  kDistance,
  kCalendar,
  kBudget
};
inline constexpr int kConstraints = 11;
constexpr uint32_t Bit(Constraint constraint) { return 1u << static_cast<int>(constraint); }

struct Certificate {
  std::string scheme;  // as FoldScheme gives it
  std::optional<Time> expire;
};

// A published listing. Zero numbers are not stated.
struct Offer {
  Uuid listing, resource, provider;
  int64_t version = 0;
  int kind = 0;  // number of Resource.Kind
  std::string name_zh, name_en, maker, model;
  std::vector<const Node*> processes, materials;
  int64_t tolerance_um = 0;
  Sides envelope_mm{};
  int64_t mass_g = 0;
  std::vector<Certificate> certificates;
  std::shared_ptr<const calendar::Rules> rules;
  pricing::Plan plan;
  int64_t capacity = 1;
  std::optional<Point> place;
};

// A scheme that a demand wants.
struct Scheme {
  std::string written, folded;
};

struct Weights {
  int64_t price = 0, process = 0, tolerance = 0, distance = 0, calendar = 0, credit = 0, load = 0;
};
inline constexpr Weights kDefaultWeights = {30, 15, 10, 15, 10, 15, 5};

// A demand's requirement. Zero numbers and empty lists are no constraint.
struct Need {
  Uuid organization;
  std::vector<const Node*> processes, materials;
  int64_t tolerance_um = 0;
  Sides envelope_mm{};
  int64_t mass_g = 0;
  int64_t duration_minutes = 0;
  Interval window;
  std::optional<Money> budget;
  std::optional<Point> place;
  int64_t max_distance_km = 0;
  std::vector<Scheme> certificates;
  int kind = 0;
  int64_t units = 1;
  Weights weights;

  Duration length() const { return std::chrono::minutes(duration_minutes); }
};

Sides SortedSides(int64_t x, int64_t y, int64_t z);
// "ISO 9001", "iso9001" and "ＩＳＯ－9001" are the same.
std::string FoldScheme(std::string_view scheme);

}  // namespace millrace::matching::domain
