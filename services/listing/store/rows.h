// SPDX-License-Identifier: Apache-2.0
// The rows that listing's commands decide on.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/postgres/writer.h"
#include "millrace/listing/v1/listing.pb.h"
#include "services/listing/domain/states.h"

namespace millrace::listing {

using Key = std::pair<Uuid, std::string>;  // organization, external_id

struct ResourceRow {
  Uuid id, organization;
  int64_t version = 0;
  Time create_time, update_time;
  v1::Resource message;  // without what the columns say: id, organization, times, etag
  bool changed = false;
};

struct ListingRow {
  Uuid id, organization, resource;
  domain::State state = domain::State::kDraft;
  std::optional<domain::State> state_before;  // blocked by a suspension: where it found the listing
  std::string state_reason;
  std::optional<Time> deadline;  // of IN_REVIEW
  bool ever_published = false;
  int64_t version = 0;
  Time create_time, update_time;
  v1::Listing message;  // external_id, capability, calendar, price plan, terms
  bool changed = false;
};

// What other services said of an organization.
struct OrganizationRow {
  Uuid id;
  bool suspended = false;
  int tier = 3;
  int64_t tier_version = 0;
  bool changed = false;
};

// A site as identity last said it. Its row's lock orders those who put a resource there and the news that it moved.
struct SiteRow {
  int64_t version = 0;
  type::Place place;  // WGS 84
};

struct ImportRow {
  Uuid id, organization;
  std::string state;  // VALIDATED, CONFIRMED, EXPIRED
  bool publish = false;
  std::string header;
  v1::Import::Summary summary;
  int64_t version = 0;
  Time create_time, expire_time;
  bool changed = false;
  bool drop_valid_rows = false;
};

// A row of an import's file: valid, or refused.
struct ImportLine {
  int line = 0;
  v1::Bookable bookable;  // with organization_id in both parts
  std::string faults;     // a serialized type.ErrorDetail whose violations name columns; empty: valid
  std::string cells;      // of a refused row, as one CSV record
};

struct ListingSet : postgres::WorkingSet {
  // Named by `need`.
  std::set<Uuid> need_resources, need_listings, need_organizations, need_imports;
  std::set<Key> need_resource_keys, need_listing_keys;
  std::set<Uuid> need_listings_of_resources;
  std::set<Uuid> need_listings_of_organizations;
  std::set<Uuid> need_resources_of_sites;
  std::set<Uuid> need_import_lines;  // with the rows that their keys name
  bool whole_file = false;           // an import is checked or taken over

  // Loaded, locked.
  std::map<Uuid, ResourceRow> resources;
  std::map<Uuid, ListingRow> listings;
  std::map<Uuid, OrganizationRow> organizations;
  std::map<Uuid, ImportRow> imports;
  std::map<Uuid, SiteRow> sites;  // before: what `need` has heard; loaded: the newest that anybody has
  std::map<Uuid, std::vector<ImportLine>> import_lines;  // valid ones
  std::map<Key, Uuid> resource_keys, listing_keys;
  std::map<Uuid, std::set<Uuid>> listings_of_resource, listings_of_organization;
  // Refused lines of an import that is to be confirmed: the first one, for the error.
  std::map<Uuid, std::optional<ImportLine>> first_refused;

  // Made.
  std::vector<std::pair<Uuid, ImportLine>> new_lines;

  const ResourceRow* Resource(const Uuid& id) const {
    auto found = resources.find(id);
    return found == resources.end() ? nullptr : &found->second;
  }
  // The row, of that organization; null otherwise.
  ResourceRow* OwnResource(const Uuid& id, const Uuid& organization) {
    auto found = resources.find(id);
    return found == resources.end() || found->second.organization != organization ? nullptr : &found->second;
  }
  ListingRow* FindListing(const Uuid& id) {
    auto found = listings.find(id);
    return found == listings.end() ? nullptr : &found->second;
  }
  OrganizationRow Organization(const Uuid& id) const {
    auto found = organizations.find(id);
    OrganizationRow row;
    row.id = id;
    return found == organizations.end() ? row : found->second;
  }
  void HearSite(const Uuid& id, const SiteRow& heard) {
    SiteRow& row = sites[id];
    if (heard.version > row.version) row = heard;
  }
  void Index(const ResourceRow& row) {
    if (!row.message.external_id().empty()) resource_keys[{row.organization, row.message.external_id()}] = row.id;
  }
  void Index(const ListingRow& row) {
    if (!row.message.external_id().empty()) listing_keys[{row.organization, row.message.external_id()}] = row.id;
    listings_of_resource[row.resource].insert(row.id);
    listings_of_organization[row.organization].insert(row.id);
  }
};

}  // namespace millrace::listing
