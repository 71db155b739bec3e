// SPDX-License-Identifier: Apache-2.0
#include "common/base/address.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(Address, ReadsWholeAddressesOnly) {
  for (const char* good : {"1.2.3.4", "::1", "fd00:ec2::254", "::ffff:10.0.0.1", "2001:4860:4860::8888"})
    EXPECT_TRUE(IpAddress::Parse(good)) << good;
  for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", " 1.2.3.4", "0x7f.1", "2130706433",
                          "127.1", "[::1]", "::1%lo", "1.2.3.4:80", "localhost", "010.0.0.1"})
    EXPECT_FALSE(IpAddress::Parse(bad)) << bad;
  EXPECT_FALSE(IpAddress::Parse(std::string_view("1.2.3.4\0x", 9)));
  EXPECT_EQ(IpAddress::Parse("::ffff:10.0.0.1"), IpAddress::Parse("10.0.0.1"));
  EXPECT_TRUE(IpAddress::Parse("10.0.0.1")->IsV4());
  EXPECT_FALSE(IpAddress::Parse("::10.0.0.1")->IsV4());
}

TEST(Address, NoneOfTheseIsPublic) {
  for (const char* text :
       {"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "100.127.255.255",
        "127.0.0.1", "127.255.255.254", "169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.8",
        "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        // IPv6 of the same kinds
        "::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fdff::1", "ff02::1", "2001:db8::1",
        "100::1", "64:ff9b:1::1", "2001:2::1",
        // and forms that carry an IPv4 address
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254",
        "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::", "2001:0:4136:e378:8000:63bf:80ff:fffe",
        "2001:0:0:0:0:0:5601:5601"}) {
    auto address = IpAddress::Parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_FALSE(IsPublic(*address)) << text;
  }
}

TEST(Address, ThesesArePublic) {
  for (const char* text : {"1.1.1.1",
                           "8.8.8.8",
                           "9.255.255.255",
                           "11.0.0.0",
                           "100.63.255.255",
                           "100.128.0.0",
                           "126.255.255.255",
                           "128.0.0.1",
                           "169.253.255.255",
                           "172.15.255.255",
                           "172.32.0.0",
                           "192.167.255.255",
                           "192.169.0.0",
                           "198.17.255.255",
                           "198.20.0.0",
                           "223.255.255.255",
                           "2001:4860:4860::8888",
                           "2606:4700::1111",
                           "::ffff:8.8.8.8",
                           "64:ff9b::8.8.8.8",
                           "2002:808:808::1",
                           "240e::1"}) {
    auto address = IpAddress::Parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_TRUE(IsPublic(*address)) << text;
  }
}

TEST(Address, UnwrapsWhatCarriesAnotherOne) {
  auto v4 = IpAddress::Parse("127.0.0.1");
  for (const char* text :
       {"127.0.0.1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::9", "2001::80ff:fffe"})
    EXPECT_EQ(Unwrap(*IpAddress::Parse(text)), v4) << text;
  for (const char* text : {"::", "::1", "fd00::1", "64:ff9b:0:1::7f00:1"})
    EXPECT_EQ(Unwrap(*IpAddress::Parse(text)), IpAddress::Parse(text)) << text;
}

TEST(Cidrs, ContainTheirBlock) {
  auto in = [](const char* block, const char* address) {
    return Cidr::Parse(block).value().Contains(IpAddress::Parse(address).value());
  };
  EXPECT_TRUE(in("127.0.0.0/8", "127.9.9.9"));
  EXPECT_TRUE(in("127.0.0.0/8", "::ffff:127.9.9.9"));
  EXPECT_FALSE(in("127.0.0.0/8", "128.0.0.0"));
  EXPECT_TRUE(in("10.20.30.40/29", "10.20.30.47"));
  EXPECT_FALSE(in("10.20.30.40/29", "10.20.30.48"));
  EXPECT_TRUE(in("0.0.0.0/0", "8.8.8.8"));
  EXPECT_FALSE(in("0.0.0.0/0", "2001:4860::1"));
  EXPECT_TRUE(in("fd00::/8", "fd12::1"));
  EXPECT_FALSE(in("fd00::/8", "fe80::1"));
  EXPECT_TRUE(in("::1/128", "::1"));
  for (const char* bad :
       {"10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8x", "/8", "fd00::/129", "a/8"})
    EXPECT_FALSE(Cidr::Parse(bad)) << bad;
}

TEST(Cidrs, ComeByComma) {
  EXPECT_EQ(ParseCidrs("")->size(), 0u);
  EXPECT_EQ(ParseCidrs("127.0.0.0/8, fd00::/8")->size(), 2u);
  EXPECT_FALSE(ParseCidrs("127.0.0.0/8,,"));
  EXPECT_FALSE(ParseCidrs("127.0.0.0/8;10.0.0.0/8"));
}

}  // namespace
}  // namespace millrace
