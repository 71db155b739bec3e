// SPDX-License-Identifier: Apache-2.0
#include "services/listing/store/store.h"

#include <algorithm>

#include "services/listing/store/columns.h"

namespace millrace::listing {

using postgres::Params;
using postgres::Row;
using postgres::Statement;
using postgres::Transaction;

namespace {

// Array parameters of one statement stay below this many rows, so that a statement ends well within its timeout.
constexpr size_t kChunk = 2000;

constexpr Statement kResources = {
    "listing_load_resources",
    "SELECT " LISTING_RESOURCE_COLUMNS
    " FROM resource WHERE id IN (SELECT unnest($1::uuid[]) UNION ALL SELECT r.id FROM resource r "
    "JOIN unnest($2::uuid[], $3::text[]) AS k (organization, external_id) USING (organization, external_id) "
    "UNION ALL SELECT id FROM resource WHERE site = ANY ($4::text[])) ORDER BY id FOR UPDATE"};
// Locks them too.
constexpr Statement kSites = {
    "listing_load_sites",
    "INSERT INTO site (id, version, place) "
    "SELECT id, version, place FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS n (id, version, place) ORDER BY "
    "id "
    "ON CONFLICT (id) DO UPDATE SET version = greatest(site.version, excluded.version), "
    "place = CASE WHEN excluded.version > site.version THEN excluded.place ELSE site.place END "
    "RETURNING id, version, place"};
constexpr Statement kResourcesOfListings = {
    "listing_read_resources", "SELECT " LISTING_RESOURCE_COLUMNS " FROM resource WHERE id = ANY ($1::uuid[])"};
constexpr Statement kListings = {
    "listing_load_listings",
    "SELECT " LISTING_LISTING_COLUMNS
    " FROM listing WHERE id IN (SELECT unnest($1::uuid[]) UNION ALL SELECT l.id FROM listing l "
    "JOIN unnest($2::uuid[], $3::text[]) AS k (organization, external_id) USING (organization, external_id) "
    "UNION ALL SELECT id FROM listing WHERE resource = ANY ($4::uuid[]) "
    "UNION ALL SELECT id FROM listing WHERE organization = ANY ($5::uuid[])) ORDER BY id FOR UPDATE"};
constexpr Statement kOrganizations = {
    "listing_load_organizations",
    "SELECT id, suspended, tier, tier_version FROM organization WHERE id = ANY ($1::uuid[]) "
    "ORDER BY id FOR UPDATE"};
constexpr Statement kImports = {"listing_load_imports",
                                "SELECT " LISTING_IMPORT_COLUMNS
                                " FROM import WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
constexpr Statement kValidLines = {
    "listing_load_lines",
    "SELECT line, bookable FROM import_row WHERE import = $1 AND bookable IS NOT NULL AND line > $2 "
    "ORDER BY line LIMIT $3"};
constexpr Statement kFirstRefused = {
    "listing_first_refused",
    "SELECT line, faults, cells FROM import_row WHERE import = $1 AND faults IS NOT NULL "
    "ORDER BY line LIMIT 1"};

constexpr Statement kSaveResources = {
    "listing_save_resources",
    "INSERT INTO resource (id, organization, external_id, kind, version, create_time, update_time, message, site) "
    "SELECT id, organization, nullif(external_id, ''), kind, version, create_time, update_time, message, "
    "nullif(site, '') "
    "FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], "
    "$8::bytea[], $9::text[]) "
    "AS n (id, organization, external_id, kind, version, create_time, update_time, message, site) "
    "ON CONFLICT (id) DO UPDATE SET external_id = excluded.external_id, version = excluded.version, "
    "update_time = excluded.update_time, message = excluded.message, site = excluded.site"};
constexpr Statement kSaveListings = {
    "listing_save_listings",
    "INSERT INTO listing (id, organization, resource, external_id, state, state_before, state_reason, deadline, "
    "ever_published, "
    "version, create_time, update_time, message) "
    "SELECT id, organization, resource, nullif(external_id, ''), state, nullif(state_before, ''), state_reason, "
    "nullif(deadline, '')::timestamptz, ever_published::boolean, version, create_time, update_time, message "
    "FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], "
    "$9::text[], "
    "$10::bigint[], $11::timestamptz[], $12::timestamptz[], $13::bytea[]) "
    "AS n (id, organization, resource, external_id, state, state_before, state_reason, deadline, ever_published, "
    "version, "
    "create_time, update_time, message) "
    "ON CONFLICT (id) DO UPDATE SET external_id = excluded.external_id, state = excluded.state, "
    "state_before = excluded.state_before, state_reason = excluded.state_reason, deadline = excluded.deadline, "
    "ever_published = excluded.ever_published, version = excluded.version, update_time = excluded.update_time, "
    "message = excluded.message"};
constexpr Statement kSaveOrganizations = {
    "listing_save_organizations",
    "INSERT INTO organization (id, suspended, tier, tier_version) "
    "SELECT id, suspended::boolean, tier, tier_version FROM unnest($1::uuid[], $2::text[], $3::int[], $4::bigint[]) "
    "AS n (id, suspended, tier, tier_version) "
    "ON CONFLICT (id) DO UPDATE SET suspended = excluded.suspended, tier = excluded.tier, tier_version = "
    "excluded.tier_version"};
constexpr Statement kSaveImport = {
    "listing_save_import",
    "INSERT INTO import (id, organization, state, publish, header, summary, version, create_time, expire_time) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, summary = excluded.summary, version = excluded.version"};
constexpr Statement kDropValidLines = {"listing_drop_lines",
                                       "DELETE FROM import_row WHERE import = $1 AND bookable IS NOT NULL"};
constexpr Statement kSaveLines = {"listing_save_lines",
                                  "INSERT INTO import_row (import, line, bookable, faults, cells) "
                                  "SELECT import, line, nullif(bookable, ''), nullif(faults, ''), nullif(cells, '') "
                                  "FROM unnest($1::uuid[], $2::int[], $3::bytea[], $4::bytea[], $5::text[]) AS n "
                                  "(import, line, bookable, faults, cells)"};

std::vector<Uuid> Ids(const std::set<Uuid>& ids) { return {ids.begin(), ids.end()}; }

// The columns of a set of keys.
struct Keys {
  explicit Keys(const std::set<Key>& keys) {
    for (const auto& [organization, external_id] : keys) {
      organizations.push_back(organization);
      external_ids.push_back(external_id);
    }
  }
  std::vector<Uuid> organizations;
  std::vector<std::string> external_ids;
};

void LoadImportLines(Transaction& tx, ListingSet& set) {
  for (const Uuid& id : set.need_import_lines) {
    auto found = set.imports.find(id);
    if (found == set.imports.end() || found->second.state != "VALIDATED") continue;
    std::vector<ImportLine>& lines = set.import_lines[id];
    for (int after = 0;;) {
      postgres::Rows rows = tx.Execute(kValidLines, Params().Id(id).Int(after).Int(kChunk));
      for (Row row : rows) {
        ImportLine line;
        line.line = after = static_cast<int>(row.Int(0));
        line.bookable.ParseFromString(row.Bytes(1));
        const v1::Resource& resource = line.bookable.resource();
        Key key{IdOrNil(resource.organization_id()), resource.external_id()};
        set.need_organizations.insert(key.first);
        set.need_resource_keys.insert(key);
        set.need_listing_keys.insert(std::move(key));
        lines.push_back(std::move(line));
      }
      if (rows.size() < kChunk) break;
    }
    postgres::Rows refused = tx.Execute(kFirstRefused, Params().Id(id));
    if (refused.empty()) continue;
    ImportLine line;
    line.line = static_cast<int>(refused[0].Int(0));
    line.faults = refused[0].Bytes(1);
    line.cells = refused[0].Text(2);
    set.first_refused[id] = std::move(line);
  }
}

template <class R, class F>
void InChunks(const std::vector<const R*>& rows, F save) {
  for (size_t at = 0; at < rows.size(); at += kChunk) {
    std::vector<const R*> part(rows.begin() + static_cast<ptrdiff_t>(at),
                               rows.begin() + static_cast<ptrdiff_t>(std::min(rows.size(), at + kChunk)));
    save(part);
  }
}

template <class R>
std::vector<const R*> Changed(const std::map<Uuid, R>& rows) {
  std::vector<const R*> changed;
  for (const auto& [id, row] : rows) {
    if (row.changed) changed.push_back(&row);
  }
  return changed;
}

void LoadSites(Transaction& tx, ListingSet& set) {
  std::vector<Uuid> ids;
  std::vector<int64_t> versions;
  std::vector<std::string> places;
  for (const auto& [id, row] : set.sites) {
    ids.push_back(id);
    versions.push_back(row.version);
    places.push_back(row.place.SerializeAsString());
  }
  for (Row row : tx.Execute(kSites, Params().Ids(ids).Ints(versions).BytesArray(places))) {
    SiteRow& site = set.sites[row.Id(0)];
    site.version = row.Int(1);
    site.place.ParseFromString(row.Bytes(2));
  }
}

void SaveResources(Transaction& tx, const std::vector<const ResourceRow*>& rows) {
  std::vector<Uuid> ids, organizations;
  std::vector<std::string> external_ids, messages, sites;
  std::vector<int64_t> kinds, versions;
  std::vector<Time> created, updated;
  for (const ResourceRow* row : rows) {
    ids.push_back(row->id);
    organizations.push_back(row->organization);
    external_ids.push_back(row->message.external_id());
    kinds.push_back(row->message.kind());
    versions.push_back(row->version);
    created.push_back(row->create_time);
    updated.push_back(row->update_time);
    messages.push_back(row->message.SerializeAsString());
    sites.push_back(row->message.site_id());
  }
  tx.Execute(kSaveResources, Params()
                                 .Ids(ids)
                                 .Ids(organizations)
                                 .Texts(external_ids)
                                 .Ints(kinds)
                                 .Ints(versions)
                                 .Times(created)
                                 .Times(updated)
                                 .BytesArray(messages)
                                 .Texts(sites));
}

void SaveListings(Transaction& tx, const std::vector<const ListingRow*>& rows) {
  std::vector<Uuid> ids, organizations, resources;
  std::vector<std::string> external_ids, states, before, reasons, deadlines, published, messages;
  std::vector<int64_t> versions;
  std::vector<Time> created, updated;
  for (const ListingRow* row : rows) {
    ids.push_back(row->id);
    organizations.push_back(row->organization);
    resources.push_back(row->resource);
    external_ids.push_back(row->message.external_id());
    states.emplace_back(domain::Name(row->state));
    before.emplace_back(row->state_before ? domain::Name(*row->state_before) : "");
    reasons.push_back(row->state_reason);
    deadlines.push_back(row->deadline ? FormatTime(*row->deadline) : "");
    published.emplace_back(row->ever_published ? "true" : "false");
    versions.push_back(row->version);
    created.push_back(row->create_time);
    updated.push_back(row->update_time);
    messages.push_back(row->message.SerializeAsString());
  }
  tx.Execute(kSaveListings, Params()
                                .Ids(ids)
                                .Ids(organizations)
                                .Ids(resources)
                                .Texts(external_ids)
                                .Texts(states)
                                .Texts(before)
                                .Texts(reasons)
                                .Texts(deadlines)
                                .Texts(published)
                                .Ints(versions)
                                .Times(created)
                                .Times(updated)
                                .BytesArray(messages));
}

void SaveOrganizations(Transaction& tx, const std::vector<const OrganizationRow*>& rows) {
  std::vector<Uuid> ids;
  std::vector<std::string> suspended;
  std::vector<int64_t> tiers, versions;
  for (const OrganizationRow* row : rows) {
    ids.push_back(row->id);
    suspended.emplace_back(row->suspended ? "true" : "false");
    tiers.push_back(row->tier);
    versions.push_back(row->tier_version);
  }
  tx.Execute(kSaveOrganizations, Params().Ids(ids).Texts(suspended).Ints(tiers).Ints(versions));
}

void SaveLines(Transaction& tx, const std::vector<std::pair<Uuid, ImportLine>>& lines) {
  for (size_t at = 0; at < lines.size(); at += kChunk) {
    std::vector<Uuid> imports;
    std::vector<int64_t> numbers;
    std::vector<std::string> bookables, faults, cells;
    for (size_t i = at; i < std::min(lines.size(), at + kChunk); ++i) {
      const auto& [import, line] = lines[i];
      imports.push_back(import);
      numbers.push_back(line.line);
      bookables.push_back(line.faults.empty() ? line.bookable.SerializeAsString() : std::string());
      faults.push_back(line.faults);
      cells.push_back(line.faults.empty() ? std::string() : line.cells);  // only a refused row is shown again
    }
    tx.Execute(kSaveLines, Params().Ids(imports).Ints(numbers).BytesArray(bookables).BytesArray(faults).Texts(cells));
  }
}

}  // namespace

ResourceRow ReadResource(const Row& row) {
  ResourceRow out;
  out.id = row.Id(0);
  out.organization = row.Id(1);
  out.version = row.Int(2);
  out.create_time = row.At(3);
  out.update_time = row.At(4);
  out.message.ParseFromString(row.Bytes(5));
  return out;
}

ListingRow ReadListing(const Row& row) {
  ListingRow out;
  out.id = row.Id(0);
  out.organization = row.Id(1);
  out.resource = row.Id(2);
  out.state = domain::StateByName(row.Text(3));
  if (!row.IsNull(4)) out.state_before = domain::StateByName(row.Text(4));
  out.state_reason = row.Text(5);
  out.deadline = row.OptionalAt(6);
  out.ever_published = row.Bool(7);
  out.version = row.Int(8);
  out.create_time = row.At(9);
  out.update_time = row.At(10);
  out.message.ParseFromString(row.Bytes(11));
  return out;
}

ImportRow ReadImport(const Row& row) {
  ImportRow out;
  out.id = row.Id(0);
  out.organization = row.Id(1);
  out.state = row.Text(2);
  out.publish = row.Bool(3);
  out.header = row.Text(4);
  out.summary.ParseFromString(row.Bytes(5));
  out.version = row.Int(6);
  out.create_time = row.At(7);
  out.expire_time = row.At(8);
  return out;
}

void ListingStore::Load(Transaction& tx, ListingSet& set) {
  if (!set.need_imports.empty()) {
    for (Row row : tx.Execute(kImports, Params().Ids(Ids(set.need_imports)))) set.imports[row.Id(0)] = ReadImport(row);
  }
  // A whole file moves in this transaction; a statement of the default length would not do for its events.
  if (set.whole_file) tx.ExecuteText("SET LOCAL statement_timeout = '60s'");
  LoadImportLines(tx, set);
  // Sites before resources: whoever waited here for a site's lock sees every resource that was put there meanwhile.
  if (!set.sites.empty()) LoadSites(tx, set);
  if (!set.need_resources.empty() || !set.need_resource_keys.empty() || !set.need_resources_of_sites.empty()) {
    Keys keys(set.need_resource_keys);
    std::set<std::string> sites;
    for (const Uuid& id : set.need_resources_of_sites) sites.insert(FormatId("sit", id));
    Params params;
    params.Ids(Ids(set.need_resources)).Ids(keys.organizations).Texts(keys.external_ids);
    params.Texts({sites.begin(), sites.end()});
    for (Row row : tx.Execute(kResources, params)) {
      ResourceRow resource = ReadResource(row);
      set.Index(resource);
      // The rows of an import may change, and their listings with them; so may what stands on a site that moved.
      if (set.whole_file || sites.contains(resource.message.site_id())) {
        set.need_listings_of_resources.insert(resource.id);
      }
      set.resources[resource.id] = std::move(resource);
    }
  }
  if (!set.need_listings.empty() || !set.need_listing_keys.empty() || !set.need_listings_of_resources.empty() ||
      !set.need_listings_of_organizations.empty()) {
    Keys keys(set.need_listing_keys);
    Params params;
    params.Ids(Ids(set.need_listings)).Ids(keys.organizations).Texts(keys.external_ids);
    params.Ids(Ids(set.need_listings_of_resources)).Ids(Ids(set.need_listings_of_organizations));
    std::set<Uuid> missing;
    for (Row row : tx.Execute(kListings, params)) {
      ListingRow listing = ReadListing(row);
      set.Index(listing);
      set.need_organizations.insert(listing.organization);
      if (!set.resources.contains(listing.resource)) missing.insert(listing.resource);
      set.listings[listing.id] = std::move(listing);
    }
    // The events of these listings carry their resources. Without a lock: whoever changes such a resource needs its
    // listings, which are locked here, so what is read now is what these listings still show.
    if (!missing.empty()) {
      for (Row row : tx.Execute(kResourcesOfListings, Params().Ids(Ids(missing))))
        set.resources[row.Id(0)] = ReadResource(row);
    }
  }
  if (set.need_organizations.empty()) return;
  for (Row row : tx.Execute(kOrganizations, Params().Ids(Ids(set.need_organizations)))) {
    set.organizations[row.Id(0)] = {row.Id(0), row.Bool(1), static_cast<int>(row.Int(2)), row.Int(3), false};
  }
}

void ListingStore::Save(Transaction& tx, ListingSet& set) {
  InChunks(Changed(set.resources), [&](const auto& rows) { SaveResources(tx, rows); });
  InChunks(Changed(set.listings), [&](const auto& rows) { SaveListings(tx, rows); });
  InChunks(Changed(set.organizations), [&](const auto& rows) { SaveOrganizations(tx, rows); });
  for (const ImportRow* row : Changed(set.imports)) {
    tx.Execute(kSaveImport, Params()
                                .Id(row->id)
                                .Id(row->organization)
                                .Text(row->state)
                                .Bool(row->publish)
                                .Text(row->header)
                                .Bytes(row->summary.SerializeAsString())
                                .Int(row->version)
                                .At(row->create_time)
                                .At(row->expire_time));
    if (row->drop_valid_rows) tx.Execute(kDropValidLines, Params().Id(row->id));
  }
  SaveLines(tx, set.new_lines);
}

}  // namespace millrace::listing
