// SPDX-License-Identifier: Apache-2.0
// Double entry as a state machine: accounts, and transfers whose entries sum to zero.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/id.h"
#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace::escrow::domain {

// kAvailable and kPayable belong to an organization, kHeld to an escrow, the others to the instance (owner nil).
enum class AccountKind : uint8_t { kAvailable, kHeld, kPayable, kFee, kSuspense, kCustodian };
std::string_view AccountKindName(AccountKind kind);  // "available"
std::optional<AccountKind> AccountKindByName(std::string_view name);
// Its balance may never be negative. The fee's and the custodian's account have no bound, so no command waits for them.
constexpr bool IsBounded(AccountKind kind) { return kind != AccountKind::kFee && kind != AccountKind::kCustodian; }

struct AccountKey {
  AccountKind kind = AccountKind::kAvailable;
  Uuid owner;
  std::string currency;
  auto operator<=>(const AccountKey&) const = default;
};
std::string AccountName(const AccountKey& account);  // "available/org_…", "held/esc_…", "fee"

// Positive adds to the account. Minor units.
struct Entry {
  AccountKey account;
  int64_t amount = 0;
};

struct Transfer {
  Uuid id;
  std::string kind;  // hold, capture, void, expire, pay_in, pay_out
  Uuid escrow;       // nil: belongs to none
  Uuid buyer;        // who may see it: the escrow's parties, or the payer alone; nil: nobody but the operator
  Uuid provider;
  std::vector<Entry> entries;
  Time time;
};

// Balances of the accounts that a command needs, and what was posted on them.
class Ledger {
 public:
  void Load(const AccountKey& account, int64_t balance) { balances_[account] = balance; }
  int64_t Balance(const AccountKey& account) const;  // 0 for one that was never touched
  // Entries of amount zero are left out; a transfer without entries is none. Errors, with nothing changed: INTERNAL if
  // it does not sum to zero per currency or leaves the range of money, INSUFFICIENT_FUNDS if a bounded account would
  // become negative.
  Result<void> Post(Transfer transfer);

  const std::vector<Transfer>& posted() const { return posted_; }
  const std::map<AccountKey, int64_t>& balances() const { return balances_; }

 private:
  std::map<AccountKey, int64_t> balances_;
  std::vector<Transfer> posted_;
};

}  // namespace millrace::escrow::domain
