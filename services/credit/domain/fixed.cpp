// SPDX-License-Identifier: Apache-2.0
#include "services/credit/domain/fixed.h"

#include <algorithm>
#include <array>

namespace millrace::credit::domain {
namespace {

constexpr int kFractionBits = 62;

constexpr int64_t Root(Wide value) {
  if (value <= 0) return 0;
  Wide low = 1, high = Wide{1} << 62;
  while (low < high) {
    Wide middle = (low + high + 1) / 2;
    if (middle <= value / middle) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return static_cast<int64_t>(low);
}

// 2^(1/2), 2^(1/4), … with 61 binary places, each the root of the one before.
constexpr std::array<int64_t, kLogBits> MakeRoots() {
  std::array<int64_t, kLogBits> roots{};
  Wide square = Wide{1} << kFractionBits;  // 2.0 with 61 places
  for (int64_t& root : roots) {
    root = Root(square << (kFractionBits - 1));
    square = root;
  }
  return roots;
}
constexpr std::array<int64_t, kLogBits> kRoots = MakeRoots();

}  // namespace

int64_t SquareRoot(Wide value) { return Root(value); }

int64_t Log2(Wide value) {
  int whole = 0;
  for (Wide rest = value; rest > 1; rest >>= 1) ++whole;
  // The mantissa in [1, 2) with 62 places, squared again and again: each doubling past 2 is one more binary place.
  Wide mantissa = whole <= kFractionBits ? value << (kFractionBits - whole) : value >> (whole - kFractionBits);
  int64_t log = static_cast<int64_t>(whole) << kLogBits;
  for (int place = kLogBits - 1; place >= 0; --place) {
    mantissa = static_cast<Wide>(
        (static_cast<unsigned __int128>(mantissa) * static_cast<unsigned __int128>(mantissa)) >> kFractionBits);
    if (mantissa >> (kFractionBits + 1)) {
      log |= int64_t{1} << place;
      mantissa >>= 1;
    }
  }
  return log;
}

Wide Power2(int64_t exponent) {
  exponent = std::clamp(exponent, int64_t{-20} * kLogOne, int64_t{40} * kLogOne);
  int64_t whole = exponent >> kLogBits;  // rounds down
  int64_t fraction = exponent - (whole << kLogBits);
  Wide mantissa = Wide{1} << (kFractionBits - 1);  // 1.0 with 61 places
  for (int place = 0; place < kLogBits; ++place) {
    if ((fraction >> (kLogBits - 1 - place)) & 1)
      mantissa = (mantissa * kRoots[static_cast<size_t>(place)]) >> (kFractionBits - 1);
  }
  int64_t shift = whole + kPowerBits - (kFractionBits - 1);
  return shift >= 0 ? mantissa << shift : mantissa >> -shift;
}

int64_t DivideRounded(Wide a, Wide b) {
  Wide half = b / 2;
  return static_cast<int64_t>(a >= 0 ? (a + half) / b : -((-a + half) / b));
}

}  // namespace millrace::credit::domain
