// SPDX-License-Identifier: Apache-2.0
// Client assertions (RFC 7523): a signed statement by which a client proves who it is without showing a secret.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"
#include "millrace/identity/v1/identity.pb.h"

namespace millrace::identity {

// Clocks of clients and of this machine may differ by this.
inline constexpr std::chrono::seconds kAssertionLeeway{30};
// An assertion is good for at most this long after its iat, whatever its exp says.
inline constexpr std::chrono::minutes kAssertionAge{10};
inline constexpr size_t kAssertionBytes = 8 * 1024;

struct Assertion {
  std::string client_id;  // iss and sub
  std::string jti;
  Time expire_time;  // until when its jti must be remembered
};

// The client that an assertion says it is of, nothing checked: to find its keys. Empty if it cannot be read.
std::string ClientOf(std::string_view token);

// Checks an assertion with the client's keys: three parts; a header with the one algorithm that fits the key, a known
// kid where there is one or more than one key, and none of jku, x5u, jwk, x5c, crit; the signature; iss = sub =
// client_id; aud, one of `audiences` and nothing else; exp not past, iat not older than kAssertionAge nor ahead, nbf
// not ahead; a jti. Errors: UNAUTHENTICATED with the cause, which the client does not learn.
Result<Assertion> CheckAssertion(std::string_view token, const std::vector<v1::PublicKey>& keys,
                                 const std::string& client_id, const std::vector<std::string>& audiences,
                                 Time wall_now);

// Errors: INVALID_FORMAT at `pointer` if the key is none that assertions may be signed with.
Result<void> CheckPublicKey(const v1::PublicKey& key, const std::string& pointer);

}  // namespace millrace::identity
