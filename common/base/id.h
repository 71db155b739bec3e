// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace millrace {

// A 128-bit id; new ones are UUIDv7 (RFC 9562), so they sort by creation. On the wire it is a prefix that names the kind and
// 26 characters of Crockford base32: "bkg_01J9ZK3V6M2E8QW4T7Y1N5R0AB". In PostgreSQL it is a uuid.
struct Uuid {
  std::array<uint8_t, 16> bytes{};

  static Uuid New();
  // 8-4-4-4-12 hexadecimal, as PostgreSQL prints it; the nil id if the text is none.
  static Uuid FromHex(std::string_view text);
  std::string Hex() const;
  bool IsNil() const { return *this == Uuid{}; }
  auto operator<=>(const Uuid&) const = default;
};

// "bkg_" + 26 characters; prefix without the underscore.
std::string FormatId(std::string_view prefix, const Uuid& id);
// INVALID_ID (params: expected) unless `text` is `prefix`, an underscore and 26 Crockford characters in capitals.
Result<Uuid> ParseId(std::string_view prefix, std::string_view text, std::string_view pointer = "#/id");
bool IsId(std::string_view prefix, std::string_view text);
// The id in a text that is known to be well formed (validated before, or our own); the nil id otherwise.
Uuid IdOrNil(std::string_view text);

}  // namespace millrace

template <>
struct std::hash<millrace::Uuid> {
  size_t operator()(const millrace::Uuid& id) const noexcept {
    uint64_t a, b;
    __builtin_memcpy(&a, id.bytes.data(), 8);
    __builtin_memcpy(&b, id.bytes.data() + 8, 8);
    return a ^ (b * 0x9E3779B97F4A7C15ull);
  }
};
