// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "common/base/id.h"

namespace millrace::identity {

// The secrets of API keys. A secret is derived from the instance's secret and the key's id (HMAC-SHA256), so that it
// can be shown again on a replay while neither the key's row nor the kept answer holds it.
class Secrets {
 public:
  Secrets(std::string instance_secret, bool test) : instance_secret_(std::move(instance_secret)), test_(test) {}

  // sk_test_… or sk_live_… and 43 characters, base64url of 32 bytes.
  // `version` is 1 for a key's first secret and grows with each rotation.
  std::string Make(const Uuid& key, int version) const { return Derive(test_ ? "sk_test_" : "sk_live_", key, version); }
  // inv_… and 43 characters: the code of an invitation, of a member or from the park's register.
  std::string InvitationCode(const Uuid& invitation) const;
  // The secret of a key that was made before; empty if the instance's secret has changed since.
  std::string Again(const Uuid& key, std::string_view hint, int version) const;

  // What is kept of a secret: its SHA-256, and its first 12 characters to recognize it by.
  static std::string Hash(std::string_view secret);
  static std::string Hint(std::string_view secret) { return std::string(secret.substr(0, 12)); }

 private:
  std::string Derive(std::string_view prefix, const Uuid& key, int version) const;

  std::string instance_secret_;
  bool test_;
};

}  // namespace millrace::identity
