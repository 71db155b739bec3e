// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/certificates.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/support/temporary_folder.h"

namespace millrace::crypto {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;

std::string Read(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

class CertificateFolder : public testing::Test {
 protected:
  test::TemporaryFolder made_;
  const std::string& folder_ = made_.path();
  const std::vector<WantedCertificate> wanted_ = {{"escrow", {"escrow.millrace.internal"}},
                                                  {"rest", {"credit.millrace.internal", "listing.millrace.internal"}}};
};

TEST(Certificates, CarryTheirNamesAndTimes) {
  auto authority = MakeAuthority("the park", Validity::For(days(10)));
  ASSERT_TRUE(authority) << authority.error().cause;
  auto pair = IssueCertificate(*authority, {"a.millrace.internal", "b.millrace.internal"}, Validity::For(days(2)));
  ASSERT_TRUE(pair) << pair.error().cause;
  auto facts = ReadCertificate(pair->certificate);
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->dns_names, (std::vector<std::string>{"a.millrace.internal", "b.millrace.internal"}));
  EXPECT_LT(facts->validity.from, WallNow());
  EXPECT_GT(facts->validity.until, WallNow() + days(1));
  EXPECT_LE(facts->validity.until, WallNow() + days(2));
  EXPECT_TRUE(CheckPair(*pair, authority->certificate));
  EXPECT_TRUE(CheckPair(*authority, authority->certificate));
}

TEST(Certificates, RefuseWhatDoesNotBelongTogether) {
  auto authority = MakeAuthority("one", Validity::For(days(10)));
  auto other = MakeAuthority("one", Validity::For(days(10)));  // the same name is not the same key
  auto pair = IssueCertificate(*authority, {"a"}, Validity::For(days(2)));
  auto second = IssueCertificate(*authority, {"a"}, Validity::For(days(2)));
  ASSERT_TRUE(authority && other && pair && second);
  EXPECT_FALSE(CheckPair(*pair, other->certificate));
  EXPECT_FALSE(CheckPair({pair->certificate, second->key}, authority->certificate));
  EXPECT_FALSE(CheckPair({"", pair->key}, authority->certificate));
  EXPECT_FALSE(CheckPair({pair->certificate, "no key"}, authority->certificate));
  // A pair of a role is no authority.
  auto below = IssueCertificate(*pair, {"b"}, Validity::For(days(2)));
  ASSERT_TRUE(below);
  EXPECT_FALSE(CheckPair(*below, pair->certificate));
  EXPECT_FALSE(IssueCertificate(*authority, {}, Validity::For(days(2))));
  EXPECT_FALSE(IssueCertificate(*authority, {"a,DNS:b"}, Validity::For(days(2))));
  EXPECT_FALSE(IssueCertificate({"", ""}, {"a"}, Validity::For(days(2))));
  EXPECT_FALSE(ReadCertificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
}

TEST_F(CertificateFolder, KeepsWhatIsGood) {
  auto first = WriteCertificates(folder_, wanted_, days(365));
  ASSERT_TRUE(first) << first.error().cause;
  EXPECT_TRUE(first->authority_made);
  EXPECT_EQ(first->issued, (std::vector<std::string>{"escrow", "rest"}));
  std::string before = Read(folder_ + "/escrow.pem");
  auto second = WriteCertificates(folder_, wanted_, days(365));
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->authority_made);
  EXPECT_TRUE(second->issued.empty());
  EXPECT_EQ(Read(folder_ + "/escrow.pem"), before);
}

TEST_F(CertificateFolder, KeysAreTheirOwnersAlone) {
  ASSERT_TRUE(WriteCertificates(folder_, wanted_, days(365)));
  for (const char* name : {"/ca.key", "/escrow.key", "/rest.key"}) {
    struct stat facts{};
    ASSERT_EQ(stat((folder_ + name).c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << name;
  }
}

TEST_F(CertificateFolder, RenewsWhatEndsSoonOrHasOtherNamesOrABadKey) {
  ASSERT_TRUE(WriteCertificates(folder_, wanted_, days(29)));
  auto renewed = WriteCertificates(folder_, wanted_, days(365));
  ASSERT_TRUE(renewed);
  EXPECT_FALSE(renewed->authority_made);
  EXPECT_EQ(renewed->issued.size(), 2u);

  auto other = wanted_;
  other[0].dns_names.push_back("gateway.millrace.internal");
  renewed = WriteCertificates(folder_, other, days(365));
  ASSERT_TRUE(renewed);
  EXPECT_EQ(renewed->issued, std::vector<std::string>{"escrow"});

  fs::copy_file(folder_ + "/rest.key", folder_ + "/escrow.key", fs::copy_options::overwrite_existing);
  renewed = WriteCertificates(folder_, other, days(365));
  ASSERT_TRUE(renewed);
  EXPECT_EQ(renewed->issued, std::vector<std::string>{"escrow"});

  fs::remove(folder_ + "/ca.key");  // without it nothing can be issued, so all is made anew
  renewed = WriteCertificates(folder_, other, days(365));
  ASSERT_TRUE(renewed);
  EXPECT_TRUE(renewed->authority_made);
  EXPECT_EQ(renewed->issued.size(), 2u);
}

TEST(Certificates, NameTheFileThatCannotBeWritten) {
  auto written = WriteCertificates("/proc/nowhere", {}, days(1));
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().cause.find("/proc/nowhere"), std::string::npos);
}

}  // namespace
}  // namespace millrace::crypto
