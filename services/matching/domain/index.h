// SPDX-License-Identifier: Apache-2.0
// What can be booked now, in memory: derived from the logs of listing, operations and credit, and rebuilt from their
// snapshots.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "services/matching/domain/offer.h"

namespace millrace::matching::domain {

using BusyList = std::vector<calendar::Busy>;

struct Row {
  std::shared_ptr<const Offer> offer;    // null: the row is free
  std::shared_ptr<const BusyList> busy;  // null: nothing is taken
  int tier = 3;                          // the provider's
};

// What a match reads. Never changes once it is handed out.
struct IndexData {
  std::vector<Row> rows;
  std::vector<std::vector<uint32_t>> by_process;  // rows by the pre-order number of a process that they offer
};

// One leg of a booking that keeps capacity.
struct Leg {
  Uuid resource;
  Interval blocked;
  int64_t units = 1;
  bool parent_leg = false;
};

// Lives on one thread; snapshots may be read on any.
class Index {
 public:
  Index();

  // A listing as it is now; `published` false takes it off. Older versions than the known one are ignored.
  void PutListing(Offer offer, std::vector<Uuid> parents, bool published);
  // A booking's unreleased legs as they are now. Older versions than the known one are ignored.
  void PutBooking(const Uuid& booking, int64_t version, std::vector<Leg> legs);
  void PutTier(const Uuid& provider, int tier);

  // Copied before the next change if somebody still holds it. The last holder must let go on this thread.
  std::shared_ptr<const IndexData> Snapshot() const { return data_; }
  size_t size() const { return row_of_.size(); }

 private:
  struct Booking {
    int64_t version = 0;
    std::vector<Leg> legs;
  };

  IndexData& Mutable();
  void Remove(const Uuid& listing);
  void Insert(Offer offer);
  std::shared_ptr<const calendar::Rules> Intern(std::shared_ptr<const calendar::Rules> rules);
  std::set<Uuid> Relatives(const Uuid& resource, const std::unordered_map<Uuid, std::vector<Uuid>>& edges) const;
  std::shared_ptr<const BusyList> BusyOf(const Uuid& resource, int64_t capacity) const;
  // The rows of a resource and of its lines and machines get their busy lists anew.
  void Refresh(const Uuid& resource);
  void SetParents(const Uuid& resource, std::vector<Uuid> parents);

  std::shared_ptr<IndexData> data_;
  std::vector<uint32_t> free_rows_;
  std::unordered_map<Uuid, uint32_t> row_of_;     // by listing
  std::unordered_map<Uuid, int64_t> version_of_;  // by listing, published or not
  std::unordered_map<Uuid, std::vector<uint32_t>> rows_of_resource_, rows_of_provider_;
  std::unordered_map<Uuid, std::vector<Uuid>> parents_, children_;
  std::unordered_map<Uuid, Booking> bookings_;
  std::unordered_map<Uuid, std::map<Uuid, std::vector<Leg>>> taken_;  // by resource, then booking
  std::unordered_map<Uuid, int> tiers_;
  std::map<std::string, std::weak_ptr<const calendar::Rules>> rules_;
};

}  // namespace millrace::matching::domain
