// SPDX-License-Identifier: Apache-2.0
// IP addresses and which of them a server may be asked to call: rules without any I/O.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// An IPv6 address; IPv4 as its IPv4-mapped form ::ffff:a.b.c.d.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};
  // Nothing unless the text is a whole address in dotted or colon form; without brackets, zone or port.
  static std::optional<IpAddress> Parse(std::string_view text);
  bool IsV4() const;
  auto operator<=>(const IpAddress&) const = default;
};

// A block of addresses: "10.0.0.0/8", "fd00::/8".
struct Cidr {
  IpAddress base;
  int bits = 128;  // of the 128; an IPv4 block's prefix counts from 96
  // Nothing unless it is an address, a slash and a prefix length that fits; bits behind the prefix may be set.
  static std::optional<Cidr> Parse(std::string_view text);
  bool Contains(const IpAddress& address) const;
};
// Blocks by comma, blanks allowed; nothing if one of them is none. Empty text: no blocks.
std::optional<std::vector<Cidr>> ParseCidrs(std::string_view text);

// The IPv4 address that an IPv6 form carries, as its mapped form: IPv4-mapped, IPv4-compatible, NAT64 (64:ff9b::/96),
// 6to4 (2002::/16), Teredo (2001::/32: its client). Any other address itself.
IpAddress Unwrap(const IpAddress& address);

// Whether an address is of the public internet: not unspecified, loopback, link-local (with the metadata services of
// clouds), private, shared (CGNAT), multicast, reserved, for documentation or benchmarks, nor a form that carries such
// a one.
bool IsPublic(const IpAddress& address);

}  // namespace millrace
