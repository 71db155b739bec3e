// SPDX-License-Identifier: Apache-2.0
// What a credential may do of what its roles allow. A scope is a noun, the second segment of the routes' paths, and
// read, write (which includes read) or *: "bookings:read", "bookings:*", "*:read", "*:*".
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "common/base/result.h"

namespace millrace::rpc {

// The scope that a route needs: {"POST", "/v1/bookings/{id}:cancel"} needs "bookings:write". Empty if the path has no
// second segment.
std::string ScopeOf(std::string_view http_method, std::string_view path);
// Whether `scopes` (none: everything) contain what `needed`, or wider.
bool Covers(const std::set<std::string>& scopes, const std::string& needed);
// Errors: INSUFFICIENT_SCOPE, which names the scope.
Result<void> CheckScope(const std::set<std::string>& scopes, const std::string& needed);

// Every noun of a serialized google.protobuf.FileDescriptorSet: those of its google.api.http options.
std::set<std::string> NounsOf(std::string_view descriptor_set);
// Whether a scope is well formed and its noun one of `nouns`.
bool IsScope(const std::set<std::string>& nouns, std::string_view scope);

}  // namespace millrace::rpc
