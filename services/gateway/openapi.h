// SPDX-License-Identifier: Apache-2.0
// The contract as OpenAPI documents, made of the descriptors alone: a new RPC with a route needs nothing here.
#pragma once

#include <string>
#include <vector>

#include "services/gateway/json_tree.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {

// The OpenAPI 3.1 document: paths and schemas in alphabetical order, so that equal contracts have equal texts.
JsonValue OpenApi31(const RoutingTable& table);
// The same for tools that know 3.0 only: what 3.0 has no word for is left out (webhooks, the licence's SPDX name,
// descriptions beside references stand in allOf).
JsonValue OpenApi30(JsonValue document);

// The codes that a route may refuse with, by HTTP status: those of its RPC's comment and those that its rules entail.
std::vector<std::pair<int, std::vector<std::string>>> RefusalsOf(const Route& route);
// "ListBookings"; of a PATCH "PatchListing".
std::string OperationIdOf(const Route& route);
// Fields that are query parameters, by their names: "page_size", "place.longitude".
std::vector<std::pair<std::string, const google::protobuf::FieldDescriptor*>> QueryParametersOf(const Route& route);
// Media types that a comment names: "text/csv"; application/octet-stream if none.
std::vector<std::string> MediaTypesOf(const std::string& comment);

}  // namespace millrace::gateway
