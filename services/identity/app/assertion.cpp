// SPDX-License-Identifier: Apache-2.0
#include "services/identity/app/assertion.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "common/crypto/crypto.h"
#include "common/crypto/jwt.h"
#include "common/http/json_parse.h"

namespace millrace::identity {
namespace {

using http::JsonValue;

crypto::Jwk JwkOf(const v1::PublicKey& key) {
  return {.kty = key.kty(), .crv = key.crv(), .x = key.x(), .y = key.y(), .n = key.n(), .e = key.e()};
}

std::unexpected<Error> Refuse(std::string cause) {
  Error error(ErrorCode::kUnauthenticated);
  error.cause = "client assertion: " + std::move(cause);
  return std::unexpected<Error>(std::move(error));
}

const JsonValue* Find(const JsonValue& object, std::string_view name) {
  for (const auto& member : object.members) {
    if (member.name == name) return &member.value;
  }
  return nullptr;
}

// A member that is a string; empty if it is another kind or not there.
std::string Text(const JsonValue& object, std::string_view name) {
  const JsonValue* value = Find(object, name);
  return value && value->kind == JsonValue::Kind::kString ? value->text : std::string();
}

// A NumericDate; fractions of seconds are allowed and cut.
std::optional<Time> Date(const JsonValue& object, std::string_view name) {
  const JsonValue* value = Find(object, name);
  if (!value || value->kind != JsonValue::Kind::kNumber) return std::nullopt;
  int64_t seconds = 0;
  const std::string& text = value->text;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  bool whole = end == text.data() + text.size() || *end == '.';
  constexpr int64_t kMost = 253'402'300'799;  // the year 9999
  if (fault != std::errc() || !whole || seconds < 0 || seconds > kMost) return std::nullopt;
  return FromMicros(seconds * 1'000'000);
}

struct Parts {
  std::string_view input;  // header.payload
  JsonValue header, claims;
  std::string signature;
};

std::optional<JsonValue> Object(std::string_view base64url) {
  std::optional<std::string> text = crypto::Base64UrlDecode(base64url);
  if (!text) return std::nullopt;
  Result<JsonValue> value = http::ParseJson(*text);
  if (!value || value->kind != JsonValue::Kind::kObject) return std::nullopt;
  return *std::move(value);
}

std::optional<Parts> Split(std::string_view token) {
  if (token.size() > kAssertionBytes) return std::nullopt;
  size_t first = token.find('.'), second = token.find('.', first == token.npos ? first : first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) return std::nullopt;
  std::optional<JsonValue> header = Object(token.substr(0, first));
  std::optional<JsonValue> claims = Object(token.substr(first + 1, second - first - 1));
  std::optional<std::string> signature = crypto::Base64UrlDecode(token.substr(second + 1));
  if (!header || !claims || !signature) return std::nullopt;
  return Parts{token.substr(0, second), *std::move(header), *std::move(claims), *std::move(signature)};
}

// The key that the header names.
const v1::PublicKey* KeyOf(const JsonValue& header, const std::vector<v1::PublicKey>& keys) {
  if (!Find(header, "kid")) return keys.size() == 1 ? &keys.front() : nullptr;
  std::string kid = Text(header, "kid");
  auto found = std::ranges::find_if(keys, [&](const v1::PublicKey& key) { return !kid.empty() && key.kid() == kid; });
  return found == keys.end() ? nullptr : &*found;
}

bool IsFor(const JsonValue& claims, const std::vector<std::string>& audiences) {
  const JsonValue* aud = Find(claims, "aud");
  if (!aud) return false;
  // A second audience could replay the assertion here, so a list may hold one.
  const JsonValue* one = aud->kind == JsonValue::Kind::kArray && aud->items.size() == 1 ? &aud->items[0] : aud;
  return one->kind == JsonValue::Kind::kString && std::ranges::find(audiences, one->text) != audiences.end();
}

}  // namespace

std::string ClientOf(std::string_view token) {
  std::optional<Parts> parts = Split(token);
  return parts ? Text(parts->claims, "sub") : std::string();
}

Result<Assertion> CheckAssertion(std::string_view token, const std::vector<v1::PublicKey>& keys,
                                 const std::string& client_id, const std::vector<std::string>& audiences,
                                 Time wall_now) {
  std::optional<Parts> parts = Split(token);
  if (!parts) return Refuse("not a token of three parts");
  for (const char* name : {"jku", "x5u", "jwk", "x5c", "crit"}) {
    if (Find(parts->header, name)) return Refuse(std::string("header ") + name);
  }
  const v1::PublicKey* key = KeyOf(parts->header, keys);
  if (!key) return Refuse("unknown kid");
  std::string algorithm = crypto::AlgorithmOf(JwkOf(*key));
  if (algorithm.empty() || Text(parts->header, "alg") != algorithm) return Refuse("alg does not fit the key");
  if (!crypto::VerifyJws(JwkOf(*key), parts->input, parts->signature)) return Refuse("signature");
  const JsonValue& claims = parts->claims;
  if (client_id.empty() || Text(claims, "iss") != client_id || Text(claims, "sub") != client_id)
    return Refuse("iss or sub");
  if (!IsFor(claims, audiences)) return Refuse("aud");
  std::optional<Time> exp = Date(claims, "exp"), iat = Date(claims, "iat"), nbf = Date(claims, "nbf");
  if (!exp || *exp + kAssertionLeeway <= wall_now) return Refuse("exp");
  if (!iat || *iat > wall_now + kAssertionLeeway || *iat + kAssertionAge <= wall_now) return Refuse("iat");
  if (Find(claims, "nbf") && (!nbf || *nbf > wall_now + kAssertionLeeway)) return Refuse("nbf");
  std::string jti = Text(claims, "jti");
  if (jti.empty()) return Refuse("jti");
  // Past both ends it is refused by its age or its exp, so its jti may be forgotten.
  Time until = std::min(*exp, *iat + kAssertionAge) + kAssertionLeeway;
  return Assertion{client_id, std::move(jti), until};
}

Result<void> CheckPublicKey(const v1::PublicKey& key, const std::string& pointer) {
  std::string algorithm = crypto::AlgorithmOf(JwkOf(key));
  bool fits =
      !algorithm.empty() && (key.alg().empty() || key.alg() == algorithm) && (key.use().empty() || key.use() == "sig");
  if (fits) return {};
  return Fail(Error::At(pointer, ErrorCode::kInvalidFormat,
                        {{"expected", "JWK: EC P-256 (ES256), RSA 2048+ (RS256), OKP Ed25519 (EdDSA)"}}));
}

}  // namespace millrace::identity
