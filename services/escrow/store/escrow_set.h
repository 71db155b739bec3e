// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/postgres/writer.h"
#include "services/escrow/domain/book.h"

namespace millrace::escrow {

// What identity or credit said of an organization; applied if its version is newer than what is known.
struct PartyNews {
  Uuid organization;
  std::optional<int> tier;  // else name and suspended
  std::string name;
  bool suspended = false;
  int64_t version = 0;
};

struct Notice {
  std::string notice_id, kind, transfer_id;
  bool known = false;  // it came before
};

// The rows of a batch. Commands name what they need; the store loads it into the book and writes what the book changed.
struct EscrowSet : postgres::WorkingSet {
  // Needs.
  std::set<Uuid> escrow_ids;  // escrows, with their parties' accounts and pay-out instructions
  std::set<std::pair<Uuid, std::string>>
      payers;  // available account of (organization, currency), and what waits for it
  std::set<std::pair<Uuid, std::string>> providers;        // payable account of (organization, currency)
  std::set<std::string> references;                        // candidates of payment references
  std::set<std::pair<std::string, std::string>> credited;  // (reference candidate, currency): resolved to payers
  std::set<std::string> pay_in_ids;
  std::set<std::string> suspense_currencies;
  std::set<Uuid> waiting_providers;       // whose captured escrows are listed in `waiting_pay_outs`
  std::map<std::string, Notice> notices;  // by notice id; `known` is loaded

  domain::Book book;
  std::vector<Uuid> waiting_pay_outs;  // escrow ids
  std::set<Uuid> loaded_escrows;       // in the database already

  // Effects beside the book's.
  std::set<std::string> new_notices;
  std::map<Uuid, std::string> new_references;  // organization -> reference
  std::vector<PartyNews> news;
  std::optional<int64_t> cursor;
};

class EscrowStore : public postgres::Store<EscrowSet> {
 public:
  explicit EscrowStore(int64_t fee_basis_points) : fee_basis_points_(fee_basis_points) {}
  void Load(postgres::Transaction& tx, EscrowSet& set) override;
  void Save(postgres::Transaction& tx, EscrowSet& set) override;

 private:
  int64_t fee_basis_points_;
};

}  // namespace millrace::escrow
