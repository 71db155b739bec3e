// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <string_view>

namespace millrace::gateway {

// Whether a credential with these scopes may do what `wanted` names ("bookings:write"). No scopes: all that its roles
// allow. A scope is noun:read, noun:write (which implies read) or noun:*; the noun may be *.
bool ScopeAllows(const std::set<std::string>& held, std::string_view wanted);

}  // namespace millrace::gateway
