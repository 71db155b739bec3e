// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace millrace {

inline constexpr int64_t kMaxMoneyAmount = 1'000'000'000'000'000;  // |amount| < 10^15 minor units

// Integer minor units (fen) and an ISO 4217 code.
struct Money {
  int64_t amount = 0;
  std::string currency = "CNY";
  auto operator<=>(const Money&) const = default;
};

// a × b / divisor, rounded half to even; exact by 128-bit arithmetic. `divisor` > 0.
int64_t MultiplyDivide(int64_t a, int64_t b, int64_t divisor);
// `amount` × basis points / 10,000, half to even.
inline int64_t BasisPoints(int64_t amount, int64_t basis_points) { return MultiplyDivide(amount, basis_points, 10000); }
bool IsSupportedCurrency(std::string_view code);
std::string_view SupportedCurrencies();  // "CNY, EUR, …"
// "12,345.60 CNY"
std::string FormatMoney(const Money& money);

}  // namespace millrace
