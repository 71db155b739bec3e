// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/crypto.h"

#include <gtest/gtest.h>

namespace millrace::crypto {
namespace {

TEST(Hash, PublishedVectors) {
  // FIPS 180-4 and RFC 4231 (test case 2).
  EXPECT_EQ(Hex(Sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Hex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Base64Text, RoundTripsAndRefusesWhatIsNotCanonical) {
  // RFC 4648, section 10.
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  for (size_t size = 0; size < 100; ++size) {
    std::string bytes = RandomBytes(size);
    EXPECT_EQ(Base64Decode(Base64(bytes)), bytes);
    EXPECT_EQ(Base64UrlDecode(Base64Url(bytes)), bytes);
  }
  for (const char* bad : {"Zm8", "Zm9=", "Zm8=\n", "Zm 8", "====", "Z==="}) EXPECT_FALSE(Base64Decode(bad)) << bad;
}

TEST(Webhook, StandardVector) {
  const std::string secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
  const std::string body = "{\"test\": 2432232314}", signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
  EXPECT_EQ(SignWebhook(secret, id, 1614265330, body), signature);
  EXPECT_TRUE(VerifyWebhook(secret, id, "1614265330", "v1,AAAA " + signature, body, 1614265330 + 299));
  EXPECT_FALSE(VerifyWebhook(secret, id, "1614265330", signature, body, 1614265330 + 301));
  EXPECT_FALSE(VerifyWebhook(secret, id, "1614265330", signature, body + " ", 1614265330));
  EXPECT_FALSE(VerifyWebhook(secret, id, "1614265330x", signature, body, 1614265330));
  EXPECT_FALSE(VerifyWebhook(secret, "", "1614265330", signature, body, 1614265330));
}

TEST(DerivedId, FollowsFromBaseAndLabelAndSortsWithIt) {
  Uuid base = Uuid::New();
  EXPECT_EQ(DeriveId(base, "hold"), DeriveId(base, "hold"));
  EXPECT_NE(DeriveId(base, "hold"), DeriveId(base, "void"));
  EXPECT_NE(DeriveId(base, "hold"), base);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(DeriveId(base, "hold").bytes[i], base.bytes[i]);
}

}  // namespace
}  // namespace millrace::crypto
