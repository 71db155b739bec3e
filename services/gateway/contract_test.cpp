// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/contract.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "common/base/limits.h"
#include "services/gateway/openapi.h"
#include "services/gateway/pages.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {
namespace {

constexpr const char* kGolden = "tests/data/contract.golden.txt";
constexpr const char* kOpenApi = "tests/data/openapi.golden.json";

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

TEST(OpenApi, IsTheGoldenOne) {
  RoutingTable table;
  std::string now = WriteTree(OpenApi31(table), true) + "\n";
  EXPECT_EQ(now, WriteTree(OpenApi31(table), true) + "\n");
  if (std::getenv("MILLRACE_UPDATE_GOLDEN")) {
    std::ofstream(kOpenApi) << now;
    GTEST_SKIP() << "wrote " << kOpenApi;
  }
  std::ifstream in(kOpenApi);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_TRUE(text.str() == now) << kOpenApi
                                 << " is of another contract; if the change is meant, write it anew:\n"
                                    "  MILLRACE_UPDATE_GOLDEN=1 ctest --test-dir <build> -R gateway_test";
}

TEST(OpenApi, SaysWhatTheRulesSay) {
  RoutingTable table;
  JsonValue document = OpenApi31(table);
  auto at = [&](std::initializer_list<const char*> path) {
    const JsonValue* value = &document;
    for (const char* name : path) value = value ? Find(*value, name) : nullptr;
    return value ? WriteTree(*value) : std::string("(none)");
  };
  EXPECT_EQ(at({"components", "schemas", "Booking", "required"}), R"(["listing_id","window"])");
  EXPECT_EQ(at({"components", "schemas", "Booking", "properties", "id", "readOnly"}), "true");
  EXPECT_EQ(at({"components", "schemas", "Booking", "properties", "version", "type"}), R"("string")");
  EXPECT_EQ(at({"components", "schemas", "Booking", "properties", "units", "maximum"}), "1000000");
  EXPECT_EQ(at({"components", "schemas", "Interval", "properties", "start_time", "format"}), R"("date-time")");
  EXPECT_EQ(at({"components", "schemas", "Attributes", "maxProperties"}), "1");
  EXPECT_EQ(at({"components", "schemas", "ListingPatch", "required"}), "(none)");
  EXPECT_EQ(at({"components", "schemas", "Money", "properties", "currency", "enum"}), R"(["CNY","EUR","HKD","USD"])");
  EXPECT_EQ(at({"paths", "/v1/bookings", "post", "security"}), R"([{"bearer":[]},{"oauth2":["bookings:write"]}])");
  EXPECT_EQ(at({"paths", "/v1/processes", "get", "security"}), "[]");
  EXPECT_NE(at({"paths", "/v1/bookings", "post", "parameters"}).find("IdempotencyKey\""), std::string::npos);
  EXPECT_NE(at({"paths", "/v1/listings/{id}", "patch", "requestBody"}).find("application/merge-patch+json"),
            std::string::npos);
  EXPECT_NE(at({"paths", "/v1/import_template", "get", "responses", "200", "content"}).find("text/csv"),
            std::string::npos);
  EXPECT_NE(at({"paths", "/v1/bookings", "post", "responses", "409", "x-codes"}).find("BOOKING_CONFLICT"),
            std::string::npos);
  EXPECT_NE(at({"webhooks", "listing.published"}).find("schemas/Bookable"), std::string::npos);
  EXPECT_EQ(at({"paths", "/v1/organizations/{id}:verify", "post", "requestBody", "required"}), "(none)");
}

TEST(OpenApi, EveryReferenceLeadsSomewhere) {
  RoutingTable table;
  for (const JsonValue& document : {OpenApi31(table), OpenApi30(OpenApi31(table))}) {
    std::vector<const JsonValue*> waiting{&document};
    size_t references = 0;
    while (!waiting.empty()) {
      const JsonValue* value = waiting.back();
      waiting.pop_back();
      for (const JsonValue& item : value->items) waiting.push_back(&item);
      for (const auto& [name, member] : value->members) {
        waiting.push_back(&member);
        if (name != "$ref" || member.kind != JsonValue::Kind::kString) continue;
        ++references;
        const JsonValue* target = &document;
        std::stringstream path(member.text.substr(2));
        for (std::string part; std::getline(path, part, '/');) target = target ? Find(*target, part) : nullptr;
        EXPECT_TRUE(target) << member.text;
      }
    }
    EXPECT_GT(references, 200u);
  }
}

TEST(Contract, ReadsCommentsThatMachinesNeed) {
  EXPECT_EQ(ErrorsOf("Makes it. Errors: NOT_FOUND (UNKNOWN_UNIT, if any), STATE_CONFLICT. Or NOTHING."),
            (std::vector<std::string>{"NOT_FOUND", "STATE_CONFLICT"}));
  EXPECT_EQ(ProseOf("Makes it. Errors: NOT_FOUND."), "Makes it.");
  EXPECT_EQ(CommentOf("millrace.listing.v1.Import.Summary.to_create"), "New resources.");
  EXPECT_EQ(CommentOf("millrace.listing.v1.Resource.Kind.TOOLING"), "A tool, mould or fixture.");
  Deprecation deprecation = DeprecationOf("Does it. Deprecated 2027-01-31, ends 2027-12-31: use X.");
  EXPECT_EQ(deprecation.since, 1801353600);
  EXPECT_EQ(deprecation.sunset, 1830211200);
  EXPECT_EQ(DeprecationOf("Does it.").since, 0);
  std::set<std::string> types;
  for (const EventType& event : EventTypes()) types.insert(event.type);
  for (const char* type : {"organization.registered", "listing.published", "booking.checked_in", "escrow.paid_out"})
    EXPECT_TRUE(types.contains(type)) << type;
  for (const auto& route : RoutingTable().routes()) {
    if (!route->method->options().deprecated()) continue;
    EXPECT_GT(DeprecationOf(CommentOf(route->method->full_name())).since, 0) << route->method->full_name();
  }
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
  EXPECT_EQ(name("PATCH", "/v1/listings/lst_1"), "UpdateListing");
  EXPECT_EQ(table.Look("PATCH", "/v1/listings/lst_1")->read, table.Look("GET", "/v1/listings/lst_1"));
  EXPECT_EQ(table.Look("POST", "/v1/bookings/bkg_1:cancel")->scope, "bookings:write");
  EXPECT_EQ(table.Look("GET", "/v1/bookings")->expansions.size(), 7u);
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

TEST(Pages, HaveTagsAndLanguages) {
  RoutingTable table;
  Pages pages(table);
  for (std::string path : {"/v1", "/openapi.json", "/openapi-3.0.json", "/docs", "/docs/docs.css", "/docs/docs.js",
                           "/version", "/problems"}) {
    ASSERT_EQ(pages.TemplateOf(path), path);
    http::Request request{.method = "GET", .path = path};
    http::Response first = pages.Get(request, Language::kEn, "req_1").value();
    EXPECT_EQ(first.status, 200) << path;
    EXPECT_FALSE(first.body.empty()) << path;
    if (path == "/problems") continue;
    request.fields.Set("If-None-Match", std::string(first.fields.Get("ETag")));
    EXPECT_EQ(pages.Get(request, Language::kEn, "req_1")->status, 304) << path;
  }
  for (const char* none : {"/", "/docs/", "/docs/x", "/docs?zh", "/openapi", "/v1/openapi.json"})
    EXPECT_EQ(pages.TemplateOf(none), "") << none;
  http::Request zh{.method = "GET", .path = "/docs", .query = "lang=zh"};
  EXPECT_EQ(pages.Get(zh, Language::kEn, "req_1")->fields.Get("Content-Language"), "zh-CN");
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
