// SPDX-License-Identifier: Apache-2.0
// Signatures of JSON web tokens (RFC 7515), checked with a public key (RFC 7517) that was registered beforehand. A key
// has one algorithm that fits it, so a token's own word about its algorithm decides nothing.
#pragma once

#include <string>
#include <string_view>

namespace millrace::crypto {

// The public members of a key, base64url as RFC 7518 has them.
struct Jwk {
  std::string kty;   // EC, RSA, OKP
  std::string crv;   // P-256, Ed25519
  std::string x, y;  // EC; OKP has x alone
  std::string n, e;  // RSA
};

// The algorithm of signatures by this key: ES256 (EC, P-256), RS256 (RSA, 2,048 to 8,192 bits), EdDSA (OKP, Ed25519).
// Empty if the key is none of these or malformed: a point off the curve, a private or foreign member, an even exponent.
std::string AlgorithmOf(const Jwk& key);

// Whether `signature` (the bytes) is the key's over `input` ("header.payload"), by the key's own algorithm.
bool VerifyJws(const Jwk& key, std::string_view input, std::string_view signature);

}  // namespace millrace::crypto
