// SPDX-License-Identifier: Apache-2.0
// Hashes, message authentication and random secrets, by OpenSSL.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/base/id.h"

namespace millrace::crypto {

// An id that follows from another one and a label ("hold"), so that a retry makes the same. Keeps the time part of `base`, so that
// both sort alike; the rest is SHA-256, marked as UUID version 8 (RFC 9562).
Uuid DeriveId(const Uuid& base, std::string_view label);

// 32 bytes.
std::string Sha256(std::string_view bytes);
std::string HmacSha256(std::string_view key, std::string_view bytes);
// Lower-case hexadecimal.
std::string Hex(std::string_view bytes);
// RFC 4648, with padding; Decode gives nothing unless the text is exactly that.
std::string Base64(std::string_view bytes);
std::optional<std::string> Base64Decode(std::string_view text);
// URL-safe alphabet, no padding.
std::string Base64Url(std::string_view bytes);
std::optional<std::string> Base64UrlDecode(std::string_view text);
// From the operating system's generator; aborts if that fails.
std::string RandomBytes(size_t count);
// Takes the same time wherever the texts differ.
bool EqualInConstantTime(std::string_view a, std::string_view b);

// Standard Webhooks 1.0.0: "v1,<base64>" of HMAC-SHA256 over "id.timestamp.body". `secret` is whsec_ + base64, or bare base64.
std::string SignWebhook(std::string_view secret, std::string_view id, int64_t timestamp, std::string_view body);
// Whether one of the space-separated signatures fits and |now - timestamp| <= 300 s.
bool VerifyWebhook(std::string_view secret, std::string_view id, std::string_view timestamp, std::string_view signatures,
                   std::string_view body, int64_t now);

}  // namespace millrace::crypto
