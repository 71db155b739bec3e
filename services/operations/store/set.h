// SPDX-License-Identifier: Apache-2.0
// The rows that a batch of commands decides on.
#pragma once

#include <map>
#include <set>
#include <utility>

#include "common/postgres/writer.h"
#include "services/operations/domain/capacity.h"
#include "services/operations/domain/trade.h"

namespace millrace::operations {

// What is known of an organization as a buyer.
struct OrganizationRow {
  int tier = kNewcomerTier;
  int64_t tier_version = 0;
  bool suspended = false;
  int64_t exposure = 0;  // computed, not stored
  bool dirty = false;
};

struct BookableRow {
  Bookable value;
  std::string payload;
  bool dirty = false;
};

struct TradeRow {
  Trade trade;
  std::string request_key, fingerprint;
  size_t legs_stored = 0;
  bool dirty = false;
};

using RequestKey = std::pair<Uuid, std::string>;  // organization, key

struct Set : postgres::WorkingSet {
  // Named by commands. `want_capacity` maps a listing to the windows that are to be decided, as one span.
  std::map<Uuid, Interval> want_capacity;
  std::set<Uuid> want_approval;  // bookings whose listing's capacity is to be decided
  std::set<Uuid> want_bookables, want_organizations, want_bookings, want_works;
  std::set<RequestKey> want_requests, want_external;

  // Loaded.
  std::map<Uuid, BookableRow> bookables;
  std::map<Uuid, Surroundings> around;  // by resource
  Taken taken;
  std::map<Uuid, OrganizationRow> organizations;
  std::map<Uuid, TradeRow> trades;
  std::map<Uuid, Uuid> booking_of_work;
  std::map<RequestKey, Uuid> by_request, by_external;
  std::set<RequestKey> answered;  // CreateBooking keys whose outcome is kept

  void WantCapacity(const Uuid& listing, Interval window) {
    auto [span, fresh] = want_capacity.emplace(listing, window);
    if (!fresh) span->second = {std::min(span->second.start, window.start), std::max(span->second.end, window.end)};
  }
  TradeRow* Find(const Uuid& booking) {
    auto found = trades.find(booking);
    return found == trades.end() ? nullptr : &found->second;
  }
  TradeRow* FindWork(const Uuid& work) {
    auto found = booking_of_work.find(work);
    return found == booking_of_work.end() ? nullptr : Find(found->second);
  }
  // Takes a decision into the set: the trade's rows, its capacity and exposure, events, timers and the money's next
  // step. `hold_delay`: how long the hold is left to whoever asks at once, before due work takes it.
  void Commit(TradeRow& row, Decision decision, Duration hold_delay = Duration::zero());
  // Replaces a task of this batch, or adds it: one row a task in the statement.
  void PutTask(postgres::NewTask task);
  void CancelTask(const Uuid& id);
  void ArmTimers(const Trade& trade);

 private:
  void MoveMoney(const Trade& trade, const Decision& decision, Duration hold_delay);
};

}  // namespace millrace::operations
