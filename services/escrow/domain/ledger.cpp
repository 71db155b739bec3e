// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/domain/ledger.h"

#include <array>

namespace millrace::escrow::domain {
namespace {

constexpr std::array<std::string_view, 6> kNames = {"available", "held", "payable", "fee", "suspense", "custodian"};
// Far above any sum of real money, far below the end of int64.
constexpr int64_t kBalanceMax = int64_t{1} << 60;

}  // namespace

std::string_view AccountKindName(AccountKind kind) { return kNames[static_cast<size_t>(kind)]; }

std::optional<AccountKind> AccountKindByName(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<AccountKind>(i);
  }
  return std::nullopt;
}

std::string AccountName(const AccountKey& account) {
  std::string name(AccountKindName(account.kind));
  if (account.owner.IsNil()) return name;
  return name + "/" + FormatId(account.kind == AccountKind::kHeld ? "esc" : "org", account.owner);
}

int64_t Ledger::Balance(const AccountKey& account) const {
  auto found = balances_.find(account);
  return found == balances_.end() ? 0 : found->second;
}

Result<void> Ledger::Post(Transfer transfer) {
  std::erase_if(transfer.entries, [](const Entry& entry) { return entry.amount == 0; });
  if (transfer.entries.empty()) return {};
  std::map<std::string, __int128> sums;
  std::map<AccountKey, __int128> after;
  for (const Entry& entry : transfer.entries) {
    sums[entry.account.currency] += entry.amount;
    auto [found, fresh] = after.try_emplace(entry.account, Balance(entry.account));
    found->second += entry.amount;
  }
  for (const auto& [currency, sum] : sums) {
    if (sum != 0) return Fail(Error::Internal("transfer " + transfer.kind + " does not sum to zero in " + currency));
  }
  for (const auto& [account, balance] : after) {
    if (balance > kBalanceMax || balance < -kBalanceMax) return Fail(Error::Internal("balance out of range"));
    if (balance < 0 && IsBounded(account.kind)) {
      int64_t available = Balance(account);
      int64_t needed = available - static_cast<int64_t>(balance);
      return Fail(ErrorCode::kInsufficientFunds, {{"available", std::to_string(available)},
                                                  {"needed", std::to_string(needed)},
                                                  {"currency", account.currency}});
    }
  }
  for (const auto& [account, balance] : after) balances_[account] = static_cast<int64_t>(balance);
  posted_.push_back(std::move(transfer));
  return {};
}

}  // namespace millrace::escrow::domain
