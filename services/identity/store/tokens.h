// SPDX-License-Identifier: Apache-2.0
// Access tokens and the assertions that they were given for. Wall time throughout.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/postgres/database.h"
#include "millrace/identity/v1/identity.pb.h"

namespace millrace::identity {

struct UsedAssertion {
  std::string jti_hash;
  Time expire_time;
};

// A key that has proved itself as an OAuth client.
struct TokenClient {
  Uuid key;
  std::vector<std::string> scopes;  // empty: all
  std::optional<UsedAssertion> assertion;
};

struct SigningClient {
  std::vector<std::string> scopes;
  std::vector<v1::PublicKey> public_keys;
};

struct NewToken {
  std::string hash;
  Uuid key;
  std::vector<std::string> scopes;
  Time expire_time;
  std::optional<UsedAssertion> assertion;
};

// Nothing if the key is revoked, expired or unknown.
Task<Result<std::optional<SigningClient>>> ReadSigningClient(postgres::Database& reader, Uuid key);
// Keeps a token together with the assertion it is given for; false, and nothing kept, if that was used before. Removes
// a few of those that are over.
Task<Result<bool>> KeepToken(postgres::Database& worker, NewToken token);

}  // namespace millrace::identity
