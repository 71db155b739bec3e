// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/organization.h"

#include <algorithm>
#include <cmath>

#include "common/base/words.h"

namespace millrace::identity::domain {
namespace {

using Row = Transition<State, Verb>;

constexpr Row kRows[] = {
    {State::kPending, Verb::kVerify, State::kVerified, kOperator, "", "may publish and book"},
    {State::kPending, Verb::kReject, State::kRejected, kOperator, "with a reason", ""},
    {State::kPending, Verb::kExpire, State::kRejected, kSystem, "nobody decided in 90 days", ""},
    {State::kVerified, Verb::kSuspend, State::kSuspended, kOperator, "with a reason",
     "neither publishes nor books; listings are withdrawn"},
    {State::kSuspended, Verb::kReinstate, State::kVerified, kOperator, "", "may publish and book"},
    {State::kPending, Verb::kUpdate, State::kPending, kAdmin | kOperator, "", ""},
    {State::kVerified, Verb::kUpdate, State::kVerified, kAdmin | kOperator, "not the legal facts", ""},
    {State::kSuspended, Verb::kUpdate, State::kSuspended, kAdmin | kOperator, "not the legal facts", ""},
};
constexpr Wait<State, Verb> kWaits[] = {{State::kPending, Verb::kExpire, "90 days after the registration"}};

std::string_view StateName(State state) {
  switch (state) {
    case State::kPending:
      return "PENDING";
    case State::kVerified:
      return "VERIFIED";
    case State::kRejected:
      return "REJECTED";
    case State::kSuspended:
      return "SUSPENDED";
  }
  return "";
}

std::string_view VerbName(Verb verb) {
  switch (verb) {
    case Verb::kVerify:
      return "verify";
    case Verb::kReject:
      return "reject";
    case Verb::kSuspend:
      return "suspend";
    case Verb::kReinstate:
      return "reinstate";
    case Verb::kExpire:
      return "expire";
    case Verb::kUpdate:
      return "update";
  }
  return "";
}

// GB/T 2260: provinces, autonomous regions, municipalities and special administrative regions.
constexpr int kProvinces[] = {11, 12, 13, 14, 15, 21, 22, 23, 31, 32, 33, 34, 35, 36, 37, 41, 42,
                              43, 44, 45, 46, 50, 51, 52, 53, 54, 61, 62, 63, 64, 65, 71, 81, 82};

bool AllDigits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

const StateTable<State, Verb>& OrganizationTable() {
  static constexpr StateTable<State, Verb> kTable{kRows, kWaits, StateName, VerbName};
  return kTable;
}

Result<State> Decide(State from, Verb verb, uint8_t actor) {
  if (const Row* row = OrganizationTable().Find(from, verb, actor)) return row->to;
  return Fail(OrganizationTable().Conflict(from, verb, actor));
}

bool NeedsReason(Verb verb) { return verb == Verb::kReject || verb == Verb::kSuspend; }

Result<void> CheckFacts(State state, bool by_operator, const Facts& before, const Facts& after) {
  std::vector<Violation> violations;
  auto fixed = [&](const char* field) {
    violations.push_back({std::string("#/organization/") + field, ErrorCode::kImmutableField, {{"field", field}}});
  };
  bool pending = state == State::kPending;
  if (after.display_name != before.display_name && !pending && !by_operator) fixed("display_name");
  if (after.uscc != before.uscc && (!pending || before.invited)) fixed("uscc");
  if (after.synthetic != before.synthetic) fixed("synthetic");
  if (violations.empty()) return {};
  return Fail(Error::Of(std::move(violations)));
}

Result<void> CheckRegionCode(std::string_view code, std::string_view pointer) {
  if (code.empty()) return {};
  if (code.size() == 6 && AllDigits(code)) {
    int province = (code[0] - '0') * 10 + (code[1] - '0');
    if (std::find(std::begin(kProvinces), std::end(kProvinces), province) != std::end(kProvinces)) return {};
  }
  return Fail(Error::At(std::string(pointer), ErrorCode::kInvalidFormat, {{"expected", "GB/T 2260 (320583)"}}));
}

Result<Point> ToWgs84(Point given, CoordinateSystem system, std::string_view pointer) {
  auto outside = [&](const char* field, const char* min, const char* max) {
    return Fail(Error::At(std::string(pointer) + "/" + field, ErrorCode::kOutOfRange, {{"min", min}, {"max", max}}));
  };
  // Written so that NaN is outside too.
  if (!(given.longitude >= -180 && given.longitude <= 180)) return outside("longitude", "-180", "180");
  if (!(given.latitude >= -90 && given.latitude <= 90)) return outside("latitude", "-90", "90");
  if (system == CoordinateSystem::kGcj02) return FromGcj02(given);
  if (system == CoordinateSystem::kBd09) return FromBd09(given);
  return given;
}

Result<std::vector<std::string>> KeyRoles(const std::vector<std::string>& wanted,
                                          const std::vector<std::string>& organization,
                                          const std::vector<std::string>& caller) {
  std::vector<std::string> roles = wanted.empty() ? organization : wanted;
  if (wanted.empty()) std::erase(roles, "admin");
  std::sort(roles.begin(), roles.end());
  roles.erase(std::unique(roles.begin(), roles.end()), roles.end());
  std::vector<std::string> missing;
  auto has = [](const std::vector<std::string>& in, const std::string& role) {
    return std::find(in.begin(), in.end(), role) != in.end();
  };
  for (const std::string& role : roles) {
    if (!has(organization, role) || !has(caller, role)) missing.push_back(role);
  }
  if (!missing.empty()) return Fail(ErrorCode::kInsufficientScope, {{"roles", JoinWords(missing, ", ")}});
  return roles;
}

}  // namespace millrace::identity::domain
