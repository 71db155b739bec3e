// SPDX-License-Identifier: Apache-2.0
#include "common/base/money.h"

namespace millrace {

int64_t MultiplyDivide(int64_t a, int64_t b, int64_t divisor) {
  __int128 product = static_cast<__int128>(a) * b;
  __int128 quotient = product / divisor;
  __int128 rest = product % divisor;
  __int128 twice = (rest < 0 ? -rest : rest) * 2;
  if (twice > divisor || (twice == divisor && quotient % 2 != 0)) quotient += product < 0 ? -1 : 1;
  return static_cast<int64_t>(quotient);
}

bool IsSupportedCurrency(std::string_view code) {
  return code == "CNY" || code == "EUR" || code == "HKD" || code == "USD";
}

std::string_view SupportedCurrencies() { return "CNY, EUR, HKD, USD"; }

std::string FormatMoney(const Money& money) {
  uint64_t units = money.amount < 0 ? 0 - static_cast<uint64_t>(money.amount) : static_cast<uint64_t>(money.amount);
  std::string whole = std::to_string(units / 100);
  for (int at = static_cast<int>(whole.size()) - 3; at > 0; at -= 3) whole.insert(static_cast<size_t>(at), ",");
  std::string cents = std::to_string(units % 100);
  if (cents.size() < 2) cents.insert(0, "0");
  return (money.amount < 0 ? "-" : "") + whole + "." + cents + " " + money.currency;
}

}  // namespace millrace
