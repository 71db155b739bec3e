// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/contract.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "common/base/limits.h"
#include "services/gateway/pages.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {
namespace {

constexpr const char* kGolden = "tests/data/contract.golden.txt";

TEST(Contract, IsTheGoldenOne) {
  std::string now = DescribeContract();
  if (std::getenv("MILLRACE_UPDATE_GOLDEN")) {
    std::ofstream(kGolden) << now;
    GTEST_SKIP() << "wrote " << kGolden;
  }
  std::ifstream in(kGolden);
  std::stringstream text;
  text << in.rdbuf();
  std::set<std::string> before, after;
  for (std::string line; std::getline(text, line);) before.insert(line);
  std::stringstream current(now);
  for (std::string line; std::getline(current, line);) after.insert(line);
  std::string difference;
  for (const auto& line : before) {
    if (!after.contains(line)) difference += "- " + line + "\n";
  }
  for (const auto& line : after) {
    if (!before.contains(line)) difference += "+ " + line + "\n";
  }
  EXPECT_EQ(difference, "") << "The contract is not the one in " << kGolden
                            << ". If the change is meant (only additions are safe for clients), write it anew:\n"
                               "  MILLRACE_UPDATE_GOLDEN=1 ctest --test-dir <build> -R gateway_test";
}

TEST(Contract, EveryFileIsLinkedAndEveryRpcHasASentence) {
  ASSERT_GE(ContractFiles().size(), 10u);
  for (const auto* file : ContractFiles()) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int k = 0; k < file->service(i)->method_count(); ++k) {
        const auto* method = file->service(i)->method(k);
        auto found = Summaries().find(method->full_name());
        ASSERT_NE(found, Summaries().end()) << method->full_name();
        EXPECT_GT(found->second.size(), 4u) << method->full_name();
      }
    }
  }
}

TEST(Contract, RoutesFollowTheRules) {
  RoutingTable table;
  ASSERT_GT(table.routes().size(), 30u);
  for (const auto& route : table.routes()) {
    EXPECT_TRUE(route->rule.path.starts_with("/v1/")) << route->rule.path;
    EXPECT_EQ(route->rule.method == "GET" || route->rule.method == "DELETE", route->rule.body.empty())
        << route->rule.path;
    EXPECT_FALSE(route->rules->internal());
  }
  EXPECT_EQ(IndexJson(table), IndexJson(table));
  EXPECT_NE(IndexJson(table).find("\"path\":\"/v1/me\",\"rpc\":\"millrace.identity.v1.Identity.GetMe\""),
            std::string::npos);
}

TEST(Routes, FindRoutesParametersAndMethods) {
  RoutingTable table;
  auto name = [&](const char* method, const char* path) {
    auto match = table.Find(method, path);
    return match.route ? match.route->method->name() : "(" + match.allow + ")";
  };
  EXPECT_EQ(name("GET", "/v1/organizations"), "ListOrganizations");
  EXPECT_EQ(name("HEAD", "/v1/organizations"), "ListOrganizations");
  EXPECT_EQ(name("POST", "/v1/organizations"), "CreateOrganization");
  EXPECT_EQ(name("GET", "/v1/organizations/org_1"), "GetOrganization");
  EXPECT_EQ(name("POST", "/v1/organizations/org_1:verify"), "VerifyOrganization");
  EXPECT_EQ(name("POST", "/v1/organizations/org_1%3Averify"), "VerifyOrganization");
  EXPECT_EQ(name("POST", "/v1/organizations/org_1%3averify"), "VerifyOrganization");
  EXPECT_EQ(name("POST", "/v1/clock:advance"), "AdvanceClock");
  EXPECT_EQ(name("DELETE", "/v1/organizations"), "(GET, HEAD, POST)");
  EXPECT_EQ(name("GET", "/v1/organizations/org_1:verify"), "(POST)");
  for (const char* none :
       {"/v1/organizations/org_1:fly", "/v1/organizations/", "/v1/organizations/a/b/c", "/v1/nothing",
        "/v2/organizations", "/", "", "/v1", "/v1//organizations", "/v1/organizations/:verify", "/v1/Organizations"}) {
    EXPECT_EQ(name("GET", none), "()") << none;
  }
  auto match = table.Find("GET", "/v1/organizations/a%2Fb%20c");
  ASSERT_TRUE(match.route);
  EXPECT_EQ(match.parameters[0].second, "a/b c");
  EXPECT_TRUE(table.Find("GET", "/v1/organizations/%ff").malformed);
  EXPECT_EQ(match.route->service, "identity");
  EXPECT_EQ(table.Find("GET", "/v1/listings").route->service, "listing");
  EXPECT_EQ(table.BodyLimit("POST", "/v1/imports"), limits::kImportBodyBytes);
  EXPECT_EQ(table.BodyLimit("POST", "/v1/attachments"), limits::kAttachmentBytes);
  EXPECT_EQ(table.BodyLimit("POST", "/v1/listings"), limits::kHttpBodyBytes);
  EXPECT_EQ(table.BodyLimit("POST", "/nowhere"), limits::kHttpBodyBytes);
}

TEST(Routes, NearAWrongPathStandsTheRightOne) {
  RoutingTable table;
  auto first = [&](const char* path) { return table.Near(path).front(); };
  EXPECT_EQ(first("/v1/resource"), "POST /v1/resources");
  EXPECT_EQ(first("/resources/"), "POST /v1/resources");
  EXPECT_EQ(first("/v1/organisations"), "POST /v1/organizations");
  EXPECT_EQ(first("/v1/Work-Orders/wo_1"), "GET /v1/work_orders/{id}");
  EXPECT_EQ(first("/v1/listings/lst_1/price"), "POST /v1/listings");
  for (const char* none : {"", "/", "/v1", "/v1/", "/v1/x", "/v1/:fly", "/v9"})
    EXPECT_EQ(first(none), "GET /v1") << none;
  std::vector<std::string> verbs = table.Near("/v1/bookings/bkg_1:confirm");
  EXPECT_GT(verbs.size(), 4u);
  for (const std::string& verb : verbs) EXPECT_TRUE(verb.starts_with("POST /v1/bookings/{id}:")) << verb;
}

TEST(Pages, EveryErrorCodeHasOne) {
  for (const ErrorEntry& entry : kErrorCatalog) {
    std::string kebab;
    for (char c : entry.name) kebab += c == '_' ? '-' : static_cast<char>(std::tolower(c));
    http::Response zh = ProblemPage("/problems/" + kebab, Language::kZh, "req_1");
    EXPECT_EQ(zh.status, 200) << kebab;
    EXPECT_NE(zh.body.find(std::string(entry.name)), std::string::npos);
    EXPECT_NE(ProblemPage("/problems/" + kebab, Language::kEn, "req_1").body, zh.body);
  }
  EXPECT_EQ(ProblemPage("/problems/no-such-code", Language::kEn, "req_1").status, 404);
  EXPECT_EQ(ProblemPage("/problems/NOT_FOUND", Language::kEn, "req_1").status, 404);
}

}  // namespace
}  // namespace millrace::gateway
