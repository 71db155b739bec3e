// SPDX-License-Identifier: Apache-2.0
// The parts of the OpenAPI document that are the same whatever the routes: conventions, and the gateway's own routes.
#pragma once

#include <map>
#include <set>
#include <string>

#include "services/gateway/schemas.h"

namespace millrace::gateway {

JsonValue Info();
JsonValue CommonParameters();
JsonValue CommonHeaders();
JsonValue CommonResponses(Schemas* schemas);
// {"$ref": …} to the problem document's schema.
JsonValue ProblemRef(Schemas* schemas);
JsonValue SecuritySchemes(const std::set<std::string>& scopes);
// Routes that are no RPC's, by path.
std::map<std::string, JsonValue> OwnPaths(Schemas* schemas);
std::map<std::string, std::string> OwnTags();
// One entry for each event type, whose body is a CloudEvents envelope around the object.
JsonValue Webhooks(Schemas* schemas);

}  // namespace millrace::gateway
