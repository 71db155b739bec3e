// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/policy.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "common/rpc/channel.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "millrace/events/v1/events.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/type/options.pb.h"

namespace millrace::rpc {
namespace {

using Roles = std::set<std::string, std::less<>>;

constexpr const char* kGetSite = "millrace.identity.v1.Identity.GetSite";        // with a route; listing is named
constexpr const char* kCreateSite = "millrace.identity.v1.Identity.CreateSite";  // with a route; nobody is named
constexpr const char* kHold = "millrace.escrow.v1.EscrowService.Hold";           // internal; operations is named
constexpr const char* kListEvents = "millrace.events.v1.EventLog.ListEvents";    // internal; nobody is named

bool May(const char* method, Roles roles, const CallContext& context) {
  // The messages are named so that the linker keeps them.
  identity::v1::Site::descriptor(), escrow::v1::Escrow::descriptor(), events::v1::Event::descriptor();
  Result<void> answer = CheckPeer(FindMethod(method), roles, context);
  if (!answer) EXPECT_EQ(answer.error().code, ErrorCode::kInsufficientScope);
  return answer.has_value();
}

CallContext Buyer() {
  CallContext context;
  context.organization = Uuid::New();
  context.actor = "key_01J9ZK3V6M2E8QW4T7Y1N5R0AB";
  context.roles = {"buyer"};
  return context;
}

TEST(Policy, NamesRoles) {
  EXPECT_EQ(InternalName("escrow"), "escrow.millrace.internal");
  EXPECT_EQ(RoleOfName("escrow.millrace.internal"), "escrow");
  EXPECT_EQ(RoleOfName("a.escrow.millrace.internal"), "");
  EXPECT_EQ(RoleOfName("escrow.example.org"), "");
  EXPECT_EQ(RoleOfName(".millrace.internal"), "");
}

TEST(Policy, OnlyTheGatewayAndWhoIsNamedPresentsACaller) {
  EXPECT_TRUE(May(kCreateSite, {"gateway"}, Buyer()));
  EXPECT_TRUE(May(kGetSite, {"listing"}, Buyer()));
  EXPECT_TRUE(May(kGetSite, {"gateway", "credit"}, Buyer()));
  for (const char* role : {"operations", "escrow", "identity", "matching", "credit", "notifications"}) {
    EXPECT_FALSE(May(kGetSite, {role}, Buyer())) << role;
    EXPECT_FALSE(May(kCreateSite, {role}, Buyer())) << role;
  }
  EXPECT_FALSE(May(kCreateSite, {"listing"}, Buyer()));
  EXPECT_FALSE(May(kCreateSite, {}, Buyer()));
  EXPECT_TRUE(May(kCreateSite, {"gateway"}, CallContext())) << "nobody, on a public route";
  EXPECT_FALSE(May(kCreateSite, {"listing"}, CallContext()));
}

TEST(Policy, InternalMethodsAreForWhoIsNamed) {
  EXPECT_TRUE(May(kHold, {"operations"}, CallContext::ForService("operations")));
  for (const char* role : {"gateway", "credit", "listing", "escrow"}) {
    EXPECT_FALSE(May(kHold, {role}, CallContext::ForService(role))) << role;
  }
  for (const char* role : {"gateway", "credit", "operations"}) {
    EXPECT_TRUE(May(kListEvents, {role}, CallContext::ForService(role))) << role;
  }
  EXPECT_FALSE(May(kListEvents, {}, CallContext::ForService("credit"))) << "a certificate without a role's name";
}

TEST(Policy, AServiceIsNoOther) {
  EXPECT_FALSE(May(kHold, {"credit"}, CallContext::ForService("operations")));
  EXPECT_FALSE(May(kListEvents, {"credit"}, CallContext::ForService("operations")));
  EXPECT_TRUE(May(kHold, {"credit", "operations"}, CallContext::ForService("operations")));
  EXPECT_TRUE(May(kGetSite, {"listing"}, CallContext::ForService("listing")));
  EXPECT_FALSE(May(kCreateSite, {"gateway"}, CallContext::ForService("gateway"))) << "the gateway asks for its callers";
}

TEST(Policy, AServiceIsOfNoOrganizationAndHasNoOtherRole) {
  CallContext context = CallContext::ForService("listing");
  context.organization = Uuid::New();
  EXPECT_FALSE(May(kGetSite, {"listing"}, context));
  context = CallContext::ForService("listing");
  context.roles.insert("operator");
  EXPECT_FALSE(May(kGetSite, {"listing"}, context));
  context = CallContext::ForService("listing");
  context.member = Uuid::New();
  EXPECT_FALSE(May(kGetSite, {"listing"}, context));
}

}  // namespace
}  // namespace millrace::rpc
