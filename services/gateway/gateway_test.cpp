// SPDX-License-Identifier: Apache-2.0
// The gateway's routes over loopback.
#include <gtest/gtest.h>

#include "common/base/limits.h"
#include "common/crypto/crypto.h"
#include "services/gateway/gateway_fixture.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;

const std::string kPlace = R"("place":{"longitude":113.9,"latitude":22.9,"coordinate_system":"WGS84"})";

TEST_F(GatewayTest, TellsServicesWhoTheCallerIs) {
  member_ = FormatId("usr", Uuid::New());
  Forget({"me:read"});
  EXPECT_EQ(Send({"GET", "/v1/me"}).status, 200);
  EXPECT_EQ(seen_.member, IdOrNil(member_));
  EXPECT_EQ(seen_.scopes, std::set<std::string>{"me:read"});
}

TEST_F(GatewayTest, AuthenticatesAndForgetsRevokedKeysWithinFiveSeconds) {
  http::Response me = Send({"GET", "/v1/me"});
  EXPECT_EQ(me.status, 200);
  EXPECT_EQ(Member(me, "api_key_id"), "key_1");
  EXPECT_EQ(me.body.find("service"), std::string::npos);
  EXPECT_EQ(me.fields.Get("Cache-Control"), "no-store");
  EXPECT_TRUE(me.fields.Get("Request-Id").starts_with("req_"));
  EXPECT_EQ(me.fields.Get("traceparent").size(), 55u);
  Send({"GET", "/v1/me"});
  EXPECT_EQ(authentications_, 1);
  http::Response none = Send({.method = "GET", .target = "/v1/me", .key = false});
  EXPECT_EQ(none.status, 401);
  EXPECT_TRUE(none.fields.Get("WWW-Authenticate").starts_with("Bearer realm="));
  for (std::string bad :
       {"Bearer", "Bearer ", "Basic sk_test_good", "Bearer sk_test_bad", "Bearer a b", "sk_test_good"}) {
    EXPECT_EQ(Refusal({"GET", "/v1/me", "", {{"Authorization", bad}}}), "401 UNAUTHENTICATED") << bad;
  }
  revoked_ = true;
  auto begin = std::chrono::steady_clock::now();
  while (Send({"GET", "/v1/me"}).status == 200 && std::chrono::steady_clock::now() - begin < 8s)
    std::this_thread::sleep_for(50ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST_F(GatewayTest, CarriesTheContextAndNothingElseFromTheClient) {
  std::string parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  Send({"POST",
        "/v1/sites",
        R"({"display_name":"A",)" + kPlace + "}",
        {{"Idempotency-Key", "\"quoted-key\""},
         {"If-Match", "\"5\""},
         {"traceparent", parent},
         {"X-Organization", "org_other"},
         {"millrace-roles", "service"},
         {"X-Forwarded-For", "1.2.3.4"}}});
  EXPECT_EQ(seen_.idempotency_key, "quoted-key");
  EXPECT_EQ(seen_.if_match, "5");
  EXPECT_EQ(FormatId("org", seen_.organization), organization_);
  EXPECT_EQ(seen_.actor, "key_1");
  EXPECT_FALSE(seen_.IsService());
  EXPECT_TRUE(seen_.organization_verified);
  EXPECT_EQ(seen_.language, Language::kEn);
  EXPECT_EQ(seen_.traceparent.substr(0, 36), parent.substr(0, 36));
  EXPECT_NE(seen_.traceparent, parent);
  EXPECT_TRUE(seen_.headers.empty());
  EXPECT_TRUE(seen_.raw_body.empty());
}

TEST_F(GatewayTest, BodyFieldQueryAndPath) {
  http::Response made = Send({"POST",
                              "/v1/sites?validate_only=true",
                              R"({"display_name":"A",)" + kPlace + "}",
                              {{"Idempotency-Key", "key-number-1"}}});
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_FALSE(made.fields.Has("Location"));
  EXPECT_EQ(made.fields.Get("ETag"), "\"7\"");
  EXPECT_FALSE(made.fields.Has("Idempotent-Replayed"));
  EXPECT_TRUE(validated_only_);
  EXPECT_TRUE(seen_.validate_only);
  http::Response page = Send({"GET", "/v1/organizations?state=PENDING&external_id=%E4%B8%AD+x&page_size=5"});
  EXPECT_EQ(Member(page, "next_page_token"), "5") << page.body;
  EXPECT_NE(page.body.find(R"("state":"PENDING")"), std::string::npos);
  EXPECT_NE(page.body.find(R"("external_id":"中 x")"), std::string::npos);
  http::Response verb = Send({"POST",
                              "/v1/organizations/" + organization_ + "%3Asuspend",
                              R"({"reason":"r"})",
                              {{"Idempotency-Key", "key-number-2"}}});
  EXPECT_EQ(Member(verb, "state_reason"), "r") << verb.body;
  verb = Send({"POST", "/v1/organizations/" + organization_ + ":suspend", "", {{"Idempotency-Key", "key-number-3"}}});
  EXPECT_EQ(verb.status, 200) << verb.body;
}

TEST_F(GatewayTest, RefusesWithProblems) {
  std::string site = R"({"display_name":"A",)" + kPlace + "}";
  std::pair<std::string, std::string> key{"Idempotency-Key", "key-number-1"};
  EXPECT_EQ(Refusal({"GET", "/v1/nothing"}), "404 NO_SUCH_ROUTE");
  EXPECT_NE(
      Send({"POST", "/v1/organizations/org_1:approve", "{}"}).body.find(R"("POST /v1/organizations/{id}:verify")"),
      std::string::npos);
  EXPECT_EQ(Refusal({"GET", "/nothing"}), "404 NO_SUCH_ROUTE");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations/%ff"}), "404 NO_SUCH_ROUTE");
  EXPECT_EQ(Refusal({"DELETE", "/v1/organizations"}), "405 METHOD_NOT_ALLOWED");
  EXPECT_EQ(Send({"DELETE", "/v1/organizations"}).fields.Get("Allow"), "GET, HEAD, POST");
  EXPECT_EQ(Refusal({"POST", "/v1/stream"}), "405 METHOD_NOT_ALLOWED");
  EXPECT_EQ(Refusal({"OPTIONS", "/v1/me"}), "405 METHOD_NOT_ALLOWED");
  EXPECT_EQ(Refusal({"GET", "/v1/me?verbose=1"}), "400 INVALID_QUERY verbose");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?page_size=1&page_size=2"}), "400 INVALID_QUERY page_size");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?external_id=%ff"}), "400 INVALID_QUERY");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?page_size=x"}), "400 WRONG_TYPE page_size");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?page_size=-1"}), "422 OUT_OF_RANGE page_size");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations?state=NEW"}), "400 WRONG_TYPE state");
  EXPECT_EQ(Refusal({"GET", "/v1/organizations/bkg_1"}), "400 INVALID_ID id");
  EXPECT_EQ(Refusal({"POST", "/v1/sites?site=1", site, {key}}), "400 INVALID_QUERY site");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", "{", {key}}), "400 INVALID_JSON #");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", "", {key}}), "400 INVALID_JSON #");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", R"({"display_name":"A","nmae":1,)" + kPlace + "}", {key}}),
            "400 UNKNOWN_FIELD #/nmae");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", R"({"id":"sit_9","display_name":"A",)" + kPlace + "}", {key}}),
            "400 OUTPUT_ONLY #/id");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", "{" + kPlace + "}", {key}}), "400 REQUIRED #/display_name");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site}), "400 IDEMPOTENCY_KEY_REQUIRED");
  for (std::string bad : {"short", "\"short\"", "with spaces in it", "\"quo\"ted-key\""}) {
    EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {{"Idempotency-Key", bad}}}), "400 IDEMPOTENCY_KEY_INVALID") << bad;
  }
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {{"Idempotency-Key", std::string(256, 'k')}}}),
            "400 IDEMPOTENCY_KEY_INVALID");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {key, {"If-Match", "W/\"5\""}}}), "412 ETAG_MISMATCH");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {key, {"Content-Type", "application/x-www-form-urlencoded"}}}),
            "415 UNSUPPORTED_MEDIA_TYPE");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", std::string(1024 * 1024 + 1, ' '), {key}}), "413 PAYLOAD_TOO_LARGE");
  std::string suspend = "/v1/organizations/" + organization_ + ":suspend";
  EXPECT_EQ(Refusal({"POST", suspend, R"({"id":")" + organization_ + R"("})", {key}}), "400 UNKNOWN_FIELD #/id");
  EXPECT_EQ(Refusal({"POST", suspend + "?reason=x", "", {key}}), "400 INVALID_QUERY reason");
  EXPECT_EQ(Refusal({"POST", suspend, R"({"reason":"internal"})", {key}}), "500 INTERNAL");
  EXPECT_EQ(Refusal({"POST", suspend, R"({"reason":"throw"})", {key}}), "500 INTERNAL");
  EXPECT_EQ(Refusal({"DELETE", "/v1/api_keys/key_1", "{}"}), "415 UNSUPPORTED_MEDIA_TYPE");
}

TEST_F(GatewayTest, ReplaysEntityTagsAndHead) {
  std::string site = R"({"display_name":"A",)" + kPlace + "}";
  EXPECT_EQ(Send({"POST", "/v1/sites", site, {{"Idempotency-Key", "replayed-key"}}}).fields.Get("Idempotent-Replayed"),
            "true");
  EXPECT_EQ(Refusal({"POST", "/v1/sites", site, {{"Idempotency-Key", "refused-before"}}}), "409 ALREADY_EXISTS");
  std::string path = "/v1/organizations/" + organization_;
  EXPECT_EQ(Send({"GET", path}).fields.Get("ETag"), "\"3\"");
  for (std::string tags : {"\"3\"", "W/\"3\"", "\"1\", \"3\"", "*"}) {
    http::Response response = Send({"GET", path, "", {{"If-None-Match", tags}}});
    EXPECT_EQ(response.status, 304) << tags;
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(response.fields.Get("ETag"), "\"3\"");
  }
  EXPECT_EQ(Send({"GET", path, "", {{"If-None-Match", "\"4\""}}}).status, 200);
  http::Response head = Send({"HEAD", path});
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.body, "");
  EXPECT_NE(head.fields.Get("Content-Length"), "0");
}

TEST_F(GatewayTest, FilesGoInAndOutAsTheyAre) {
  std::string csv(2'000'000, '\xB8');
  http::Response made = Send({"POST",
                              "/v1/imports?publish=true",
                              csv,
                              {{"Content-Type", "text/csv; charset=gb18030"}, {"Idempotency-Key", "key-number-1"}}});
  EXPECT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(file_.content_type(), "text/csv; charset=gb18030");
  EXPECT_EQ(file_.data(), csv);
  EXPECT_TRUE(published_);
  http::Response out = Send({"GET", "/v1/import_template"});
  EXPECT_EQ(out.body, "a,b\r\n");
  EXPECT_EQ(out.fields.Get("Content-Type"), "text/csv; charset=utf-8");
  EXPECT_EQ(out.fields.Get("X-Content-Type-Options"), "nosniff");
}

TEST_F(GatewayTest, RefusesFormsAndEmptyFiles) {
  std::pair<std::string, std::string> key{"Idempotency-Key", "key-number-1"};
  for (const char* type : {"multipart/form-data; boundary=x", "application/x-www-form-urlencoded"}) {
    for (const char* path : {"/v1/imports", "/v1/attachments"}) {
      EXPECT_EQ(Refusal({"POST", path, "a,b", {key, {"Content-Type", type}}}), "415 UNSUPPORTED_MEDIA_TYPE");
    }
  }
  EXPECT_EQ(Refusal({"POST", "/v1/imports", "", {key, {"Content-Type", "text/csv"}}}), "400 REQUIRED #");
}

TEST_F(GatewayTest, LongBodiesAreForKnownCallersAndImportsHaveTime) {
  std::string csv(2'000'000, 'a');
  for (const char* target : {"/v1/imports", "/v1/attachments"}) {
    Sent stranger{"POST", target, csv, {{"Content-Type", "text/csv"}, {"Idempotency-Key", "key-number-1"}}, false};
    EXPECT_EQ(Refusal(stranger), "401 UNAUTHENTICATED");
    EXPECT_EQ(Send(stranger).fields.Get("Connection"), "close");
  }
  EXPECT_EQ(authentications_, 0);
  Send({"POST", "/v1/imports", csv, {{"Content-Type", "text/csv"}, {"Idempotency-Key", "key-number-1"}}});
  EXPECT_EQ(authentications_, 1);
  EXPECT_GT(seen_.deadline, WallNow() + limits::kCallDeadline);
  Send({"GET", "/v1/me"});
  EXPECT_LE(seen_.deadline, WallNow() + limits::kCallDeadline);
}

TEST_F(GatewayTest, SignedNoticesKeepTheirBytes) {
  std::string body = R"({ "notice_id":"n", "kind":"pay_in","transfer_id":"t" })";
  http::Response response = Send({"POST",
                                  "/v1/custodian/notices",
                                  body,
                                  {{"webhook-id", "n"}, {"webhook-timestamp", "1"}, {"webhook-signature", "v1,x"}},
                                  false});
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(seen_.raw_body, body);
  EXPECT_EQ(seen_.headers.at("webhook-signature"), "v1,x");
  EXPECT_TRUE(seen_.organization.IsNil());
  EXPECT_EQ(Refusal({"POST", "/v1/custodian/notices", std::string(5000, ' ')}), "413 PAYLOAD_TOO_LARGE");
}

TEST_F(GatewayTest, PatchesWhatIsStored) {
  std::string path = "/v1/resources/" + FormatId("res", Uuid::New());
  std::pair<std::string, std::string> key{"Idempotency-Key", "key-number-1"}, tag{"If-Match", "\"4\""};
  std::pair<std::string, std::string> type{"Content-Type", "application/merge-patch+json"};
  http::Response patched = Send({"PATCH", path, R"({"model":"M","etag":"4"})", {key, type, {"If-Match", "*"}}});
  EXPECT_EQ(patched.status, 200) << patched.body;
  EXPECT_EQ(updated_.maker(), "old");
  EXPECT_EQ(updated_.model(), "M");
  EXPECT_EQ(seen_.if_match, "4");
  std::string fingerprint = seen_.fingerprint;
  Send({"PATCH", path, R"( {"etag":"4", "model":"M"} )", {key, type, {"If-Match", "\"3\""}}});
  EXPECT_EQ(seen_.fingerprint, fingerprint);
  EXPECT_EQ(Refusal({"PATCH", path, R"({"model":"M"})", {key, type}}), "428 ETAG_REQUIRED");
  EXPECT_EQ(Refusal({"PATCH", path, R"({"etag":"5"})", {key, type, tag}}), "400 OUTPUT_ONLY #/etag");
  EXPECT_EQ(Refusal({"PATCH", path, R"({"kind":null})", {key, type, tag}}), "400 REQUIRED #/kind");
  EXPECT_EQ(Refusal({"PATCH", "/v1/resources/" + hidden_, "{}", {key, type, tag}}), "404 NOT_FOUND");
  http::Response wrong = Send({"PATCH", path, "{}", {key, tag}});
  EXPECT_EQ(wrong.status, 415);
  EXPECT_EQ(wrong.fields.Get("Accept-Patch"), "application/merge-patch+json");
  int reads = reads_;
  std::string body = R"({"kind":"EQUIPMENT","display_name":{"zh":"x"},"maker":"new")";
  EXPECT_EQ(Send({"PUT", path, body + "}", {key, tag}}).status, 200);
  EXPECT_EQ(reads_, reads);
  EXPECT_EQ(Send({"PUT", path, body + R"(,"etag":"4"})", {key, tag}}).status, 200);
  EXPECT_EQ(reads_, reads + 1);
  EXPECT_EQ(Refusal({"PUT", path, body + R"(,"etag":"5"})", {key, tag}}), "400 OUTPUT_ONLY #/etag");
}

TEST_F(GatewayTest, ExpandsEachObjectOnce) {
  std::string a = FormatId("res", Uuid::New());
  listed_ = {a, hidden_, a, FormatId("res", Uuid::New()), ""};
  http::Response page = Send({"GET", "/v1/listings?page_size=5&expand=resource,resource"});
  EXPECT_EQ(reads_, 3);
  EXPECT_EQ(page.fields.Get("Link"),
            "</v1/listings?page_size=5&expand=resource,resource&page_token=a%2Bb>; rel=\"next\"");
  auto value = http::ParseJson(page.body);
  const auto& entries = value->members.at(0).value.items;
  auto has = [](const http::JsonValue& entry) {
    return std::ranges::any_of(entry.members, [](const auto& member) { return member.name == "resource"; });
  };
  EXPECT_TRUE(has(entries.at(0)) && has(entries[2]) && has(entries[3]));
  EXPECT_FALSE(has(entries[1]) || has(entries[4]));
  listed_.push_back(down_);
  EXPECT_EQ(Refusal({"GET", "/v1/listings?expand=resource"}), "503 UNAVAILABLE");
  EXPECT_EQ(Refusal({"GET", "/v1/listings?expand=owner"}), "400 INVALID_QUERY expand");
  listed_.assign(501, "");
  for (std::string& id : listed_) id = FormatId("res", Uuid::New());
  EXPECT_EQ(Refusal({"GET", "/v1/listings?expand=resource"}), "400 INVALID_QUERY expand");
}

TEST_F(GatewayTest, DryRunsAndWhatIsAccepted) {
  std::string suspend = "/v1/organizations/" + organization_ + ":suspend";
  std::pair<std::string, std::string> key{"Idempotency-Key", "key-number-1"};
  http::Response dry = Send({"POST", suspend + "?validate_only=true", "", {key}});
  EXPECT_EQ(dry.status, 200) << dry.body;
  EXPECT_TRUE(seen_.validate_only);
  http::Response real = Send({"POST", suspend + "?validate_only=false", "", {key}});
  EXPECT_FALSE(seen_.validate_only);
  EXPECT_TRUE(real.fields.Get("Idempotency-Key-Expires").ends_with(" GMT"));
  std::string site = R"({"display_name":"A",)" + kPlace + "}";
  EXPECT_EQ(Send({"POST", "/v1/sites", site, {key}}).fields.Get("Location"), "/v1/sites/sit_1");
  EXPECT_EQ(Refusal({"POST", suspend + "?validate_only=1", "", {key}}), "400 INVALID_QUERY validate_only");
  EXPECT_EQ(Refusal({"GET", "/v1/me?validate_only=true"}), "400 INVALID_QUERY validate_only");
  EXPECT_EQ(Refusal({"GET", "/v1/me", "", {{"Accept", "text/html"}}}), "406 NOT_ACCEPTABLE");
  EXPECT_EQ(Refusal({"GET", "/v1/import_template", "", {{"Accept", "application/json"}}}), "406 NOT_ACCEPTABLE");
  EXPECT_EQ(Refusal({"GET", "/v1/stream", "", {{"Accept", "application/json"}}}), "406 NOT_ACCEPTABLE");
}

TEST_F(GatewayTest, SaysWhatItIs) {
  EXPECT_EQ(Send({.method = "GET", .target = "/livez", .key = false}).status, 200);
  EXPECT_EQ(Send({.method = "GET", .target = "/readyz", .key = false}).status, 200);
  http::Response index = Send({.method = "GET", .target = "/v1", .key = false});
  EXPECT_TRUE(http::ParseJson(index.body));
  EXPECT_NE(index.body.find("/v1/stream"), std::string::npos);
  http::Response page = Send({.method = "GET", .target = "/problems/booking-conflict", .key = false});
  EXPECT_NE(page.body.find("The slot is taken"), std::string::npos);
  EXPECT_EQ(Refusal({"GET", "/problems/nothing"}), "404 NO_SUCH_ROUTE");
  http::Response docs = Send({.method = "GET", .target = "/docs?lang=zh", .key = false});
  EXPECT_NE(docs.body.find("http://127.0.0.1:" + std::to_string(port_) + "/v1/bookings"), std::string::npos);
}

}  // namespace
}  // namespace millrace::gateway
