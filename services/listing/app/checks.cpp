// SPDX-License-Identifier: Apache-2.0
#include "services/listing/app/checks.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cmath>
#include <limits>

#include "common/base/geo.h"
#include "common/taxonomy/taxonomy.h"
#include "common/terms/terms.h"

namespace millrace::listing {

namespace {

constexpr int64_t kOldestYear = 1900, kLatestYear = 2100;

// Measures are not negative, save temperatures; a year has four digits.
void CheckAttributes(const v1::Attributes& attributes, const std::string& pointer, std::vector<Violation>* faults) {
  using google::protobuf::FieldDescriptor;
  const auto* kind = v1::Attributes::descriptor()->FindFieldByNumber(attributes.kind_case());
  if (!kind) return;
  const auto& message = attributes.GetReflection()->GetMessage(attributes, kind);
  std::vector<const FieldDescriptor*> set;
  message.GetReflection()->ListFields(message, &set);
  for (const FieldDescriptor* field : set) {
    bool wide = field->cpp_type() == FieldDescriptor::CPPTYPE_INT64;
    if (field->is_repeated() || (!wide && field->cpp_type() != FieldDescriptor::CPPTYPE_INT32)) continue;
    int64_t value =
        wide ? message.GetReflection()->GetInt64(message, field) : message.GetReflection()->GetInt32(message, field);
    int64_t least = 0, most = wide ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int32_t>::max();
    if (field->name() == "year_built") least = kOldestYear, most = kLatestYear;
    if (field->name().ends_with("_cdeg")) least = -27315;  // absolute zero
    if (value >= least && value <= most) continue;
    faults->push_back({pointer + "/" + kind->name() + "/" + field->name(),
                       ErrorCode::kOutOfRange,
                       {{"field", field->name()}, {"min", std::to_string(least)}, {"max", std::to_string(most)}}});
  }
}

}  // namespace

std::vector<Violation> CheckResource(const v1::Resource& resource, const std::string& pointer) {
  std::vector<Violation> faults;
  if (resource.display_name().zh().empty() && resource.display_name().en().empty()) {
    faults.push_back({pointer + "/display_name", ErrorCode::kRequired, {{"field", "display_name"}}});
  }
  // The members of the oneof have the numbers of their kinds.
  if (resource.has_attributes() && resource.attributes().kind_case() != v1::Attributes::KIND_NOT_SET &&
      static_cast<int>(resource.attributes().kind_case()) != static_cast<int>(resource.kind())) {
    const auto* descriptor = v1::Attributes::descriptor();
    const auto* expected = descriptor->FindFieldByNumber(resource.kind());
    const auto* got = descriptor->FindFieldByNumber(resource.attributes().kind_case());
    faults.push_back(
        {pointer + "/attributes",
         ErrorCode::kWrongType,
         {{"field", "attributes"}, {"expected", expected ? expected->name() : "-"}, {"got", got->name()}}});
  }
  CheckAttributes(resource.attributes(), pointer + "/attributes", &faults);
  if (resource.has_place()) {
    auto range = [&](const char* field, double value, double bound) {
      if (std::isfinite(value) && std::abs(value) <= bound) return;
      std::string most = std::to_string(static_cast<int>(bound));
      faults.push_back({pointer + "/place/" + field,
                        ErrorCode::kOutOfRange,
                        {{"field", field}, {"min", "-" + most}, {"max", most}}});
    };
    range("longitude", resource.place().longitude(), 180);
    range("latitude", resource.place().latitude(), 90);
  }
  return faults;
}

std::vector<Violation> CheckListing(const v1::Listing& listing, const std::string& pointer) {
  std::vector<Violation> faults;
  const auto& taxonomy = taxonomy::Taxonomy::BuiltIn();
  const auto& capability = listing.capability();
  for (int i = 0; i < capability.processes_size(); ++i) {
    if (taxonomy.Process(capability.processes(i))) continue;
    faults.push_back({pointer + "/capability/processes/" + std::to_string(i),
                      ErrorCode::kUnknownProcess,
                      {{"field", "processes"}, {"process", capability.processes(i)}}});
  }
  for (int i = 0; i < capability.materials_size(); ++i) {
    if (taxonomy.Material(capability.materials(i))) continue;
    faults.push_back({pointer + "/capability/materials/" + std::to_string(i),
                      ErrorCode::kUnknownMaterial,
                      {{"field", "materials"}, {"material", capability.materials(i)}}});
  }
  if (listing.has_calendar()) {
    std::vector<Violation> found = calendar::CheckRules(terms::ToRules(listing.calendar()), pointer + "/calendar");
    faults.insert(faults.end(), found.begin(), found.end());
  }
  if (listing.has_price_plan()) {
    std::vector<Violation> found = pricing::CheckPlan(terms::ToPlan(listing.price_plan()), pointer + "/price_plan");
    faults.insert(faults.end(), found.begin(), found.end());
  }
  return faults;
}

std::string Missing(const v1::Listing& listing) {
  std::string missing;
  auto need = [&missing](bool there, const char* what) {
    if (!there) missing += (missing.empty() ? "" : ", ") + std::string(what);
  };
  need(listing.capability().processes_size() > 0, "capability.processes");
  bool open = listing.calendar().weekly_size() > 0;
  for (const auto& exception : listing.calendar().exceptions()) open = open || exception.open();
  need(open, "calendar");
  need(listing.price_plan().steps_size() > 0, "price_plan");
  return missing;
}

void ToWgs84(type::Place* place) {
  Point given{place->longitude(), place->latitude()};
  Point point = place->coordinate_system() == type::Place::GCJ02  ? FromGcj02(given)
                : place->coordinate_system() == type::Place::BD09 ? FromBd09(given)
                                                                  : given;
  place->set_longitude(point.longitude);
  place->set_latitude(point.latitude);
  place->set_coordinate_system(type::Place::WGS84);
}

Result<void> Refuse(std::vector<Violation> violations) {
  if (violations.empty()) return {};
  return Fail(Error::Of(std::move(violations)));
}

}  // namespace millrace::listing
