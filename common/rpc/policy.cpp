// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/policy.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>

#include "millrace/type/options.pb.h"

namespace millrace::rpc {
namespace {

constexpr std::string_view kDomain = ".millrace.internal";
constexpr std::string_view kServiceActor = "service:";
constexpr std::string_view kGateway = "gateway";

std::unexpected<Error> Refused(std::string who) {
  return Fail(ErrorCode::kInsufficientScope, {{"roles", std::move(who)}});
}

// An actor "service:operations" that is one of the process's roles, and nothing beside it.
bool ActsForItself(const std::set<std::string, std::less<>>& roles, const CallContext& context) {
  std::string_view actor = context.actor;
  return context.roles.size() == 1 && context.organization.IsNil() && context.member.IsNil() &&
         actor.starts_with(kServiceActor) && roles.contains(actor.substr(kServiceActor.size()));
}

}  // namespace

std::string InternalName(std::string_view role) { return std::string(role) + std::string(kDomain); }

std::string_view RoleOfName(std::string_view dns_name) {
  if (!dns_name.ends_with(kDomain)) return {};
  dns_name.remove_suffix(kDomain.size());
  return dns_name.find('.') == dns_name.npos ? dns_name : std::string_view();
}

Result<void> CheckPeer(const MethodDescriptor* method, const std::set<std::string, std::less<>>& roles,
                       const CallContext& context) {
  const type::MethodRules& rules = method->options().GetExtension(type::method);
  if (context.IsService() && !ActsForItself(roles, context)) return Refused("service");
  if (rules.internal() && rules.callers().empty()) return roles.empty() ? Refused("service") : Result<void>();
  bool named = std::ranges::any_of(rules.callers(), [&](const std::string& c) { return roles.contains(c); });
  bool at_edge = !rules.internal() && !context.IsService() && roles.contains(kGateway);
  if (named || at_edge) return {};
  std::string who = rules.internal() ? "" : std::string(kGateway);
  for (const std::string& caller : rules.callers()) who += (who.empty() ? "" : ", ") + caller;
  return Refused(std::move(who));
}

}  // namespace millrace::rpc
