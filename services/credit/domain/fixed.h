// SPDX-License-Identifier: Apache-2.0
// Powers, logarithms and roots in integers: the same bits on every machine, whatever the compiler does to floating
// point.
#pragma once

#include <cstdint>

namespace millrace::credit::domain {

using Wide = __int128;

inline constexpr int kLogBits = 32;                         // binary places of a logarithm
inline constexpr int64_t kLogOne = int64_t{1} << kLogBits;  // 1.0 as a logarithm
inline constexpr int kPowerBits = 20;                       // binary places of a power

// Largest r with r × r <= value; value >= 0.
int64_t SquareRoot(Wide value);
// log2(value), rounded down to 2^-32; value > 0.
int64_t Log2(Wide value);
// 2^exponent, exponent in 2^-32, as a number with kPowerBits binary places; exponents are held within -20 and 40.
Wide Power2(int64_t exponent);
// a / b rounded to nearest, halves away from zero; b > 0.
int64_t DivideRounded(Wide a, Wide b);

}  // namespace millrace::credit::domain
