// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "common/crypto/jwt.h"

namespace millrace::test {

// A fresh key pair that signs tokens as a client does.
class SigningKey {
 public:
  // ES256, RS256 (2,048 bits) or EdDSA.
  explicit SigningKey(const std::string& algorithm);
  ~SigningKey();
  const crypto::Jwk& jwk() const { return jwk_; }
  // The signature's bytes.
  std::string Sign(std::string_view input) const;
  // A whole token of the two JSON texts.
  std::string Token(std::string_view header, std::string_view claims) const;

 private:
  struct Pair;
  std::unique_ptr<Pair> pair_;
  crypto::Jwk jwk_;
};

}  // namespace millrace::test
