// SPDX-License-Identifier: Apache-2.0
// `expand=listing,resource`: the objects that ids in an answer name, beside those ids.
#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "common/base/call_context.h"
#include "common/base/limits.h"
#include "common/runtime/module.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {

// Calls in flight, and objects, for one answer.
inline constexpr int kExpandCalls = 8;
inline constexpr size_t kExpandObjects = limits::kPageSizeMax;

// The answer's JSON with the objects, each read once with the caller's own rights and deadline. What the caller may not
// see, by role, scope or ownership, stays absent. Errors: those of the calls but NOT_FOUND and INSUFFICIENT_SCOPE;
// INVALID_QUERY for more than kExpandObjects different ones.
Task<Result<std::string>> Expand(runtime::Environment* environment, const RoutingTable* table, const Route* route,
                                 std::vector<const Expansion*> expansions, const google::protobuf::Message* answer,
                                 CallContext context);

}  // namespace millrace::gateway
