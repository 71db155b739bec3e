// SPDX-License-Identifier: Apache-2.0
// Tokens, scopes, and the limit on credentials that are guessed.
#include <gtest/gtest.h>

#include "common/crypto/crypto.h"
#include "services/gateway/attempts.h"
#include "services/gateway/gateway_fixture.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;

TEST(Attempts, AreABucketForEachAddress) {
  Attempts attempts;
  auto now = Attempts::Clock::now();
  for (int i = 0; i < Attempts::kBurst; ++i) {
    EXPECT_TRUE(attempts.Check("1.2.3.4", now)) << i;
    attempts.Failed("1.2.3.4", now);
  }
  auto refused = attempts.Check("1.2.3.4", now);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kTooManyAttempts);
  EXPECT_EQ(refused.error().params.at("seconds"), "2");
  EXPECT_TRUE(attempts.Check("1.2.3.5", now));
  EXPECT_TRUE(attempts.Check("1.2.3.4", now + Attempts::kEach));
  attempts.Failed("1.2.3.4", now + Attempts::kEach);
  EXPECT_FALSE(attempts.Check("1.2.3.4", now + Attempts::kEach));
  EXPECT_TRUE(attempts.Check("1.2.3.4", now + Attempts::kBurst * Attempts::kEach));
}

TEST_F(GatewayTest, IssuesTokensByTheRulesOfOAuth) {
  auto token = [&](std::string form, std::vector<std::pair<std::string, std::string>> fields = {}) {
    fields.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    return Send({"POST", "/oauth2/token", std::move(form), std::move(fields), false});
  };
  auto basic = [](const std::string& text) {
    return std::vector<std::pair<std::string, std::string>>{{"Authorization", "Basic " + crypto::Base64(text)}};
  };
  auto good = token("grant_type=client_credentials&scope=sites%3Aread+bookings%3A*", basic("key_1:sk_test_%3A"));
  EXPECT_EQ(good.status, 200) << good.body;
  EXPECT_EQ(good.fields.Get("Cache-Control"), "no-store");
  EXPECT_EQ(good.body,
            R"({"access_token":"at_x","token_type":"Bearer","expires_in":3600,"scope":"sites:read bookings:*"})");
  EXPECT_EQ(asked_.client_id(), "key_1");
  EXPECT_EQ(asked_.client_secret(), "sk_test_:") << "both halves are form-encoded";
  EXPECT_EQ(asked_.audiences_size(), 2);
  EXPECT_EQ(asked_.audiences(1), "http://127.0.0.1:" + std::to_string(port_) + "/oauth2/token");
  EXPECT_EQ(token("grant_type=client_credentials&client_id=key_1&client_secret=s").status, 200);
  const std::string type = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
  EXPECT_EQ(token("grant_type=client_credentials&client_assertion=a.b.c&" + type).status, 200);
  EXPECT_EQ(asked_.assertion(), "a.b.c");
  // A host that any client could name is no audience.
  token("grant_type=client_credentials&client_assertion=a.b.c&" + type, {{"Host", "mill.example"}});
  EXPECT_EQ(asked_.audiences_size(), 0);

  struct Case {
    std::string form;
    std::vector<std::pair<std::string, std::string>> fields;
    int status;
    const char* error;
  };
  for (const Case& one : std::vector<Case>{
           {"grant_type=password&client_id=key_1&client_secret=s", {}, 400, "unsupported_grant_type"},
           {"client_id=key_1&client_secret=s", {}, 400, "invalid_request"},
           {"grant_type=client_credentials", {}, 401, "invalid_client"},
           {"grant_type=client_credentials&grant_type=client_credentials", basic("a:b"), 400, "invalid_request"},
           {"grant_type=client_credentials&client_secret=s", basic("a:b"), 400, "invalid_request"},
           {"grant_type=client_credentials&client_id=b", basic("a:b"), 401, "invalid_client"},
           {"grant_type=client_credentials", basic("nocolon"), 401, "invalid_client"},
           {"grant_type=client_credentials", {{"Authorization", "Basic %%"}}, 401, "invalid_client"},
           {"grant_type=client_credentials", {{"Authorization", "Bearer sk_test_good"}}, 401, "invalid_client"},
           {"grant_type=client_credentials&client_assertion=a.b.c", {}, 400, "invalid_request"},
           {"grant_type=client_credentials&" + type, {}, 400, "invalid_request"},
           {"grant_type=client_credentials&client_id=key_1&client_secret=wrong", {}, 401, "invalid_client"},
           {"grant_type=client_credentials&client_id=key_1&client_secret=s&scope=unknown", {}, 400, "invalid_scope"},
           {"grant_type=client_credentials%zz", {}, 400, "invalid_request"}}) {
    auto refused = token(one.form, one.fields);
    EXPECT_EQ(refused.status, one.status) << one.form << refused.body;
    EXPECT_EQ(Member(refused, "error"), one.error) << one.form;
    EXPECT_EQ(refused.fields.Get("Cache-Control"), "no-store");
    EXPECT_EQ(refused.fields.Get("WWW-Authenticate").starts_with("Basic"), one.status == 401 && !one.fields.empty());
  }
  EXPECT_EQ(Send({"GET", "/oauth2/token"}).status, 405);
  EXPECT_EQ(Send({"POST", "/oauth2/token", "{}"}).status, 415);
  // Guesses come to an end, whoever they are for. Some fit in meanwhile, so it may take more than the bucket holds.
  http::Response last;
  for (int i = 0; i < 1000 && last.status != 429; ++i)
    last = token("grant_type=client_credentials&client_id=key_1&client_secret=wrong");
  EXPECT_EQ(last.status, 429);
  EXPECT_EQ(Member(last, "code"), "TOO_MANY_ATTEMPTS");
  EXPECT_TRUE(last.fields.Has("Retry-After"));
  last.status = 0;
  for (int i = 0; i < 1000 && last.status != 429; ++i)
    last = Send({"GET", "/v1/me", "", {{"Authorization", "Bearer guess"}}});
  EXPECT_EQ(last.status, 429);
}

TEST_F(GatewayTest, LeadsClientsToTheTokenEndpoint) {
  auto refused = Send({"GET", "/v1/me", "", {}, false});
  EXPECT_EQ(refused.status, 401);
  std::string base = "http://127.0.0.1:" + std::to_string(port_);
  EXPECT_EQ(refused.fields.Get("WWW-Authenticate"),
            "Bearer realm=\"millrace\", resource_metadata=\"" + base + "/.well-known/oauth-protected-resource\"");
  auto resource = Send({"GET", "/.well-known/oauth-protected-resource", "", {}, false});
  EXPECT_EQ(resource.status, 200);
  EXPECT_EQ(Member(resource, "resource"), base);
  auto server = Send({"GET", "/.well-known/oauth-authorization-server", "", {}, false});
  EXPECT_EQ(Member(server, "issuer"), base);
  EXPECT_EQ(Member(server, "token_endpoint"), base + "/oauth2/token");
  for (const char* word : {"private_key_jwt", "EdDSA", "bookings:write", "events:read"})
    EXPECT_NE(server.body.find(word), std::string::npos) << word;
  // The bearer of a token for another purpose, a JWT, is nobody.
  EXPECT_EQ(Send({"GET", "/v1/me", "", {{"Authorization", "Bearer e30.e30.AA"}}}).status, 401);
}

// Every route of the contract asks for the scope of its noun and verb: another one is refused, its own one is not.
TEST_F(GatewayTest, EveryRouteAsksForItsScope) {
  RoutingTable table;
  int asked = 0;
  for (const auto& route : table.routes()) {
    if (route->rules->public_()) continue;
    std::string target;
    for (const auto& segment : route->segments)
      target += "/" + (segment.parameter ? std::string("x") : segment.literal);
    if (!route->verb.empty()) target += ":" + route->verb;
    ASSERT_TRUE(route->scope.ends_with(route->rule.method == "GET" ? ":read" : ":write")) << target;
    Forget({"nothing:write", "*:none", route->rule.method == "GET" ? "nothing:read" : "*:read"});
    auto refused = Send({route->rule.method, target});
    EXPECT_EQ(refused.status, 403) << target;
    EXPECT_EQ(Member(refused, "code"), "INSUFFICIENT_SCOPE") << target;
    EXPECT_NE(refused.body.find(route->scope), std::string::npos) << target;
    if (!channels_.contains(route->service)) continue;
    Forget({route->scope});
    auto passed = Send({route->rule.method, target});
    EXPECT_EQ(passed.body.find(route->scope), std::string::npos) << target << passed.body;
    ++asked;
  }
  EXPECT_GT(asked, 30);
  Forget({"bookings:write"});
  EXPECT_EQ(Member(Send({"GET", "/v1/stream"}), "code"), "INSUFFICIENT_SCOPE");
}

}  // namespace
}  // namespace millrace::gateway
