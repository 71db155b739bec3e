// SPDX-License-Identifier: Apache-2.0
// The changes that commands make to a working set, each with its version, event and timer. Pure over the set.
#pragma once

#include "common/base/result.h"
#include "services/listing/store/rows.h"

namespace millrace::listing {

// A new version with its event: "listing.updated" and the like. Once a command and listing.
void Record(ListingSet& set, ListingRow& row, std::string_view event);
// To a state: timers, ever_published. No event.
void MoveTo(ListingSet& set, ListingRow& row, domain::State to);

ResourceRow& AddResource(ListingSet& set, const Uuid& organization, v1::Resource content);
// Replaces the content and gives each of its listings that is not retired a new version, but not `except`, which the
// caller records.
void ChangeResource(ListingSet& set, ResourceRow& row, v1::Resource content, const Uuid& except = {});
// DRAFT, without an event yet.
ListingRow& AddListing(ListingSet& set, const Uuid& organization, const Uuid& resource, v1::Listing content);

// Out of DRAFT, IN_REVIEW or BLOCKED. Errors: STATE_CONFLICT, LISTING_INCOMPLETE, ORGANIZATION_NOT_VERIFIED
// (suspended). Returns the event to record.
Result<std::string_view> Publish(ListingSet& set, ListingRow& row, uint8_t actor);

// organization.suspended and .reinstated.
void Suspend(ListingSet& set, const Uuid& organization);
void Reinstate(ListingSet& set, const Uuid& organization);
// risk_tier.changed.
void ChangeTier(ListingSet& set, const Uuid& organization, int tier, int64_t version);
// A site as identity says it is.
SiteRow HeardSite(type::Place place, int64_t version);
// site.changed: what stands there moves along.
void MoveResources(ListingSet& set, const Uuid& site);

// A row of an import that cannot be taken over as things are.
struct LineFault {
  int line;
  Violation violation;  // the pointer is a column
};
struct Applied {
  int created = 0, updated = 0, unchanged = 0;
  std::vector<LineFault> faults;
};
// Why lines cannot be taken over: another kind than the resource has, or an external_id that is another resource's
// listing.
std::vector<LineFault> FindFaults(const ListingSet& set, const std::vector<ImportLine>& lines);
// Upserts each line's resource by its external_id, and the listing that carries the same external_id. With `publish`, a
// complete listing with a price is published.
Applied ApplyLines(ListingSet& set, const std::vector<ImportLine>& lines, bool publish);

}  // namespace millrace::listing
