// SPDX-License-Identifier: Apache-2.0
#include "services/matching/app/wire.h"

#include "common/terms/terms.h"
#include "services/matching/domain/demand_states.h"
#include "services/matching/domain/sentences.h"

namespace millrace::matching {
namespace {

using domain::Node;
using taxonomy::Taxonomy;

constexpr size_t kUnderstoodShown = 5;

void AddNode(std::vector<const Node*>& nodes, const Node* node) {
  // Codes were checked when they came; a node that the taxonomy lost since is left out.
  if (node != nullptr && std::ranges::find(nodes, node) == nodes.end()) nodes.push_back(node);
}

std::optional<Point> ToPoint(bool has, const type::Place& place) {
  if (!has) return std::nullopt;
  return Point{place.longitude(), place.latitude()};
}

domain::Weights ToWeights(const v1::Weights& message) {
  domain::Weights weights{message.price(),    message.process(), message.tolerance(), message.distance(),
                          message.calendar(), message.credit(),  message.load()};
  bool stated = weights.price + weights.process + weights.tolerance + weights.distance + weights.calendar +
                    weights.credit + weights.load >
                0;
  return stated ? weights : domain::kDefaultWeights;
}

void SetName(const domain::Offer& offer, type::LocalizedText* out) {
  out->set_zh(offer.name_zh);
  out->set_en(offer.name_en);
}

void Fill(const domain::Match& match, const domain::Need& need, int rank, v1::Match* out) {
  const domain::Offer& offer = *match.offer;
  out->set_rank(rank);
  out->set_listing_id(FormatId("lst", offer.listing));
  out->set_listing_version(offer.version);
  out->set_resource_id(FormatId("res", offer.resource));
  out->set_provider_id(FormatId("org", offer.provider));
  SetName(offer, out->mutable_display_name());
  out->set_maker(offer.maker);
  out->set_model(offer.model);
  terms::FromInterval(match.window, out->mutable_window());
  *out->mutable_price() = terms::ToMessage(match.price);
  out->set_score_ppm(match.score);
  for (const domain::ScorePart& part : match.parts) {
    v1::ScorePart* to = out->add_parts();
    to->set_name(part.name);
    to->set_weight(static_cast<int32_t>(part.weight));
    to->set_value_ppm(part.value);
    to->set_contribution_ppm(part.contribution);
    domain::Sentence sentence = domain::ExplainPart(part, match, need);
    to->set_zh(sentence.zh);
    to->set_en(sentence.en);
  }
  domain::Sentence sentence = domain::Explain(match, need);
  out->mutable_explanation()->set_zh(sentence.zh);
  out->mutable_explanation()->set_en(sentence.en);
  if (match.distance_km) out->set_distance_km(*match.distance_km);
}

void Fill(const domain::Miss& miss, const domain::Need& need, v1::Miss* out) {
  out->set_listing_id(FormatId("lst", miss.offer->listing));
  SetName(*miss.offer, out->mutable_display_name());
  for (int c = 1; c <= domain::kConstraints; ++c) {
    auto constraint = static_cast<domain::Constraint>(c);
    if (!(miss.failed & domain::Bit(constraint))) continue;
    domain::Shortcoming shortcoming = domain::Describe(constraint, miss, need);
    v1::FailedConstraint* to = out->add_failed();
    to->set_constraint(static_cast<v1::Constraint>(c));
    to->set_have(shortcoming.have);
    to->set_need(shortcoming.need);
    to->set_zh(shortcoming.sentence.zh);
    to->set_en(shortcoming.sentence.en);
  }
}

void AddUnderstood(const std::vector<taxonomy::Found>& found,
                   google::protobuf::RepeatedPtrField<v1::UnderstoodNode>* out) {
  for (const taxonomy::Found& one : found) {
    if (static_cast<size_t>(out->size()) == kUnderstoodShown) return;
    v1::UnderstoodNode* to = out->Add();
    to->set_code(one.node->code);
    to->set_zh(one.node->zh);
    to->set_en(one.node->en);
    to->set_matched(one.matched);
    to->set_confidence_ppm(static_cast<int32_t>(one.confidence * 1'000'000));
  }
}

}  // namespace

void SetTime(google::protobuf::Timestamp* out, Time time) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  out->set_seconds(seconds.time_since_epoch().count());
  out->set_nanos(static_cast<int32_t>((time - seconds).count() * 1000));
}

Time ReadTime(const google::protobuf::Timestamp& timestamp) {
  return Time(std::chrono::seconds(timestamp.seconds())) + Duration(timestamp.nanos() / 1000);
}

domain::Offer ToOffer(const listing::v1::Bookable& bookable) {
  const listing::v1::Listing& listing = bookable.listing();
  const listing::v1::Resource& resource = bookable.resource();
  const listing::v1::Capability& capability = listing.capability();
  const Taxonomy& taxonomy = Taxonomy::BuiltIn();
  domain::Offer offer;
  offer.listing = IdOrNil(listing.id());
  offer.resource = IdOrNil(listing.resource_id());
  offer.provider = IdOrNil(listing.organization_id());
  offer.version = listing.version();
  offer.kind = resource.kind();
  offer.name_zh = resource.display_name().zh();
  offer.name_en = resource.display_name().en();
  offer.maker = resource.maker();
  offer.model = resource.model();
  for (const std::string& code : capability.processes()) AddNode(offer.processes, taxonomy.Process(code));
  for (const std::string& code : capability.materials()) AddNode(offer.materials, taxonomy.Material(code));
  offer.tolerance_um = capability.tolerance_um();
  offer.envelope_mm =
      domain::SortedSides(capability.envelope_x_mm(), capability.envelope_y_mm(), capability.envelope_z_mm());
  offer.mass_g = capability.mass_max_g();
  for (const auto& certificate : capability.certificates()) {
    domain::Certificate& held = offer.certificates.emplace_back();
    held.scheme = domain::FoldScheme(certificate.scheme());
    if (certificate.has_expire_time()) held.expire = ReadTime(certificate.expire_time());
  }
  offer.rules = std::make_shared<const calendar::Rules>(terms::ToRules(listing.calendar()));
  offer.plan = terms::ToPlan(listing.price_plan());
  offer.capacity = std::max(1, resource.units());
  offer.place = ToPoint(resource.has_place(), resource.place());
  return offer;
}

std::vector<Uuid> ParentsOf(const listing::v1::Bookable& bookable) {
  std::vector<Uuid> parents;
  for (const std::string& parent : bookable.resource().parent_ids()) parents.push_back(IdOrNil(parent));
  return parents;
}

std::vector<domain::Leg> ToLegs(const operations::v1::Booking& booking) {
  std::vector<domain::Leg> legs;
  for (const auto& reservation : booking.reservations()) {
    if (reservation.has_release_time()) continue;
    legs.push_back({IdOrNil(reservation.resource_id()), terms::ToInterval(reservation.blocked_window()),
                    std::max(1, reservation.units()), reservation.parent_leg()});
  }
  return legs;
}

domain::Need ToNeed(const v1::Demand& demand) {
  const v1::Requirement& requirement = demand.requirement();
  const Taxonomy& taxonomy = Taxonomy::BuiltIn();
  domain::Need need;
  need.organization = IdOrNil(demand.organization_id());
  for (const std::string& code : requirement.processes()) AddNode(need.processes, taxonomy.Process(code));
  if (requirement.processes().empty() && demand.understood().processes_size() > 0) {
    AddNode(need.processes, taxonomy.Process(demand.understood().processes(0).code()));
  }
  for (const std::string& code : requirement.materials()) AddNode(need.materials, taxonomy.Material(code));
  if (requirement.materials().empty() && demand.understood().materials_size() > 0) {
    AddNode(need.materials, taxonomy.Material(demand.understood().materials(0).code()));
  }
  need.tolerance_um = requirement.tolerance_um();
  need.envelope_mm =
      domain::SortedSides(requirement.envelope_x_mm(), requirement.envelope_y_mm(), requirement.envelope_z_mm());
  need.mass_g = requirement.mass_g();
  need.duration_minutes = requirement.duration_minutes();
  need.window = terms::ToInterval(requirement.window());
  if (requirement.has_budget()) need.budget = Money{requirement.budget().amount(), requirement.budget().currency()};
  need.place = ToPoint(requirement.has_place(), requirement.place());
  need.max_distance_km = requirement.max_distance_km();
  for (const std::string& scheme : requirement.certificates()) {
    std::string folded = domain::FoldScheme(scheme);
    bool known =
        std::ranges::any_of(need.certificates, [&](const domain::Scheme& one) { return one.folded == folded; });
    if (!known) need.certificates.push_back({scheme, folded});
  }
  need.kind = requirement.kind();
  need.units = std::max(1, requirement.units());
  need.weights = ToWeights(requirement.weights());
  return need;
}

v1::MatchDemandResponse ToMessage(const domain::MatchResult& result, const domain::Need& need) {
  v1::MatchDemandResponse response;
  int rank = 0;
  for (const domain::Match& match : result.matches) Fill(match, need, ++rank, response.add_matches());
  response.set_match_count(result.match_count);
  for (const domain::Miss& miss : result.misses) Fill(miss, need, response.add_misses());
  for (const domain::Relaxation& relaxation : result.relaxations) {
    domain::Change change = domain::Describe(relaxation, need);
    v1::Relaxation* to = response.add_relaxations();
    to->set_constraint(static_cast<v1::Constraint>(relaxation.constraint));
    to->set_from(change.from);
    to->set_to(change.to);
    to->set_adds(relaxation.adds);
    to->set_zh(change.sentence.zh);
    to->set_en(change.sentence.en);
  }
  response.set_considered(result.considered);
  for (int c = 1; c <= domain::kConstraints; ++c) {
    if (result.failed[static_cast<size_t>(c)] == 0) continue;
    v1::ConstraintCount* to = response.add_failed();
    to->set_constraint(static_cast<v1::Constraint>(c));
    to->set_count(result.failed[static_cast<size_t>(c)]);
  }
  return response;
}

v1::Demand Present(v1::Demand message, int64_t version) {
  const auto& table = domain::DemandTable();
  auto state = static_cast<domain::DemandState>(message.state());
  message.clear_actions();
  for (const auto* row : table.From(state)) {
    if (!(row->actors & kBuyer)) continue;
    type::Action* action = message.add_actions();
    action->set_action(std::string(table.event_name(row->event)));
    for (std::string_view actor : ActorNames(row->actors)) action->add_actors(std::string(actor));
  }
  if (const auto* wait = table.WaitIn(state)) {
    type::Action* action = message.add_actions();
    action->set_action(std::string(table.event_name(wait->outcome)));
    action->add_actors("system");
    *action->mutable_deadline_time() = message.deadline_time();
  }
  message.set_etag(std::to_string(version));
  return message;
}

v1::Understood Understand(const v1::Demand& demand) {
  v1::Understood understood;
  std::string text = demand.title() + "\n" + demand.text();
  AddUnderstood(Taxonomy::BuiltIn().FindProcesses(text), understood.mutable_processes());
  AddUnderstood(Taxonomy::BuiltIn().FindMaterials(text), understood.mutable_materials());
  return understood;
}

}  // namespace millrace::matching
