// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/routes.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <set>

#include "common/base/limits.h"
#include "common/http/http.h"
#include "google/api/annotations.pb.h"
#include "services/gateway/contract.h"

namespace millrace::gateway {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::MethodDescriptor;

[[noreturn]] void Die(const MethodDescriptor* method, const std::string& why) {
  std::fprintf(stderr, "gateway: the route of %s: %s\n", method->full_name().c_str(), why.c_str());
  std::abort();
}

// "/v1/x/y:verb" as {"v1", "x", "y"} and "verb"; still encoded.
std::vector<std::string> Split(std::string_view path, std::string* verb) {
  std::vector<std::string> segments;
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    size_t slash = path.find('/');
    segments.emplace_back(path.substr(0, slash));
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
  }
  std::string& last = segments.back();
  for (size_t at = last.find("%3"); at != last.npos; at = last.find("%3", at + 1)) {
    if (at + 2 < last.size() && (last[at + 2] == 'A' || last[at + 2] == 'a')) last.replace(at, 3, ":");
  }
  size_t colon = last.find(':');
  verb->clear();
  if (colon != last.npos) {
    *verb = last.substr(colon + 1);
    last.resize(colon);
  }
  return segments;
}

bool Fits(const Route& route, const std::vector<std::string>& segments, const std::string& verb) {
  if (route.verb != verb) return false;
  for (size_t i = 0; i < segments.size(); ++i) {
    const Route::Segment& segment = route.segments[i];
    if (segment.parameter ? segments[i].empty() : segments[i] != segment.literal) return false;
  }
  return true;
}

constexpr size_t kNearRoutes = 12;
// Of two names that begin alike so long one is likely meant for the other: "organisation", "organizations".
constexpr size_t kAlikeCharacters = 5;

// "Work-Order" and "work_orders" begin alike.
bool Alike(std::string_view a, std::string_view b) {
  auto plain = [](std::string_view name) {
    std::string out;
    for (unsigned char c : name) {
      if (std::isalnum(c)) out += static_cast<char>(std::tolower(c));
    }
    return out;
  };
  std::string x = plain(a), y = plain(b);
  size_t same = 0;
  while (same < x.size() && same < y.size() && x[same] == y[same]) ++same;
  return same >= kAlikeCharacters || (same > 2 && (same == x.size() || same == y.size()));
}

void Keep(std::vector<const Route*>* routes, const std::function<bool(const Route*)>& likely) {
  std::vector<const Route*> kept;
  std::ranges::copy_if(*routes, std::back_inserter(kept), likely);
  if (!kept.empty()) *routes = std::move(kept);
}

}  // namespace

HttpRule HttpRuleOf(const MethodDescriptor* method) {
  if (!method->options().HasExtension(google::api::http)) return {};
  const google::api::HttpRule& http = method->options().GetExtension(google::api::http);
  HttpRule rule;
  rule.body = http.body();
  switch (http.pattern_case()) {
    case google::api::HttpRule::kGet:
      rule.method = "GET";
      rule.path = http.get();
      break;
    case google::api::HttpRule::kPost:
      rule.method = "POST";
      rule.path = http.post();
      break;
    case google::api::HttpRule::kPut:
      rule.method = "PUT";
      rule.path = http.put();
      break;
    case google::api::HttpRule::kPatch:
      rule.method = "PATCH";
      rule.path = http.patch();
      break;
    case google::api::HttpRule::kDelete:
      rule.method = "DELETE";
      rule.path = http.delete_();
      break;
    default:
      break;
  }
  return rule;
}

RoutingTable::RoutingTable() {
  for (const auto* file : ContractFiles()) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int k = 0; k < file->service(i)->method_count(); ++k) Add(file->service(i)->method(k));
    }
  }
}

void RoutingTable::Add(const MethodDescriptor* method) {
  auto route = std::make_unique<Route>();
  route->rule = HttpRuleOf(method);
  route->rules = &method->options().GetExtension(type::method);
  if (route->rule.method.empty() || route->rules->internal()) return;
  route->method = method;
  route->service = ServiceOf(method);
  route->request = google::protobuf::MessageFactory::generated_factory()->GetPrototype(method->input_type());
  const std::string& body = route->rule.body;
  if (!body.empty() && body != "*") {
    route->body_field = method->input_type()->FindFieldByName(body);
    if (!route->body_field || !route->body_field->message_type() || route->body_field->is_repeated())
      Die(method, "bad body field " + body);
    route->raw_body = route->body_field->message_type()->full_name() == "google.api.HttpBody";
  }
  for (const std::string& text : Split(route->rule.path, &route->verb)) {
    Route::Segment segment{text, nullptr};
    if (text.starts_with('{')) {
      segment.parameter = method->input_type()->FindFieldByName(text.substr(1, text.size() - 2));
      if (!segment.parameter || segment.parameter->is_repeated()) Die(method, "bad parameter " + text);
    }
    route->segments.push_back(std::move(segment));
  }
  if (route->segments.size() < 2 || route->segments[1].parameter) Die(method, "a path begins with /v1/name");
  bool import = route->segments[1].literal == "imports";
  if (route->raw_body) route->body_limit = import ? limits::kImportBodyBytes : limits::kAttachmentBytes;
  if (import) route->deadline = limits::kImportDeadline;
  for (const auto& other : routes_) {
    if (other->rule.method == route->rule.method && other->rule.path == route->rule.path)
      Die(method, "taken by " + other->method->full_name());
  }
  by_shape_.emplace(std::pair(route->segments.size(), route->segments[1].literal), route.get());
  routes_.push_back(std::move(route));
}

RoutingTable::Match RoutingTable::Find(std::string_view method, std::string_view path) const {
  Match match;
  std::string verb;
  std::vector<std::string> segments = Split(path, &verb);
  if (segments.size() < 2) return match;
  if (method == "HEAD") method = "GET";
  std::set<std::string> allowed;
  auto [begin, end] = by_shape_.equal_range({segments.size(), segments[1]});
  for (auto it = begin; it != end; ++it) {
    if (!Fits(*it->second, segments, verb)) continue;
    if (it->second->rule.method == method) match.route = it->second;
    allowed.insert(it->second->rule.method);
  }
  if (!match.route) {
    if (allowed.contains("GET")) allowed.insert("HEAD");
    for (const std::string& each : allowed) match.allow += (match.allow.empty() ? "" : ", ") + each;
    return match;
  }
  for (size_t i = 0; i < segments.size(); ++i) {
    const FieldDescriptor* parameter = match.route->segments[i].parameter;
    if (!parameter) continue;
    auto value = http::PercentDecode(segments[i], false);
    match.malformed = match.malformed || !value;
    match.parameters.emplace_back(parameter, value.value_or(""));
  }
  return match;
}

std::vector<std::string> RoutingTable::Near(std::string_view path) const {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  std::string verb;
  std::vector<std::string> segments = Split(path, &verb);
  if (segments[0] != "v1") segments.insert(segments.begin(), "v1");
  std::vector<const Route*> found;
  for (const auto& route : routes_) {
    if (segments.size() > 1 && Alike(segments[1], route->segments[1].literal)) found.push_back(route.get());
  }
  Keep(&found, [&](const Route* route) { return route->segments[1].literal == segments[1]; });
  Keep(&found, [&](const Route* route) { return route->segments.size() == segments.size(); });
  Keep(&found, [&](const Route* route) { return route->verb.empty() == verb.empty(); });
  std::vector<std::string> near;
  for (const Route* route : found) {
    if (near.size() < kNearRoutes) near.push_back(route->rule.method + " " + route->rule.path);
  }
  if (near.empty()) near.emplace_back("GET /v1");
  return near;
}

size_t RoutingTable::BodyLimit(std::string_view method, std::string_view path) const {
  Match match = Find(method, path);
  return match.route ? match.route->body_limit : limits::kHttpBodyBytes;
}

}  // namespace millrace::gateway
