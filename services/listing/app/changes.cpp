// SPDX-License-Identifier: Apache-2.0
#include "services/listing/app/changes.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <array>

#include "common/base/risk_tier.h"
#include "services/listing/app/checks.h"
#include "services/listing/app/convert.h"

namespace millrace::listing {

using domain::Event;
using domain::State;
using google::protobuf::util::MessageDifferencer;

void Record(ListingSet& set, ListingRow& row, std::string_view event) {
  ++row.version;
  row.update_time = set.now;
  row.changed = true;
  postgres::NewEvent fact;
  fact.type = event;
  fact.aggregate = FormatId("lst", row.id);
  fact.aggregate_version = row.version;
  fact.parties = {row.organization};
  fact.payload_type = "millrace.listing.v1.Bookable";
  fact.payload = ToBookable(row, set.Resource(row.resource)).SerializeAsString();
  set.events.push_back(std::move(fact));
}

void MoveTo(ListingSet& set, ListingRow& row, State to) {
  if (row.state == State::kInReview && to != State::kInReview) {
    row.deadline.reset();
    set.cancelled_tasks.push_back(row.id);
  }
  if (to == State::kInReview) {
    row.deadline = set.now + domain::kReviewWindow;
    set.tasks.push_back({row.id, "listing.review", row.id, *row.deadline, ""});
  }
  row.state = to;
  row.state_before.reset();
  row.state_reason.clear();
  row.ever_published = row.ever_published || to == State::kPublished;
  row.changed = true;
}

ResourceRow& AddResource(ListingSet& set, const Uuid& organization, v1::Resource content) {
  ResourceRow row;
  row.id = Uuid::New();
  row.organization = organization;
  row.version = 1;
  row.create_time = row.update_time = set.now;
  row.message = std::move(content);
  row.changed = true;
  set.Index(row);
  return set.resources[row.id] = std::move(row);
}

void ChangeResource(ListingSet& set, ResourceRow& row, v1::Resource content, const Uuid& except) {
  if (!row.message.external_id().empty()) set.resource_keys.erase({row.organization, row.message.external_id()});
  row.message = std::move(content);
  ++row.version;
  row.update_time = set.now;
  row.changed = true;
  set.Index(row);
  for (const Uuid& id : set.listings_of_resource[row.id]) {
    ListingRow& listing = set.listings.at(id);
    if (id != except && listing.state != State::kRetired) Record(set, listing, "listing.updated");
  }
}

ListingRow& AddListing(ListingSet& set, const Uuid& organization, const Uuid& resource, v1::Listing content) {
  ListingRow row;
  row.id = Uuid::New();
  row.organization = organization;
  row.resource = resource;
  row.create_time = row.update_time = set.now;
  row.message = std::move(content);
  row.changed = true;
  set.Index(row);
  return set.listings[row.id] = std::move(row);
}

Result<std::string_view> Publish(ListingSet& set, ListingRow& row, uint8_t actor) {
  OrganizationRow organization = set.Organization(row.organization);
  bool review = EffectsOf(organization.tier).review_before_publish;
  std::optional<State> to = domain::Next(row.state, Event::kPublish, actor, review);
  if (!to) return Fail(domain::StateConflict(row.state, Event::kPublish, actor));
  if (organization.suspended) return Fail(ErrorCode::kOrganizationNotVerified);
  if (std::string missing = Missing(row.message); !missing.empty()) {
    return Fail(ErrorCode::kListingIncomplete, {{"missing", missing}});
  }
  MoveTo(set, row, *to);
  return *to == State::kPublished ? std::string_view("listing.published") : std::string_view("listing.updated");
}

void Suspend(ListingSet& set, const Uuid& organization) {
  OrganizationRow row = set.Organization(organization);
  row.suspended = row.changed = true;
  set.organizations[organization] = row;
  for (const Uuid& id : set.listings_of_organization[organization]) {
    ListingRow& listing = set.listings.at(id);
    State before = listing.state;
    std::optional<State> to = domain::Next(before, Event::kSuspend, kSystem);
    if (!to) continue;
    MoveTo(set, listing, *to);
    listing.state_before = before;
    listing.state_reason = "organization suspended";
    Record(set, listing, "listing.blocked");
  }
}

void Reinstate(ListingSet& set, const Uuid& organization) {
  OrganizationRow row = set.Organization(organization);
  row.suspended = false;
  row.changed = true;
  set.organizations[organization] = row;
  for (const Uuid& id : set.listings_of_organization[organization]) {
    ListingRow& listing = set.listings.at(id);
    if (listing.state != State::kBlocked || !listing.state_before) continue;
    State to = *listing.state_before;
    MoveTo(set, listing, to);
    Record(set, listing,
           to == State::kPublished ? "listing.published"
           : to == State::kPaused  ? "listing.paused"
                                   : "listing.updated");
  }
}

void ChangeTier(ListingSet& set, const Uuid& organization, int tier, int64_t version) {
  OrganizationRow row = set.Organization(organization);
  if (version <= row.tier_version || tier < 1 || tier > 4) return;
  row.tier = tier;
  row.tier_version = version;
  row.changed = true;
  set.organizations[organization] = row;
}

SiteRow HeardSite(type::Place place, int64_t version) {
  ToWgs84(&place);
  return {std::max<int64_t>(version, 1), std::move(place)};
}

void MoveResources(ListingSet& set, const Uuid& site) {
  const type::Place& place = set.sites.at(site).place;
  std::string id = FormatId("sit", site);
  for (auto& [resource, row] : set.resources) {
    if (row.message.site_id() != id || MessageDifferencer::Equals(row.message.place(), place)) continue;
    v1::Resource content = row.message;
    *content.mutable_place() = place;
    ChangeResource(set, row, std::move(content));
  }
}

namespace {

constexpr int64_t kEnvelopeMost = 1'000'000;  // mm; the contract's bound

ListingRow* ListingByKey(ListingSet& set, const Key& key) {
  auto found = set.listing_keys.find(key);
  return found == set.listing_keys.end() ? nullptr : set.FindListing(found->second);
}

using Sides = std::array<int64_t, 3>;  // mm; all 0: not stated

// The largest part by a machine's attributes: its build volume, else its travels, where all three are stated.
Sides EnvelopeOf(const v1::Resource& resource) {
  const v1::EquipmentAttributes& machine = resource.attributes().equipment();
  for (const Sides& sides : {Sides{machine.build_x_mm(), machine.build_y_mm(), machine.build_z_mm()},
                             Sides{machine.travel_x_mm(), machine.travel_y_mm(), machine.travel_z_mm()}}) {
    if (std::ranges::all_of(sides, [](int64_t side) { return side > 0 && side <= kEnvelopeMost; })) return sides;
  }
  return {};
}

// Takes the envelope over from the attributes, unless the provider stated another one than they gave `before`.
void DeriveEnvelope(const v1::Resource& resource, const Sides& before, v1::Listing& listing) {
  Sides derived = EnvelopeOf(resource);
  const v1::Capability& now = listing.capability();
  Sides stated{now.envelope_x_mm(), now.envelope_y_mm(), now.envelope_z_mm()};
  if (derived == Sides() || (stated != Sides() && stated != before)) return;
  listing.mutable_capability()->set_envelope_x_mm(derived[0]);
  listing.mutable_capability()->set_envelope_y_mm(derived[1]);
  listing.mutable_capability()->set_envelope_z_mm(derived[2]);
}

// What the file says of capability, calendar and price; what it does not say stays.
v1::Listing Merged(const v1::Listing& before, const v1::Listing& line) {
  v1::Listing merged = before;
  if (line.capability().processes_size() > 0) {
    *merged.mutable_capability()->mutable_processes() = line.capability().processes();
  }
  if (line.capability().materials_size() > 0) {
    *merged.mutable_capability()->mutable_materials() = line.capability().materials();
  }
  if (line.has_calendar()) *merged.mutable_calendar() = line.calendar();
  if (line.has_price_plan()) *merged.mutable_price_plan() = line.price_plan();
  return merged;
}

// Content that other systems gave and that a file has no column for stays.
v1::Resource MergedResource(const v1::Resource& before, v1::Resource line) {
  line.set_site_id(before.site_id());
  if (before.has_place() && (!line.has_place() || !before.site_id().empty())) *line.mutable_place() = before.place();
  *line.mutable_parent_ids() = before.parent_ids();
  *line.mutable_metadata() = before.metadata();
  return line;
}

// The listing of a line: made, or brought up to date; `envelope` is what the resource's attributes gave before the
// line. Returns whether anything changed.
bool ApplyListing(ListingSet& set, const ResourceRow& resource, bool resource_changed, const v1::Listing& line,
                  const Sides& envelope, bool publish) {
  Key key{resource.organization, resource.message.external_id()};
  ListingRow* row = ListingByKey(set, key);
  bool fresh = row == nullptr;
  if (fresh) {
    v1::Listing content = line;
    content.set_external_id(key.second);
    content.clear_organization_id();
    DeriveEnvelope(resource.message, envelope, content);
    row = &AddListing(set, resource.organization, resource.id, std::move(content));
  }
  if (row->state == State::kRetired) return resource_changed;
  bool changed = fresh || resource_changed;
  if (!fresh && row->state != State::kBlocked) {
    v1::Listing merged = Merged(row->message, line);
    DeriveEnvelope(resource.message, envelope, merged);
    if (!MessageDifferencer::Equals(merged, row->message)) {
      row->message = std::move(merged);
      changed = true;
    }
  }
  std::string_view event = fresh ? "listing.created" : "listing.updated";
  // Only a row with a price was checked for an owner that may publish.
  bool wanted = publish && row->state == State::kDraft && line.has_price_plan();
  if (wanted && Missing(row->message).empty()) {
    if (fresh) {  // both facts, as by two commands
      Record(set, *row, event);
      event = "listing.updated";
    }
    if (Result<std::string_view> published = Publish(set, *row, kProvider)) {
      event = *published;
      changed = true;
    } else if (fresh) {
      return true;  // stays a draft: its organization is suspended
    }
  }
  if (changed) Record(set, *row, event);
  return changed;
}

}  // namespace

std::vector<LineFault> FindFaults(const ListingSet& set, const std::vector<ImportLine>& lines) {
  std::vector<LineFault> faults;
  for (const ImportLine& line : lines) {
    const v1::Resource& content = line.bookable.resource();
    Key key{IdOrNil(content.organization_id()), content.external_id()};
    auto resource = set.resource_keys.find(key);
    const ResourceRow* row = resource == set.resource_keys.end() ? nullptr : set.Resource(resource->second);
    if (row && row->message.kind() != content.kind()) {
      ErrorParams params{{"field", "kind"}, {"expected", v1::Resource::Kind_Name(row->message.kind())}};
      faults.push_back({line.line, {"kind", ErrorCode::kInvalidFormat, std::move(params)}});
      continue;
    }
    auto listing = set.listing_keys.find(key);
    if (listing != set.listing_keys.end() && (!row || set.listings.at(listing->second).resource != row->id)) {
      ErrorParams params{{"field", "external_id"}, {"value", key.second}};
      faults.push_back({line.line, {"external_id", ErrorCode::kAlreadyExists, std::move(params)}});
    }
  }
  return faults;
}

Applied ApplyLines(ListingSet& set, const std::vector<ImportLine>& lines, bool publish) {
  Applied applied;
  applied.faults = FindFaults(set, lines);
  std::set<int> refused;
  for (const LineFault& fault : applied.faults) refused.insert(fault.line);
  for (const ImportLine& line : lines) {
    if (refused.contains(line.line)) continue;
    Uuid organization = IdOrNil(line.bookable.resource().organization_id());
    v1::Resource content = line.bookable.resource();
    content.clear_organization_id();
    auto found = set.resource_keys.find({organization, content.external_id()});
    ResourceRow* row = found == set.resource_keys.end() ? nullptr : &set.resources.at(found->second);
    ListingRow* listing = ListingByKey(set, {organization, content.external_id()});
    Sides envelope = row ? EnvelopeOf(row->message) : Sides();
    bool fresh = row == nullptr, changed = fresh;
    if (fresh) {
      row = &AddResource(set, organization, std::move(content));
    } else {
      content = MergedResource(row->message, std::move(content));
      changed = !MessageDifferencer::Equals(content, row->message);
      if (changed) ChangeResource(set, *row, std::move(content), listing ? listing->id : Uuid());
    }
    bool listing_changed = ApplyListing(set, *row, changed && !fresh, line.bookable.listing(), envelope, publish);
    ++(fresh ? applied.created : changed || listing_changed ? applied.updated : applied.unchanged);
  }
  return applied;
}

}  // namespace millrace::listing
