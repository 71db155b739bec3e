// SPDX-License-Identifier: Apache-2.0
// How the index follows the logs: a snapshot of the owner's first, then every event behind it.
#pragma once

#include "common/events/consumer.h"
#include "common/rpc/channel.h"
#include "services/matching/domain/index.h"
#include "services/matching/store/demand_set.h"

namespace millrace::matching {

using ChannelOf = std::function<rpc::Channel&(std::string_view service)>;

// Listing's log into the index. The position is in memory: after a start the snapshot is read again.
class ListingFollower : public events::Sink {
 public:
  ListingFollower(ChannelOf channel, domain::Index& index) : channel_(std::move(channel)), index_(index) {}
  // Reads the snapshot first; UNAVAILABLE while listing cannot be reached.
  Task<Result<int64_t>> Position(std::string source) override;
  Task<Result<void>> Apply(std::string source, std::vector<events::v1::Event> events) override;
  bool ready() const { return loaded_; }
  int64_t position() const { return position_; }

 private:
  Task<Result<void>> Load();
  ChannelOf channel_;
  domain::Index& index_;
  bool loaded_ = false, loading_ = false;
  int64_t position_ = 0;
};

// Operations' log into the index, and into the demands that bookings name; the latter exactly once.
class OperationsFollower : public events::Sink {
 public:
  OperationsFollower(ChannelOf channel, domain::Index& index, postgres::Database& worker,
                     postgres::Writer<DemandSet>& writer);
  // What both have applied; see ListingFollower.
  Task<Result<int64_t>> Position(std::string source) override;
  Task<Result<void>> Apply(std::string source, std::vector<events::v1::Event> events) override;
  bool ready() const { return loaded_; }
  int64_t position() const { return position_; }

 private:
  Task<Result<void>> Load();
  ChannelOf channel_;
  domain::Index& index_;
  events::WriterSink<DemandSet> demands_;
  bool loaded_ = false, loading_ = false;
  int64_t position_ = 0;         // of the index
  int64_t demand_position_ = 0;  // of the demands
};

// Credit's log into the table of tiers and, from there, into the index.
class CreditFollower : public events::Sink {
 public:
  CreditFollower(domain::Index& index, postgres::Database& worker, postgres::Writer<DemandSet>& writer);
  Task<Result<int64_t>> Position(std::string source) override;
  Task<Result<void>> Apply(std::string source, std::vector<events::v1::Event> events) override;
  int64_t position() const { return position_; }

 private:
  domain::Index& index_;
  postgres::Database& worker_;
  events::WriterSink<DemandSet> stored_;
  bool loaded_ = false;
  int64_t position_ = 0;
};

}  // namespace millrace::matching
