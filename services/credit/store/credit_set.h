// SPDX-License-Identifier: Apache-2.0
// The rows that credit's commands decide on.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/postgres/writer.h"
#include "services/credit/domain/model.h"

namespace millrace::credit {

// A row that was read, or is new; saved if it changed.
enum class RowState { kStored, kNew, kChanged };

struct Trade {
  Uuid booking, buyer, provider;
  int64_t value = 0;  // minor units
  std::string currency;
  std::optional<Time> close_time;
  RowState state = RowState::kNew;
};

struct CreditRow {
  Uuid organization;
  domain::Role role = domain::Role::kProvider;
  domain::Standing standing;
  int score = domain::kScoreBase, low = 0, high = 0, bad_rate = 0, settled = 0, counterparties = 0;
  std::optional<Time> evidence_time;
  int tier = 3;
  int64_t tier_version = 0;
  bool suspended = false;
  int64_t version = 0;
  RowState state = RowState::kNew;
};

struct Review {
  Uuid id, booking, author, subject;
  domain::Role subject_role = domain::Role::kProvider;
  int rating = 0;
  std::string comment;
  Time deadline, create_time;
  std::optional<Time> publish_time;
  int64_t version = 1;
  RowState state = RowState::kNew;
};

using Account = std::pair<Uuid, domain::Role>;

struct CreditSet : postgres::WorkingSet {
  // Named by commands; the parties of the named bookings' trades join.
  std::set<Uuid> bookings, organizations;
  std::map<Uuid, Trade> trades;  // by booking
  std::map<Account, CreditRow> credits;
  std::map<Account, std::vector<domain::Fact>> facts;  // in log order, new ones at the end
  std::vector<domain::Fact> new_facts;
  std::vector<Review> reviews;  // of the named bookings
};

class CreditStore : public postgres::Store<CreditSet> {
 public:
  void Load(postgres::Transaction& transaction, CreditSet& set) override;
  void Save(postgres::Transaction& transaction, CreditSet& set) override;
};

// Reading rows of the columns that list_facts, read_log and Load select, from column `first` on.
domain::Fact FactOf(const postgres::Row& row, int first = 0);
// The columns of read_credit behind its time.
CreditRow CreditOf(const postgres::Row& row, int first);
// The columns of list_reviews.
Review ReviewOf(const postgres::Row& row);

}  // namespace millrace::credit
