// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/jwt.h"

#include <gtest/gtest.h>

#include "common/crypto/crypto.h"
#include "tests/support/signing_key.h"

namespace millrace::crypto {
namespace {

// RFC 7515, appendices A.2 (the key) and A.3 (ES256); RFC 8037, appendix A.4 (EdDSA).
Jwk Rsa() {
  return {.kty = "RSA",
          .n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-"
               "yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-"
               "KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_"
               "h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
          .e = "AQAB"};
}
Jwk Ec() {
  return {.kty = "EC",
          .crv = "P-256",
          .x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
          .y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"};
}
Jwk Okp() { return {.kty = "OKP", .crv = "Ed25519", .x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}; }

constexpr const char* kPayload =
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const std::string kEcInput = std::string("eyJhbGciOiJFUzI1NiJ9") + kPayload;
const std::string kOkpInput = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
constexpr const char* kEcSignature =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
constexpr const char* kOkpSignature =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

TEST(Jwt, TakesTheKindsOfKeysItKnows) {
  EXPECT_EQ(AlgorithmOf(Rsa()), "RS256");
  EXPECT_EQ(AlgorithmOf(Ec()), "ES256");
  EXPECT_EQ(AlgorithmOf(Okp()), "EdDSA");
  Jwk off_curve = Ec();
  off_curve.y = off_curve.x;
  Jwk short_rsa = Rsa();
  short_rsa.n.resize(171);  // 1,026 bits
  Jwk even = Rsa();
  even.e = "AQAC";
  Jwk one = Rsa();
  one.e = "AQ";
  Jwk other_curve = Ec();
  other_curve.crv = "P-384";
  Jwk mixed = Ec();
  mixed.n = Rsa().n;
  Jwk octets = {.kty = "oct", .x = Okp().x};
  Jwk long_okp = Okp();
  long_okp.x += "AA";
  for (const Jwk& bad : {off_curve, short_rsa, even, one, other_curve, mixed, octets, long_okp, Jwk()})
    EXPECT_EQ(AlgorithmOf(bad), "") << bad.kty << bad.crv;
}

TEST(Jwt, VerifiesTheStandardsExamples) {
  auto verify = [](const Jwk& key, const std::string& input, std::string_view signature) {
    return VerifyJws(key, input, *Base64UrlDecode(signature));
  };
  EXPECT_TRUE(verify(Ec(), kEcInput, kEcSignature));
  EXPECT_TRUE(verify(Okp(), kOkpInput, kOkpSignature));
  EXPECT_FALSE(verify(Ec(), kOkpInput, kEcSignature));
  EXPECT_FALSE(verify(Okp(), kOkpInput + "A", kOkpSignature));
  EXPECT_FALSE(verify(Okp(), kEcInput, kEcSignature));
  EXPECT_FALSE(verify(Ec(), kEcInput, kOkpSignature));
  for (const auto& [key, input, text] : {std::tuple(Ec(), kEcInput, kEcSignature), {Okp(), kOkpInput, kOkpSignature}}) {
    std::string signature = *Base64UrlDecode(text);
    for (size_t i = 0; i < signature.size(); i += 7) {
      std::string flipped = signature;
      flipped[i] = static_cast<char>(flipped[i] ^ 1);
      EXPECT_FALSE(VerifyJws(key, input, flipped)) << i;
    }
    EXPECT_FALSE(VerifyJws(key, input, signature.substr(1)));
    EXPECT_FALSE(VerifyJws(key, input, ""));
  }
  EXPECT_FALSE(VerifyJws(Ec(), kEcInput, std::string(64, '\0'))) << "zeros are no signature";
}

TEST(Jwt, VerifiesWhatTheKeySigned) {
  for (const char* kind : {"ES256", "RS256", "EdDSA"}) {
    test::SigningKey mine(kind), other(kind);
    EXPECT_EQ(AlgorithmOf(mine.jwk()), kind);
    std::string signature = mine.Sign("header.payload");
    EXPECT_TRUE(VerifyJws(mine.jwk(), "header.payload", signature)) << kind;
    EXPECT_FALSE(VerifyJws(mine.jwk(), "header.payloaD", signature)) << kind;
    EXPECT_FALSE(VerifyJws(other.jwk(), "header.payload", signature)) << kind;
    signature[signature.size() / 2] ^= 1;
    EXPECT_FALSE(VerifyJws(mine.jwk(), "header.payload", signature)) << kind;
  }
}

}  // namespace
}  // namespace millrace::crypto
