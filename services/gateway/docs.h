// SPDX-License-Identifier: Apache-2.0
// The documentation page, made of the OpenAPI document.
#pragma once

#include <string>
#include <string_view>

#include "common/base/error.h"
#include "services/gateway/json_tree.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {

// Stands in the page where the server's own address belongs, "http://127.0.0.1:8080".
inline constexpr std::string_view kBasePlaceholder = "@base@";

// Every operation by its noun, every schema, every event, in one page. The frame is in the language; what the contract
// says is in English.
std::string DocsPage(const RoutingTable& table, const JsonValue& openapi, Language language);

}  // namespace millrace::gateway
