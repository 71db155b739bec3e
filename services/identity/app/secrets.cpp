// SPDX-License-Identifier: Apache-2.0
#include "services/identity/app/secrets.h"

#include "common/crypto/crypto.h"

namespace millrace::identity {

std::string Secrets::Again(const Uuid& key, std::string_view hint) const {
  std::string secret = Derive(hint.substr(0, 8), key);
  return Hint(secret) == hint ? secret : std::string();
}

std::string Secrets::Hash(std::string_view secret) { return crypto::Sha256(secret); }

std::string Secrets::Derive(std::string_view prefix, const Uuid& key) const {
  return std::string(prefix) + crypto::Base64Url(crypto::HmacSha256(instance_secret_, "millrace api key " + key.Hex()));
}

}  // namespace millrace::identity
