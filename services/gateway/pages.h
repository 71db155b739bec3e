// SPDX-License-Identifier: Apache-2.0
// What the gateway says of itself: the index of routes, the contract as OpenAPI, its documentation, the error codes.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/http/http.h"
#include "services/gateway/routes.h"

namespace millrace::gateway {

// GET /v1: every route with its RPC and the first sentence of its comment.
std::string IndexJson(const RoutingTable& table);
// GET /problems/booking-conflict: the catalogue's entry as a page. 404 NO_SUCH_ROUTE for a code that is not in it.
http::Response ProblemPage(std::string_view path, Language language, const std::string& request_id);
// GET /problems: every code with its title, by HTTP status.
http::Response ProblemIndex(Language language);

// The pages that are made once, at start: their bytes, with ETags.
class Pages {
 public:
  explicit Pages(const RoutingTable& table);
  // The route's template ("/problems/{code}") if the path is one of a page; empty if it is not.
  std::string_view TemplateOf(std::string_view path) const;
  // The page, or 304. Its language is that of the query (lang=zh, lang=en), else the given one. Errors: NOT_ACCEPTABLE.
  Result<http::Response> Get(const http::Request& request, Language language, const std::string& request_id) const;

 private:
  struct Page {
    std::string media_type, body, etag;
  };
  void Add(std::string path, std::string media_type, std::string body);

  std::map<std::string, Page, std::less<>> pages_;  // by path; the documentation's by "/docs?zh", "/docs?en"
};

}  // namespace millrace::gateway
