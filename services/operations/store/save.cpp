// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "services/operations/store/mapping.h"
#include "services/operations/store/store.h"

namespace millrace::operations {
namespace {

using postgres::Params;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kSaveBookables = {
    "ops_save_bookables",
    "INSERT INTO bookable (listing_id, version, provider_id, resource_id, payload) "
    "SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::bytea[]) "
    "ON CONFLICT (listing_id) DO UPDATE SET version = excluded.version, resource_id = excluded.resource_id, "
    "payload = excluded.payload WHERE bookable.version <= excluded.version"};
constexpr Statement kSaveResources = {
    "ops_save_resources",
    "INSERT INTO resource (resource_id, capacity, parents) "
    "SELECT id, capacity, parents::uuid[] FROM unnest($1::uuid[], $2::bigint[], $3::text[]) AS r (id, capacity, "
    "parents) "
    "ON CONFLICT (resource_id) DO UPDATE SET capacity = excluded.capacity, parents = excluded.parents "
    "WHERE resource.capacity <> excluded.capacity OR resource.parents <> excluded.parents"};
constexpr Statement kMakeResources = {
    "ops_make_resources",
    "INSERT INTO resource (resource_id) SELECT id FROM unnest($1::uuid[]) id ORDER BY id ON CONFLICT DO NOTHING"};
constexpr Statement kSaveOrganizations = {
    "ops_save_organizations",
    "UPDATE organization o SET buyer_tier = n.tier, tier_version = n.version, suspended = n.suspended "
    "FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::boolean[]) AS n (id, tier, version, suspended) "
    "WHERE o.organization_id = n.id"};
constexpr Statement kSaveBookings = {
    "ops_save_bookings",
    "INSERT INTO booking (id, buyer_id, provider_id, listing_id, resource_id, booked, state, open, exposure, "
    "external_id, "
    "request_key, fingerprint, version, price_plan, funding_minutes, acceptance_minutes, held_time, missing, payload) "
    "SELECT id, buyer, provider, listing, resource, tstzrange(starts, ends), state, open, exposure, nullif(external, "
    "''), "
    "nullif(request, ''), fingerprint, version, plan, funding, acceptance, nullif(held, 'epoch'), missing, payload "
    "FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::timestamptz[], "
    "$8::int[], "
    "$9::boolean[], $10::bigint[], $11::text[], $12::text[], $13::bytea[], $14::bigint[], $15::bytea[], $16::bigint[], "
    "$17::bigint[], $18::timestamptz[], $19::bigint[], $20::bytea[]) AS b (id, buyer, provider, listing, resource, "
    "starts, ends, "
    "state, open, exposure, external, request, fingerprint, version, plan, funding, acceptance, held, missing, "
    "payload) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, open = excluded.open, version = excluded.version, "
    "held_time = excluded.held_time, missing = excluded.missing, payload = excluded.payload"};
constexpr Statement kRelease = {
    "ops_release",
    "UPDATE reservation SET release_time = $2 WHERE booking_id = ANY ($1::uuid[]) AND release_time IS NULL"};
constexpr Statement kReserve = {
    "ops_reserve",
    "INSERT INTO reservation (booking_id, leg, resource_id, blocked, units, parent_leg, exclusive, release_time) "
    "SELECT booking, leg, resource, tstzrange(starts, ends), units, parent_leg, exclusive, nullif(released, 'epoch') "
    "FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::bigint[], $7::boolean[], "
    "$8::boolean[], $9::timestamptz[]) AS r (booking, leg, resource, starts, ends, units, parent_leg, exclusive, "
    "released)"};
constexpr Statement kSaveWorks = {
    "ops_save_works",
    "INSERT INTO work_order (id, booking_id, buyer_id, provider_id, state, enter_time, version, payload) "
    "SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::int[], $6::timestamptz[], $7::bigint[], "
    "$8::bytea[]) ON CONFLICT (id) DO UPDATE SET state = excluded.state, enter_time = excluded.enter_time, "
    "version = excluded.version, payload = excluded.payload"};

std::string Flag(bool value) { return value ? "t" : "f"; }

void SaveBookables(Transaction& tx, Set& set) {
  std::vector<Uuid> ids, providers, resources, parents;
  std::vector<int64_t> versions;
  std::vector<std::string> payloads;
  for (const auto& [id, row] : set.bookables) {
    if (!row.dirty) continue;
    ids.push_back(id);
    versions.push_back(row.value.version);
    providers.push_back(row.value.provider);
    resources.push_back(row.value.resource);
    payloads.push_back(row.payload);
    parents.insert(parents.end(), row.value.parents.begin(), row.value.parents.end());
  }
  if (ids.empty()) return;
  tx.Execute(kSaveBookables, Params().Ids(ids).Ints(versions).Ids(providers).Ids(resources).BytesArray(payloads));
  std::map<Uuid, const Bookable*> by_resource;  // in key order, as all locks of resources
  for (const auto& [id, row] : set.bookables) {
    if (row.dirty) by_resource[row.value.resource] = &row.value;
  }
  parents.insert(parents.end(), resources.begin(), resources.end());
  tx.Execute(kMakeResources, Params().Ids(parents));
  std::vector<Uuid> keys;
  std::vector<int64_t> capacities;
  std::vector<std::string> lines;
  for (const auto& [resource, bookable] : by_resource) {
    keys.push_back(resource);
    capacities.push_back(bookable->capacity);
    std::vector<std::string> hex;
    for (const Uuid& parent : bookable->parents) hex.push_back(parent.Hex());
    lines.push_back(postgres::ArrayLiteral(hex));
  }
  tx.Execute(kSaveResources, Params().Ids(keys).Ints(capacities).Texts(lines));
}

void SaveOrganizations(Transaction& tx, Set& set) {
  std::vector<Uuid> ids;
  std::vector<int64_t> tiers, versions;
  std::vector<std::string> suspended;
  for (const auto& [id, row] : set.organizations) {
    if (!row.dirty) continue;
    ids.push_back(id);
    tiers.push_back(row.tier);
    versions.push_back(row.tier_version);
    suspended.push_back(Flag(row.suspended));
  }
  if (!ids.empty()) tx.Execute(kSaveOrganizations, Params().Ids(ids).Ints(tiers).Ints(versions).Texts(suspended));
}

struct BookingColumns {
  std::vector<Uuid> ids, buyers, providers, listings, resources;
  std::vector<Time> starts, ends, held;
  std::vector<int64_t> states, exposures, versions, funding, acceptance, missing;
  std::vector<std::string> open, external, requests, fingerprints, plans, payloads;

  void Add(const TradeRow& row) {
    const Booking& booking = row.trade.booking;
    ids.push_back(booking.id);
    buyers.push_back(booking.buyer);
    providers.push_back(booking.provider);
    listings.push_back(booking.listing);
    resources.push_back(booking.resource);
    starts.push_back(booking.window.start);
    ends.push_back(booking.window.end);
    states.push_back(static_cast<int64_t>(booking.state));
    open.push_back(Flag(IsOpen(booking.state)));
    exposures.push_back(booking.Exposure());
    external.push_back(booking.external_id);
    requests.push_back(row.request_key);
    fingerprints.push_back(row.fingerprint);
    versions.push_back(booking.version);
    plans.push_back(Bytes(PlanMessage(booking.agreement.plan)));
    funding.push_back(booking.agreement.funding_minutes);
    acceptance.push_back(booking.agreement.acceptance_minutes);
    held.push_back(booking.held_time.value_or(Time{}));
    missing.push_back(booking.missing);
    payloads.push_back(Bytes(Render(row.trade)));
  }
  void Save(Transaction& tx) const {
    if (ids.empty()) return;
    Params params;
    params.Ids(ids)
        .Ids(buyers)
        .Ids(providers)
        .Ids(listings)
        .Ids(resources)
        .Times(starts)
        .Times(ends)
        .Ints(states)
        .Texts(open);
    params.Ints(exposures).Texts(external).Texts(requests).BytesArray(fingerprints).Ints(versions).BytesArray(plans);
    params.Ints(funding).Ints(acceptance).Times(held).Ints(missing).BytesArray(payloads);
    tx.Execute(kSaveBookings, params);
  }
};

struct LegColumns {
  std::vector<Uuid> bookings, resources;
  std::vector<int64_t> numbers, units;
  std::vector<Time> starts, ends, released;
  std::vector<std::string> parent, exclusive;

  void Add(const Booking& booking) {
    for (size_t i = 0; i < booking.legs.size(); ++i) {
      const Leg& leg = booking.legs[i];
      bookings.push_back(booking.id);
      numbers.push_back(static_cast<int64_t>(i));
      resources.push_back(leg.resource);
      starts.push_back(leg.blocked.start);
      ends.push_back(leg.blocked.end);
      units.push_back(leg.units);
      parent.push_back(Flag(leg.parent_leg));
      exclusive.push_back(Flag(leg.exclusive));
      released.push_back(leg.released.value_or(Time{}));
    }
  }
  void Save(Transaction& tx) const {
    if (bookings.empty()) return;
    Params params;
    params.Ids(bookings).Ints(numbers).Ids(resources).Times(starts).Times(ends).Ints(units).Texts(parent).Texts(
        exclusive);
    params.Times(released);
    tx.Execute(kReserve, params);
  }
};

void SaveTrades(Transaction& tx, Set& set) {
  BookingColumns bookings;
  LegColumns legs;
  std::vector<Uuid> released, works, work_bookings, buyers, providers;
  std::vector<int64_t> states, versions;
  std::vector<Time> entered;
  std::vector<std::string> payloads;
  for (const auto& [id, row] : set.trades) {
    if (!row.dirty) continue;
    const Booking& booking = row.trade.booking;
    bookings.Add(row);
    if (row.legs_stored == 0) {
      legs.Add(booking);
    } else if (booking.legs.front().released) {
      released.push_back(id);
    }
    if (!row.trade.work) continue;
    const WorkOrder& work = *row.trade.work;
    works.push_back(work.id);
    work_bookings.push_back(id);
    buyers.push_back(booking.buyer);
    providers.push_back(booking.provider);
    states.push_back(static_cast<int64_t>(work.state));
    entered.push_back(work.enter_time);
    versions.push_back(work.version);
    payloads.push_back(Bytes(RenderWork(row.trade)));
  }
  bookings.Save(tx);
  // What is given back comes before what is taken: one batch may do both.
  if (!released.empty()) tx.Execute(kRelease, Params().Ids(released).At(set.now));
  legs.Save(tx);
  if (!works.empty()) {
    Params params;
    params.Ids(works).Ids(work_bookings).Ids(buyers).Ids(providers).Ints(states).Times(entered).Ints(versions);
    params.BytesArray(payloads);
    tx.Execute(kSaveWorks, params);
  }
}

}  // namespace

void OperationsStore::Save(Transaction& tx, Set& set) {
  SaveBookables(tx, set);
  SaveOrganizations(tx, set);
  SaveTrades(tx, set);
}

}  // namespace millrace::operations
