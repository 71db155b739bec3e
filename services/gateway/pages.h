// SPDX-License-Identifier: Apache-2.0
// What the gateway says of itself: the index of routes and a page for each error code.
#pragma once

#include <string>
#include <string_view>

#include "common/http/http.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {

// GET /v1: every route with its RPC and the first sentence of its comment.
std::string IndexJson(const RoutingTable& table);
// GET /problems/booking-conflict: the catalogue's entry as a page. 404 NO_SUCH_ROUTE for a code that is not in it.
http::Response ProblemPage(std::string_view path, Language language, const std::string& request_id);

}  // namespace millrace::gateway
