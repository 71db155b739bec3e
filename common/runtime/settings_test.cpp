// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace millrace::runtime {
namespace {

TEST(Settings, FlagsWinOverEnvironmentOverFileOverDefaults) {
  std::string file = ::testing::TempDir() + "millrace-settings.conf";
  std::ofstream(file) << "# a comment\nfee_basis_points = 100\nhttp_address=127.0.0.1:1\ncustodian_account = A1\n";
  setenv("MILLRACE_HTTP_ADDRESS", "127.0.0.1:2", 1);
  setenv("MILLRACE_REDIS_URL", "unix:/x", 1);
  std::vector<std::string> faults;
  Settings settings = Settings::Load({"--config", file, "--http-address=127.0.0.1:3"}, &faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(settings.Get("http_address"), "127.0.0.1:3");
  EXPECT_EQ(settings.Origin("http_address"), "flag");
  EXPECT_EQ(settings.Get("redis_url"), "unix:/x");
  EXPECT_EQ(settings.Origin("redis_url"), "environment MILLRACE_REDIS_URL");
  EXPECT_EQ(settings.Int("fee_basis_points"), 100);
  EXPECT_EQ(settings.Get("custodian_account"), "A1");
  EXPECT_EQ(settings.Origin("test_clock"), "default");
  unsetenv("MILLRACE_HTTP_ADDRESS");
  unsetenv("MILLRACE_REDIS_URL");
}

TEST(Settings, KindsOfDocumentsAreNamed) {
  std::vector<std::string> faults;
  Settings settings = Settings::Load({"--verification-documents=BUSINESS_LICENSE,AUTHORIZATION_LETTER"}, &faults);
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(settings.Get("verification_documents"), "BUSINESS_LICENSE,AUTHORIZATION_LETTER");
  for (const char* wrong : {"PASSPORT", "BUSINESS_LICENSE, OTHER", "business_license"}) {
    faults.clear();
    Settings::Load({"--verification-documents", wrong}, &faults);
    EXPECT_EQ(faults.size(), 1u) << wrong;
  }
}

TEST(Settings, EveryFaultIsReportedAtOnce) {
  std::vector<std::string> faults;
  Settings::Load({"--test-clock=maybe", "--colour=red", "--http-address=nowhere", "--custodian-url=bank", "stray"},
                 &faults);
  EXPECT_EQ(faults.size(), 5u);
}

TEST(Settings, SecretsComeFromFilesAndNotFromFlags) {
  std::string file = ::testing::TempDir() + "millrace-secret";
  std::ofstream(file) << "it_canary\n";
  setenv("MILLRACE_INTERNAL_TOKEN_FILE", file.c_str(), 1);
  setenv("MILLRACE_OPERATOR_KEY_FILE", "/no/such/file", 1);
  std::vector<std::string> faults;
  Settings settings = Settings::Load({}, &faults);
  EXPECT_EQ(settings.Get("internal_token"), "it_canary");
  EXPECT_EQ(settings.Origin("internal_token"), "file " + file + " of MILLRACE_INTERNAL_TOKEN_FILE");
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_NE(faults[0].find("MILLRACE_OPERATOR_KEY_FILE"), std::string::npos);
  unsetenv("MILLRACE_OPERATOR_KEY_FILE");

  faults.clear();
  setenv("MILLRACE_INTERNAL_TOKEN", "it_other", 1);
  Settings::Load({}, &faults);
  EXPECT_EQ(faults.size(), 1u);
  unsetenv("MILLRACE_INTERNAL_TOKEN");
  unsetenv("MILLRACE_INTERNAL_TOKEN_FILE");

  for (const char* flag : {"--internal-token=it_x", "--custodian-key=k", "--database-url=postgresql://a:b@h/d",
                           "--database-url=host=h password=b"}) {
    faults.clear();
    Settings::Load({flag}, &faults);
    ASSERT_EQ(faults.size(), 1u) << flag;
    EXPECT_EQ(faults[0].find("it_x"), std::string::npos);
    faults.clear();
    Settings::Load({flag, "--test-clock=true"}, &faults);
    EXPECT_TRUE(faults.empty()) << flag;
  }
  faults.clear();
  Settings::Load({"--database-url=postgresql://user@h/d"}, &faults);
  EXPECT_TRUE(faults.empty());
}

}  // namespace
}  // namespace millrace::runtime
