// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/base/id.h"
#include "common/crypto/crypto.h"
#include "common/crypto/seal.h"

namespace millrace::notifications {

// The secrets of webhook endpoints, which must be read again to sign with. At rest they are sealed under a key that
// derives from the instance's secret, each bound to its endpoint.
class SecretBox {
 public:
  explicit SecretBox(std::string_view instance_secret)
      : key_(crypto::HmacSha256(instance_secret, "millrace webhook secrets")) {}

  // whsec_ and base64 of 32 random bytes.
  static std::string Make() { return "whsec_" + crypto::Base64(crypto::RandomBytes(32)); }
  std::string Seal(const Uuid& endpoint, std::string_view secret) const {
    return crypto::Seal(key_, secret, endpoint.Hex());
  }
  // Nothing if the instance's secret is another one than when it was sealed.
  std::optional<std::string> Open(const Uuid& endpoint, std::string_view sealed) const {
    return crypto::Unseal(key_, sealed, endpoint.Hex());
  }

 private:
  std::string key_;
};

}  // namespace millrace::notifications
