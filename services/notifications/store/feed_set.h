// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/postgres/writer.h"

namespace millrace::notifications {

// An event on its way into the feed.
struct FeedRow {
  Uuid event_id;
  std::string source, type, subject;
  int64_t subject_version = 0;
  Time time;
  std::vector<Uuid> parties;  // not empty
  std::string payload_type, payload;
};

struct FeedSet : postgres::WorkingSet {
  std::vector<FeedRow> rows;  // in the order in which they get their seq; an event that is there already is passed over
  int wanted = 0;             // rows that the commands are going to add, counted before the feed is locked
  bool prune = false;
  // After Load, if prune: the oldest events, past their time; all up to prune_to go.
  int64_t prune_count = 0, prune_to = 0;
};

inline constexpr int64_t kPruneRows = 10000;  // in one transaction

class FeedStore : public postgres::Store<FeedSet> {
 public:
  void Load(postgres::Transaction& transaction, FeedSet& set) override;
  void Save(postgres::Transaction& transaction, FeedSet& set) override;
};

}  // namespace millrace::notifications
