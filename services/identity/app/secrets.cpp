// SPDX-License-Identifier: Apache-2.0
#include "services/identity/app/secrets.h"

#include "common/crypto/crypto.h"

namespace millrace::identity {

std::string Secrets::Again(const Uuid& key, std::string_view hint, int version) const {
  std::string secret = Derive(hint.substr(0, 8), key, version);
  return Hint(secret) == hint ? secret : std::string();
}

std::string Secrets::InvitationCode(const Uuid& invitation) const {
  return "inv_" + crypto::Base64Url(crypto::HmacSha256(instance_secret_, "millrace invitation " + invitation.Hex()));
}

std::string Secrets::Hash(std::string_view secret) { return crypto::Sha256(secret); }

std::string Secrets::Derive(std::string_view prefix, const Uuid& key, int version) const {
  std::string label = "millrace api key " + key.Hex();
  if (version > 1) label += " " + std::to_string(version);
  return std::string(prefix) + crypto::Base64Url(crypto::HmacSha256(instance_secret_, label));
}

}  // namespace millrace::identity
