// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <charconv>
#include <cstdlib>

#include "common/crypto/openssl.h"

namespace millrace::crypto {
namespace {

// The key of a webhook secret: what follows whsec_, decoded.
std::optional<std::string> WebhookKey(std::string_view secret) {
  if (secret.starts_with("whsec_")) secret.remove_prefix(6);
  return Base64Decode(secret);
}

std::string Alphabet64(std::string_view bytes, const char* alphabet, bool padding) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < count ? Raw(bytes)[i + j] : 0);
    for (size_t j = 0; j < 4; ++j) {
      if (j <= count) {
        out += alphabet[group >> (18 - 6 * j) & 63];
      } else if (padding) {
        out += '=';
      }
    }
  }
  return out;
}

constexpr char kStandard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kUrl[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::optional<std::string> Decode64(std::string_view text, const char* alphabet) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string_view letters(alphabet, 64);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    size_t value = letters.find(c);
    if (value == letters.npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>(bits >> count & 255);
    }
  }
  if (bits & ((1u << count) - 1)) return std::nullopt;  // bits that no encoder leaves
  return out;
}

}  // namespace

Uuid DeriveId(const Uuid& base, std::string_view label) {
  std::string text(reinterpret_cast<const char*>(base.bytes.data()), base.bytes.size());
  text += label;
  std::string hash = Sha256(text);
  Uuid id = base;
  for (size_t i = 6; i < 16; ++i) id.bytes[i] = static_cast<uint8_t>(hash[i]);
  id.bytes[6] = static_cast<uint8_t>((id.bytes[6] & 0x0f) | 0x80);
  id.bytes[8] = static_cast<uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

std::string Sha256(std::string_view bytes) {
  std::string out(32, '\0');
  unsigned int size = 0;
  if (!EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(out.data()), &size, EVP_sha256(),
                  nullptr)) {
    std::abort();
  }
  return out;
}

std::string HmacSha256(std::string_view key, std::string_view bytes) {
  std::string out(32, '\0');
  unsigned int size = 0;
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Raw(bytes), bytes.size(),
            reinterpret_cast<unsigned char*>(out.data()), &size)) {
    std::abort();
  }
  return out;
}

std::string Hex(std::string_view bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (unsigned char c : bytes) {
    out += kHex[c >> 4];
    out += kHex[c & 15];
  }
  return out;
}

std::string Base64(std::string_view bytes) { return Alphabet64(bytes, kStandard, true); }
std::string Base64Url(std::string_view bytes) { return Alphabet64(bytes, kUrl, false); }

std::optional<std::string> Base64Decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  if (text.ends_with("==")) {
    text.remove_suffix(2);
  } else if (text.ends_with("=")) {
    text.remove_suffix(1);
  }
  return Decode64(text, kStandard);
}

std::optional<std::string> Base64UrlDecode(std::string_view text) { return Decode64(text, kUrl); }

std::string RandomBytes(size_t count) {
  std::string out(count, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(count)) != 1) std::abort();
  return out;
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string SignWebhook(std::string_view secret, std::string_view id, int64_t timestamp, std::string_view body) {
  std::optional<std::string> key = WebhookKey(secret);
  std::string text = std::string(id) + "." + std::to_string(timestamp) + "." + std::string(body);
  return "v1," + Base64(HmacSha256(key.value_or(std::string(secret)), text));
}

bool VerifyWebhook(std::string_view secret, std::string_view id, std::string_view timestamp,
                   std::string_view signatures, std::string_view body, int64_t now) {
  constexpr int64_t kTolerance = 300;
  int64_t at = 0;
  auto [end, error] = std::from_chars(timestamp.data(), timestamp.data() + timestamp.size(), at);
  if (error != std::errc() || end != timestamp.data() + timestamp.size() || id.empty() || secret.empty()) return false;
  if (at < now - kTolerance || at > now + kTolerance) return false;
  std::string wanted = SignWebhook(secret, id, at, body);
  bool fits = false;
  while (!signatures.empty()) {
    size_t space = std::min(signatures.find(' '), signatures.size());
    if (EqualInConstantTime(signatures.substr(0, space), wanted)) fits = true;
    signatures.remove_prefix(std::min(space + 1, signatures.size()));
  }
  return fits;
}

}  // namespace millrace::crypto
