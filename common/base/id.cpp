// SPDX-License-Identifier: Apache-2.0
#include "common/base/id.h"

#include <chrono>
#include <cstring>

#include "common/base/random.h"

namespace millrace {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

int Base32Value(char c) {
  size_t at = kAlphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

// 128 bits as 26 digits of 5 bits; the first digit holds the top 3 bits only.
bool DecodeBase32(std::string_view text, Uuid* id) {
  if (text.size() != 26 || Base32Value(text[0]) < 0 || Base32Value(text[0]) > 7) return false;
  unsigned __int128 value = 0;
  for (char c : text) {
    int digit = Base32Value(c);
    if (digit < 0) return false;
    value = (value << 5) | static_cast<unsigned>(digit);
  }
  for (int i = 15; i >= 0; --i) {
    id->bytes[i] = static_cast<uint8_t>(value);
    value >>= 8;
  }
  return true;
}

}  // namespace

Uuid Uuid::New() {
  Uuid id;
  FillRandom(id.bytes.data(), id.bytes.size());
  // 48 bits of milliseconds, then 12 bits of the microsecond's fraction (RFC 9562 method 3), so that ids of one process sort.
  auto now = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch());
  uint64_t ms = static_cast<uint64_t>(now.count() / 1000);
  uint32_t fraction = static_cast<uint32_t>((now.count() % 1000) * 4096 / 1000);
  for (int i = 0; i < 6; ++i) id.bytes[i] = static_cast<uint8_t>(ms >> (40 - 8 * i));
  id.bytes[6] = static_cast<uint8_t>(0x70 | (fraction >> 8));
  id.bytes[7] = static_cast<uint8_t>(fraction);
  id.bytes[8] = static_cast<uint8_t>((id.bytes[8] & 0x3F) | 0x80);
  return id;
}

Uuid Uuid::FromHex(std::string_view text) {
  Uuid id;
  size_t n = 0;
  for (char c : text) {
    if (c == '-') continue;
    int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (v < 0 || n >= 32) return {};
    id.bytes[n / 2] = static_cast<uint8_t>((id.bytes[n / 2] << 4) | v);
    ++n;
  }
  return n == 32 ? id : Uuid{};
}

std::string Uuid::Hex() const {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(36);
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += kHex[bytes[i] >> 4];
    out += kHex[bytes[i] & 15];
  }
  return out;
}

std::string FormatId(std::string_view prefix, const Uuid& id) {
  unsigned __int128 value = 0;
  for (uint8_t byte : id.bytes) value = (value << 8) | byte;
  std::string out(prefix);
  out += '_';
  size_t start = out.size();
  out.resize(start + 26);
  for (int i = 25; i >= 0; --i) {
    out[start + i] = kAlphabet[static_cast<size_t>(value & 31)];
    value >>= 5;
  }
  return out;
}

bool IsId(std::string_view prefix, std::string_view text) {
  Uuid ignored;
  return text.size() == prefix.size() + 27 && text.substr(0, prefix.size()) == prefix && text[prefix.size()] == '_' &&
         DecodeBase32(text.substr(prefix.size() + 1), &ignored);
}

Result<Uuid> ParseId(std::string_view prefix, std::string_view text, std::string_view pointer) {
  if (!IsId(prefix, text)) {
    return Fail(Error::At(std::string(pointer), ErrorCode::kInvalidId,
                          {{"expected", std::string(prefix) + "_01J9ZK3V6M2E8QW4T7Y1N5R0AB"}}));
  }
  return IdOrNil(text);
}

Uuid IdOrNil(std::string_view text) {
  Uuid id;
  size_t underscore = text.find('_');
  if (underscore == std::string_view::npos || !DecodeBase32(text.substr(underscore + 1), &id)) return {};
  return id;
}

}  // namespace millrace
