// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <memory>
#include <optional>

#include "common/crypto/crypto.h"
#include "common/crypto/openssl.h"

namespace millrace::crypto {
namespace {

using Context = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using Parameters = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;
using Number = std::unique_ptr<BIGNUM, Freed<BN_free>>;

constexpr size_t kCoordinateBytes = 32;  // of P-256 and Ed25519
constexpr int kRsaBitsMin = 2048, kRsaBitsMax = 8192;

Number ToNumber(std::string_view bytes) {
  return Number(BN_bin2bn(Raw(bytes), static_cast<int>(bytes.size()), nullptr));
}

Key FromData(const char* type, OSSL_PARAM_BLD* builder) {
  Parameters parameters(OSSL_PARAM_BLD_to_param(builder));
  Context context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return nullptr;
  }
  Key made(key);
  Context check(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (!check || EVP_PKEY_public_check(check.get()) != 1) return nullptr;
  return made;
}

Key EcKey(const Jwk& jwk) {
  std::optional<std::string> x = Base64UrlDecode(jwk.x), y = Base64UrlDecode(jwk.y);
  if (!x || !y || x->size() != kCoordinateBytes || y->size() != kCoordinateBytes) return nullptr;
  std::string point = "\x04" + *x + *y;
  Builder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size());
  return FromData("EC", builder.get());
}

Key RsaKey(const Jwk& jwk) {
  std::optional<std::string> n = Base64UrlDecode(jwk.n), e = Base64UrlDecode(jwk.e);
  if (!n || !e || n->size() > kRsaBitsMax / 8 || e->empty() || e->size() > 8) return nullptr;
  Number modulus = ToNumber(*n), exponent = ToNumber(*e);
  if (!BN_is_odd(exponent.get()) || BN_is_one(exponent.get()) || BN_num_bits(modulus.get()) < kRsaBitsMin)
    return nullptr;
  Builder builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  return FromData("RSA", builder.get());
}

Key OkpKey(const Jwk& jwk) {
  std::optional<std::string> x = Base64UrlDecode(jwk.x);
  if (!x || x->size() != kCoordinateBytes) return nullptr;
  return Key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Raw(*x), x->size()));
}

Key Load(const Jwk& jwk) {
  if (jwk.kty == "EC" && jwk.crv == "P-256" && jwk.n.empty() && jwk.e.empty()) return EcKey(jwk);
  if (jwk.kty == "RSA" && jwk.crv.empty() && jwk.x.empty() && jwk.y.empty()) return RsaKey(jwk);
  if (jwk.kty == "OKP" && jwk.crv == "Ed25519" && jwk.y.empty() && jwk.n.empty() && jwk.e.empty()) return OkpKey(jwk);
  return nullptr;
}

// OpenSSL wants ECDSA signatures in DER; tokens have the two numbers one after the other.
std::optional<std::string> DerOf(std::string_view raw) {
  if (raw.size() != 2 * kCoordinateBytes) return std::nullopt;
  std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>> signature(ECDSA_SIG_new());
  Number r = ToNumber(raw.substr(0, kCoordinateBytes)), s = ToNumber(raw.substr(kCoordinateBytes));
  if (ECDSA_SIG_set0(signature.get(), r.get(), s.get()) != 1) return std::nullopt;
  (void)r.release();  // the signature's now
  (void)s.release();
  int size = i2d_ECDSA_SIG(signature.get(), nullptr);
  if (size <= 0) return std::nullopt;
  std::string der(static_cast<size_t>(size), '\0');
  auto* out = reinterpret_cast<unsigned char*>(der.data());
  i2d_ECDSA_SIG(signature.get(), &out);
  return der;
}

}  // namespace

std::string AlgorithmOf(const Jwk& key) {
  if (!Load(key)) return {};
  return key.kty == "EC" ? "ES256" : key.kty == "RSA" ? "RS256" : "EdDSA";
}

bool VerifyJws(const Jwk& jwk, std::string_view input, std::string_view signature) {
  Key key = Load(jwk);
  if (!key) return false;
  std::string der;
  if (jwk.kty == "EC") {
    std::optional<std::string> converted = DerOf(signature);
    if (!converted) return false;
    der = *std::move(converted);
    signature = der;
  }
  // RSA: PKCS #1 v1.5 is what OpenSSL takes unless it is told otherwise. Ed25519 hashes by itself.
  const EVP_MD* digest = jwk.kty == "OKP" ? nullptr : EVP_sha256();
  std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  return EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), Raw(signature), signature.size(), Raw(input), input.size()) == 1;
}

}  // namespace millrace::crypto
