// SPDX-License-Identifier: Apache-2.0
#include "tests/support/signing_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>

#include "common/crypto/crypto.h"

namespace millrace::test {
namespace {

std::string Number(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  std::string bytes(static_cast<size_t>(BN_num_bytes(number)), '\0');
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
  BN_free(number);
  return crypto::Base64Url(bytes);
}

std::string Coordinate(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  std::string bytes(32, '\0');
  BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()), 32);
  BN_free(number);
  return crypto::Base64Url(bytes);
}

}  // namespace

struct SigningKey::Pair {
  EVP_PKEY* key = nullptr;
  ~Pair() { EVP_PKEY_free(key); }
};

SigningKey::SigningKey(const std::string& algorithm) : pair_(std::make_unique<Pair>()) {
  EVP_PKEY*& key = pair_->key;
  if (algorithm == "ES256") {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
    jwk_ = {.kty = "EC",
            .crv = "P-256",
            .x = Coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X),
            .y = Coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y)};
  } else if (algorithm == "RS256") {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<size_t>(2048));
    jwk_ = {.kty = "RSA", .n = Number(key, OSSL_PKEY_PARAM_RSA_N), .e = Number(key, OSSL_PKEY_PARAM_RSA_E)};
  } else {
    key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    std::string x(32, '\0');
    size_t size = x.size();
    EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(x.data()), &size);
    jwk_ = {.kty = "OKP", .crv = "Ed25519", .x = crypto::Base64Url(x)};
  }
}

SigningKey::~SigningKey() = default;

std::string SigningKey::Sign(std::string_view input) const {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestSignInit(context, nullptr, jwk_.kty == "OKP" ? nullptr : EVP_sha256(), nullptr, pair_->key);
  size_t size = 1024;
  std::string signature(size, '\0');
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &size,
                 reinterpret_cast<const unsigned char*>(input.data()), input.size());
  EVP_MD_CTX_free(context);
  signature.resize(size);
  if (jwk_.kty != "EC") return signature;
  const auto* der = reinterpret_cast<const unsigned char*>(signature.data());
  ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(size));
  std::string raw(64, '\0');
  BN_bn2binpad(ECDSA_SIG_get0_r(pair), reinterpret_cast<unsigned char*>(raw.data()), 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(pair), reinterpret_cast<unsigned char*>(raw.data()) + 32, 32);
  ECDSA_SIG_free(pair);
  return raw;
}

std::string SigningKey::Token(std::string_view header, std::string_view claims) const {
  std::string input = crypto::Base64Url(header) + "." + crypto::Base64Url(claims);
  return input + "." + crypto::Base64Url(Sign(input));
}

}  // namespace millrace::test
