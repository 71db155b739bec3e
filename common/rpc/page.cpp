// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/page.h"

#include <algorithm>
#include <cstring>

#include "common/crypto/crypto.h"

namespace millrace::rpc {
namespace {

constexpr size_t kIdBytes = 16;
constexpr size_t kMacBytes = 8;

// Binds a token to its list. It guards against mistakes (a changed filter, a cut token), not against attackers: whoever
// makes up a token reads nothing but what row-level security shows them anyway. So the key is a label, and tokens
// outlive restarts.
std::string Mac(std::string_view id, const std::string& filter) {
  std::string bound(id);
  bound += filter;
  return crypto::HmacSha256("millrace page token 1", bound).substr(0, kMacBytes);
}

}  // namespace

Result<Page> ReadPage(int page_size, const std::string& page_token, const std::string& filter) {
  Page page;
  if (page_size > 0) page.size = std::min(page_size, limits::kPageSizeMax);
  if (page_token.empty()) return page;
  std::optional<std::string> bytes = crypto::Base64UrlDecode(page_token);
  if (!bytes || bytes->size() != kIdBytes + kMacBytes) {
    return Fail(Error::At("#/page_token", ErrorCode::kInvalidPageToken));
  }
  std::string_view id = std::string_view(*bytes).substr(0, kIdBytes);
  if (!crypto::EqualInConstantTime(Mac(id, filter), std::string_view(*bytes).substr(kIdBytes))) {
    return Fail(Error::At("#/page_token", ErrorCode::kInvalidPageToken));
  }
  std::memcpy(page.after.bytes.data(), id.data(), kIdBytes);
  return page;
}

std::string NextPageToken(const Uuid& last, const std::string& filter) {
  std::string bytes(reinterpret_cast<const char*>(last.bytes.data()), kIdBytes);
  bytes += Mac(bytes, filter);
  return crypto::Base64Url(bytes);
}

Uuid PlaceOf(int64_t number) {
  Uuid place;
  place.bytes[0] = 1;  // never nil
  for (int i = 0; i < 8; ++i) place.bytes[15 - i] = static_cast<uint8_t>(static_cast<uint64_t>(number) >> (8 * i));
  return place;
}

int64_t NumberOf(const Uuid& place) {
  uint64_t number = 0;
  for (int i = 8; i < 16; ++i) number = number << 8 | place.bytes[i];
  return static_cast<int64_t>(number);
}

}  // namespace millrace::rpc
