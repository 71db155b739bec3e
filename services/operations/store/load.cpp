// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "common/terms/terms.h"
#include "services/operations/store/mapping.h"
#include "services/operations/store/store.h"

namespace millrace::operations {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Statement;
using postgres::Transaction;

// Alternatives look 14 days around a window; a span more for buffers.
constexpr std::chrono::hours kAround{15 * 24};
// PostgreSQL reads the years that the wire has; around their ends there is nothing to look for beyond.
constexpr Time kFirst{std::chrono::sys_days(std::chrono::year(1) / 1 / 1)};
constexpr Time kLast{std::chrono::sys_days(std::chrono::year(9999) / 12 / 31)};

constexpr Statement kWorkBookings = {"ops_work_bookings",
                                     "SELECT id, booking_id FROM work_order WHERE id = ANY ($1::uuid[])"};
// The columns named here never change, so they may be read before the lock.
constexpr Statement kApprovals = {"ops_approvals",
                                  "SELECT listing_id, runtime.micros(lower(booked)), runtime.micros(upper(booked)) "
                                  "FROM booking WHERE id = ANY ($1::uuid[])"};
constexpr Statement kBookables = {"ops_bookables",
                                  "SELECT listing_id, payload FROM bookable WHERE listing_id = ANY ($1::uuid[])"};
constexpr Statement kAncestry = {
    "ops_ancestry",
    "WITH RECURSIVE up (root, id) AS ("
    "  SELECT r.resource_id, p FROM resource r, unnest(r.parents) p WHERE r.resource_id = ANY ($1::uuid[])"
    "  UNION SELECT up.root, p FROM up JOIN resource r ON r.resource_id = up.id, unnest(r.parents) p), "
    "down (root, id) AS ("
    "  SELECT root, r.resource_id FROM unnest($1::uuid[]) root JOIN resource r ON r.parents @> ARRAY[root]"
    "  UNION SELECT down.root, r.resource_id FROM down JOIN resource r ON r.parents @> ARRAY[down.id]) "
    "SELECT root, id, true FROM up WHERE id <> root "
    "UNION ALL SELECT root, id, false FROM down WHERE id <> root ORDER BY 1, 3 DESC, 2"};
constexpr Statement kLockResources = {
    "ops_lock_resources",
    "SELECT resource_id, capacity FROM resource WHERE resource_id = ANY ($1::uuid[]) ORDER BY resource_id FOR UPDATE"};
constexpr Statement kTaken = {
    "ops_taken",
    "SELECT resource_id, booking_id, runtime.micros(lower(blocked)), runtime.micros(upper(blocked)), units, parent_leg "
    "FROM reservation WHERE resource_id = ANY ($1::uuid[]) AND release_time IS NULL AND blocked && tstzrange($2, $3)"};
constexpr Statement kMakeOrganizations = {"ops_make_organizations",
                                          "INSERT INTO organization (organization_id) SELECT id FROM "
                                          "unnest($1::uuid[]) id ORDER BY id ON CONFLICT DO NOTHING"};
constexpr Statement kLockOrganizations = {
    "ops_lock_organizations",
    "SELECT organization_id, buyer_tier, tier_version, suspended FROM organization "
    "WHERE organization_id = ANY ($1::uuid[]) ORDER BY organization_id FOR UPDATE"};
constexpr Statement kExposure = {
    "ops_exposure",
    "SELECT buyer_id, sum(exposure)::bigint FROM booking WHERE buyer_id = ANY ($1::uuid[]) AND open GROUP BY buyer_id"};
constexpr Statement kAnswered = {
    "ops_answered",
    "SELECT i.organization, i.key FROM unnest($1::uuid[], $2::text[]) AS k (organization, key) "
    "JOIN idempotency i ON i.organization = k.organization AND i.method = 'CreateBooking' AND i.key = k.key"};
constexpr Statement kRequests = {
    "ops_requests",
    "SELECT b.id, b.buyer_id, b.request_key FROM unnest($1::uuid[], $2::text[]) AS k (organization, key) "
    "JOIN booking b ON b.buyer_id = k.organization AND b.request_key = k.key"};
constexpr Statement kExternal = {
    "ops_external",
    "SELECT b.id, b.buyer_id, b.external_id FROM unnest($1::uuid[], $2::text[]) AS k (organization, external) "
    "JOIN booking b ON b.buyer_id = k.organization AND b.external_id = k.external"};
constexpr Statement kBookings = {
    "ops_bookings",
    "SELECT id, payload, price_plan, funding_minutes, acceptance_minutes, runtime.micros(held_time), missing, "
    "coalesce(request_key, ''), fingerprint FROM booking WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"};
constexpr Statement kWorks = {
    "ops_works",
    "SELECT booking_id, id, payload, runtime.micros(enter_time) FROM work_order WHERE booking_id = ANY ($1::uuid[]) "
    "ORDER BY id FOR UPDATE"};

std::vector<Uuid> List(const std::set<Uuid>& ids) { return {ids.begin(), ids.end()}; }

Params KeyParams(const std::set<RequestKey>& keys) {
  std::vector<Uuid> organizations;
  std::vector<std::string> texts;
  for (const RequestKey& key : keys) {
    organizations.push_back(key.first);
    texts.push_back(key.second);
  }
  Params params;
  params.Ids(organizations).Texts(texts);
  return params;
}

void LoadBookables(Transaction& tx, Set& set) {
  if (!set.want_approval.empty()) {
    for (Row row : tx.Execute(kApprovals, Params().Ids(List(set.want_approval)))) {
      set.WantCapacity(row.Id(0), {row.At(1), row.At(2)});
    }
  }
  for (const auto& [listing, span] : set.want_capacity) set.want_bookables.insert(listing);
  if (set.want_bookables.empty()) return;
  for (Row row : tx.Execute(kBookables, Params().Ids(List(set.want_bookables)))) {
    std::string payload = row.Bytes(1);
    listing::v1::Bookable message;
    if (message.ParseFromString(payload)) set.bookables[row.Id(0)] = {BookableOf(message), std::move(payload)};
  }
}

// Locks the resources whose capacity is given away and their lines, then reads what is taken of them and their
// machines.
void LoadCapacity(Transaction& tx, Set& set) {
  std::set<Uuid> roots;
  std::optional<Interval> span;
  for (const auto& [listing, window] : set.want_capacity) {
    auto bookable = set.bookables.find(listing);
    if (bookable == set.bookables.end()) continue;
    roots.insert(bookable->second.value.resource);
    if (!span) span = window;
    span = Interval{std::min(span->start, window.start), std::max(span->end, window.end)};
  }
  if (roots.empty()) return;
  std::set<Uuid> locked = roots, read = roots;
  for (const Uuid& root : roots) set.around[root];
  for (Row row : tx.Execute(kAncestry, Params().Ids(List(roots)))) {
    Surroundings& around = set.around[row.Id(0)];
    (row.Bool(2) ? around.ancestors : around.descendants).push_back(row.Id(1));
    if (row.Bool(2)) locked.insert(row.Id(1));
    read.insert(row.Id(1));
  }
  for (Row row : tx.Execute(kLockResources, Params().Ids(List(locked)))) {
    if (auto around = set.around.find(row.Id(0)); around != set.around.end()) around->second.capacity = row.Int(1);
  }
  for (const Uuid& resource : read) set.taken[resource];
  Params params;
  // One that lies whole behind either end is refused anyhow, and its span must not end before it starts.
  params.Ids(List(read)).At(std::max(span->start - Duration(kAround), kFirst));
  params.At(std::max(std::min(span->end + Duration(kAround), kLast), span->end));
  for (Row row : tx.Execute(kTaken, params)) {
    Leg leg;
    leg.resource = row.Id(0);
    leg.booking = row.Id(1);
    leg.window = leg.blocked = {row.At(2), row.At(3)};
    leg.units = row.Int(4);
    leg.parent_leg = row.Bool(5);
    set.taken[leg.resource].push_back(std::move(leg));
  }
}

void LoadOrganizations(Transaction& tx, Set& set) {
  if (set.want_organizations.empty()) return;
  Params ids;
  ids.Ids(List(set.want_organizations));
  tx.Execute(kMakeOrganizations, ids);
  for (Row row : tx.Execute(kLockOrganizations, ids)) {
    set.organizations[row.Id(0)] = {static_cast<int>(row.Int(1)), row.Int(2), row.Bool(3)};
  }
  for (Row row : tx.Execute(kExposure, ids)) set.organizations[row.Id(0)].exposure = row.Int(1);
}

void LoadKeys(Transaction& tx, Set& set) {
  if (!set.want_requests.empty()) {
    Params keys = KeyParams(set.want_requests);
    for (Row row : tx.Execute(kAnswered, keys)) set.answered.insert({row.Id(0), row.Text(1)});
    for (Row row : tx.Execute(kRequests, keys)) {
      set.by_request[{row.Id(1), row.Text(2)}] = row.Id(0);
      set.want_bookings.insert(row.Id(0));
    }
  }
  if (!set.want_external.empty()) {
    for (Row row : tx.Execute(kExternal, KeyParams(set.want_external)))
      set.by_external[{row.Id(1), row.Text(2)}] = row.Id(0);
  }
}

void LoadTrades(Transaction& tx, Set& set) {
  set.want_bookings.insert(set.want_approval.begin(), set.want_approval.end());
  if (set.want_bookings.empty()) return;
  Params ids;
  ids.Ids(List(set.want_bookings));
  for (Row row : tx.Execute(kBookings, ids)) {
    v1::Booking message;
    if (!message.ParseFromString(row.Bytes(1))) continue;
    TradeRow trade;
    trade.trade.booking = BookingOf(message);
    Agreement& agreement = trade.trade.booking.agreement;
    listing::v1::PricePlan plan;
    if (plan.ParseFromString(row.Bytes(2))) agreement.plan = terms::ToPlan(plan);
    agreement.funding_minutes = row.Int(3);
    agreement.acceptance_minutes = row.Int(4);
    trade.trade.booking.held_time = row.OptionalAt(5);
    trade.trade.booking.missing = row.Int(6);
    trade.request_key = row.Text(7);
    trade.fingerprint = row.Bytes(8);
    trade.legs_stored = trade.trade.booking.legs.size();
    set.trades[row.Id(0)] = std::move(trade);
  }
  for (Row row : tx.Execute(kWorks, ids)) {
    TradeRow* trade = set.Find(row.Id(0));
    v1::WorkOrder message;
    if (!trade || !message.ParseFromString(row.Bytes(2))) continue;
    WorkOrder work = WorkOf(message);
    work.enter_time = row.At(3);
    trade->trade.work = std::move(work);
    set.booking_of_work[row.Id(1)] = row.Id(0);
  }
}

}  // namespace

void OperationsStore::Load(Transaction& tx, Set& set) {
  if (!set.want_works.empty()) {
    for (Row row : tx.Execute(kWorkBookings, Params().Ids(List(set.want_works)))) set.want_bookings.insert(row.Id(1));
  }
  LoadBookables(tx, set);
  LoadCapacity(tx, set);
  LoadOrganizations(tx, set);
  LoadKeys(tx, set);
  LoadTrades(tx, set);
}

}  // namespace millrace::operations
