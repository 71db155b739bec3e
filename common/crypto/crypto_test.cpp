// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/crypto.h"

#include <gtest/gtest.h>

#include "common/crypto/seal.h"

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

TEST(Sealed, OpensWithItsKeyAndPlaceAlone) {
  const std::string key = RandomBytes(32), text = "whsec_\0x";
  for (const std::string& each : {std::string(), text, std::string(100'000, 'x')}) {
    std::string sealed = Seal(key, each, "row 1");
    EXPECT_EQ(Unseal(key, sealed, "row 1"), each);
    EXPECT_NE(sealed, Seal(key, each, "row 1"));
    EXPECT_FALSE(Unseal(key, sealed, "row 2"));
    EXPECT_FALSE(Unseal(RandomBytes(32), sealed, "row 1"));
    EXPECT_FALSE(Unseal(key.substr(1), sealed, "row 1"));
  }
  std::string sealed = Seal(key, text, "");
  EXPECT_EQ(sealed.find("whsec"), sealed.npos);
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] ^= 1;
    EXPECT_FALSE(Unseal(key, changed, "")) << i;
    EXPECT_FALSE(Unseal(key, sealed.substr(0, i), "")) << i;
  }
}

TEST(Sealed, PublishedVector) {
  // "The Galois/Counter Mode of Operation" (McGrew, Viega), test case 16: nonce, ciphertext, tag.
  auto bytes = [](std::string_view hex) {
    std::string out;
    for (size_t i = 0; i < hex.size(); i += 2)
      out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    return out;
  };
  std::string sealed = bytes(
      "cafebabefacedbaddecaf888"
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0a"
      "bcc9f662"
      "76fc6ece0f4e1768cddf8853bb2d551b");
  auto opened = Unseal(bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"), sealed,
                       bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
  ASSERT_TRUE(opened);
  EXPECT_EQ(Hex(*opened),
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa"
            "0de657ba637b39");
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
