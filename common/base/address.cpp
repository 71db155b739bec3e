// SPDX-License-Identifier: Apache-2.0
#include "common/base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace millrace {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// IANA's special-purpose registries (RFC 6890 and after), and 100.100.100.200 and 169.254.169.254 within them.
constexpr const char* kNotPublic[] = {
    "0.0.0.0/8",      "10.0.0.0/8",    "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24",   "192.0.2.0/24",  "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",  "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/4",   "240.0.0.0/4",    "::/96",          "64:ff9b:1::/48", "100::/64",
    "2001::/23",      "2001:db8::/32", "3fff::/20",      "5f00::/16",      "fc00::/7",       "fe80::/10",
    "fec0::/10",      "ff00::/8"};

const std::vector<Cidr>& NotPublic() {
  static const std::vector<Cidr> blocks = [] {
    std::vector<Cidr> all;
    for (const char* text : kNotPublic) all.push_back(Cidr::Parse(text).value());
    return all;
  }();
  return blocks;
}

IpAddress Mapped(const uint8_t* four) {
  IpAddress address;
  std::copy(kMapped.begin(), kMapped.end(), address.bytes.begin());
  std::memcpy(address.bytes.data() + 12, four, 4);
  return address;
}

bool StartsWith(const IpAddress& address, std::initializer_list<uint8_t> prefix) {
  return std::equal(prefix.begin(), prefix.end(), address.bytes.begin());
}

}  // namespace

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  std::string whole(text);
  if (whole.size() != std::strlen(whole.c_str())) return std::nullopt;
  in_addr four{};
  if (inet_pton(AF_INET, whole.c_str(), &four) == 1) return Mapped(reinterpret_cast<const uint8_t*>(&four));
  IpAddress address;
  if (inet_pton(AF_INET6, whole.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

bool IpAddress::IsV4() const { return std::equal(kMapped.begin(), kMapped.end(), bytes.begin()); }

std::optional<Cidr> Cidr::Parse(std::string_view text) {
  size_t slash = text.find('/');
  if (slash == text.npos) return std::nullopt;
  std::optional<IpAddress> base = IpAddress::Parse(text.substr(0, slash));
  std::string_view digits = text.substr(slash + 1);
  int bits = -1;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
  if (!base || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  // A mapped address may be written with either count.
  bool dotted = text.substr(0, slash).find(':') == text.npos;
  if (bits < 0 || bits > (dotted ? 32 : 128)) return std::nullopt;
  return Cidr{*base, dotted ? bits + 96 : bits};
}

bool Cidr::Contains(const IpAddress& address) const {
  size_t whole = static_cast<size_t>(bits) / 8;
  if (!std::equal(base.bytes.begin(), base.bytes.begin() + whole, address.bytes.begin())) return false;
  if (bits % 8 == 0) return true;
  int mask = 0xff << (8 - bits % 8) & 0xff;
  return (base.bytes[whole] & mask) == (address.bytes[whole] & mask);
}

std::optional<std::vector<Cidr>> ParseCidrs(std::string_view text) {
  std::vector<Cidr> blocks;
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    std::optional<Cidr> block = Cidr::Parse(part);
    if (!block) return std::nullopt;
    blocks.push_back(*block);
  }
  return blocks;
}

IpAddress Unwrap(const IpAddress& address) {
  const uint8_t* b = address.bytes.data();
  if (address.IsV4()) return address;
  if (StartsWith(address, {0x20, 0x02})) return Mapped(b + 2);
  if (StartsWith(address, {0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) return Mapped(b + 12);
  if (StartsWith(address, {0x20, 0x01, 0, 0})) {
    // Teredo hides the client's address by inverting its bits (RFC 4380).
    uint8_t four[4];
    for (int i = 0; i < 4; ++i) four[i] = static_cast<uint8_t>(~b[12 + i]);
    return Mapped(four);
  }
  bool compatible = StartsWith(address, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  if (compatible && (b[12] || b[13] || b[14] || b[15] > 1)) return Mapped(b + 12);
  return address;
}

bool IsPublic(const IpAddress& address) {
  auto is_special = [](const IpAddress& one) {
    return std::ranges::any_of(NotPublic(), [&](const Cidr& block) { return block.Contains(one); });
  };
  return !is_special(address) && !is_special(Unwrap(address));
}

}  // namespace millrace
