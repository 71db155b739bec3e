// SPDX-License-Identifier: Apache-2.0
// Who may call what between processes, by the names in the caller's certificate.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "common/rpc/service.h"

namespace millrace::rpc {

// The DNS name of a role in certificates: "escrow.millrace.internal".
std::string InternalName(std::string_view role);
// "escrow" of "escrow.millrace.internal"; empty if the name is no role's.
std::string_view RoleOfName(std::string_view dns_name);

// Whether a process that holds `roles` ("gateway", "escrow", …; the roles of its certificate) may make this call.
//  - A caller that acts for itself (role service) is one of its own roles, and of no organization.
//  - An internal method is for the services that the contract names (MethodRules.callers), or for any.
//  - Any other method carries the context of an organization or of nobody: that is the gateway's to make, and of the
//    services that the contract names, which pass on what they were given or ask for themselves.
// Errors: INSUFFICIENT_SCOPE, naming who may.
Result<void> CheckPeer(const MethodDescriptor* method, const std::set<std::string, std::less<>>& roles,
                       const CallContext& context);

}  // namespace millrace::rpc
