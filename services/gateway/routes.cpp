// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/routes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <set>

#include "common/base/limits.h"
#include "common/base/words.h"
#include "common/http/http.h"
#include "common/rpc/scope.h"
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

// More than any route has.
constexpr size_t kSegmentsMax = 12;

// A path taken apart without a copy; still encoded.
struct Parts {
  std::array<std::string_view, kSegmentsMax> segments;
  size_t count = 0;  // 0: no path of a route
  std::string_view verb;
};

Parts TakeApart(std::string_view path) {
  Parts parts;
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    if (parts.count == kSegmentsMax) return Parts();
    size_t slash = path.find('/');
    parts.segments[parts.count++] = path.substr(0, slash);
    if (slash == path.npos) break;
    path.remove_prefix(slash + 1);
  }
  std::string_view& last = parts.segments[parts.count - 1];
  for (size_t i = 0; i < last.size(); ++i) {
    bool encoded = last[i] == '%' && i + 2 < last.size() && last[i + 1] == '3' && (last[i + 2] | 0x20) == 'a';
    if (last[i] != ':' && !encoded) continue;
    parts.verb = last.substr(i + (encoded ? 3 : 1));
    last = last.substr(0, i);
    break;
  }
  return parts;
}

bool Fits(const Route& route, const Parts& parts) {
  if (route.segments.size() != parts.count || route.verb != parts.verb) return false;
  for (size_t i = 0; i < parts.count; ++i) {
    const Route::Segment& segment = route.segments[i];
    if (segment.parameter ? parts.segments[i].empty() : parts.segments[i] != segment.literal) return false;
  }
  return true;
}

// "GET, HEAD, PUT" of the routes that fit but for their method.
std::string Allowed(const std::vector<const Route*>& routes, const Parts& parts) {
  std::set<std::string> allowed;
  for (const Route* route : routes) {
    if (Fits(*route, parts)) allowed.insert(route->rule.method);
  }
  if (allowed.contains("GET")) allowed.insert("HEAD");
  return JoinWords(allowed, ", ");
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

HttpRule RuleOf(const google::api::HttpRule& http) {
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

}  // namespace

HttpRule HttpRuleOf(const MethodDescriptor* method) {
  std::vector<HttpRule> rules = HttpRulesOf(method);
  return rules.empty() ? HttpRule() : std::move(rules.front());
}

std::vector<HttpRule> HttpRulesOf(const MethodDescriptor* method) {
  std::vector<HttpRule> rules;
  if (!method->options().HasExtension(google::api::http)) return rules;
  const google::api::HttpRule& http = method->options().GetExtension(google::api::http);
  rules.push_back(RuleOf(http));
  for (const google::api::HttpRule& more : http.additional_bindings()) rules.push_back(RuleOf(more));
  return rules;
}

bool IsSigned(const Route& route) {
  return route.method->full_name() == "millrace.escrow.v1.EscrowService.CustodianNotice";
}

RoutingTable::RoutingTable() {
  for (const auto* file : ContractFiles()) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int k = 0; k < file->service(i)->method_count(); ++k) {
        const MethodDescriptor* method = file->service(i)->method(k);
        for (HttpRule& rule : HttpRulesOf(method)) Add(method, std::move(rule));
      }
    }
  }
  Relate();
}

// What routes are to each other: the GET of what a PUT or PATCH changes.
void RoutingTable::Relate() {
  for (auto& route : routes_) {
    by_name_[route->segments[1].literal].push_back(route.get());
    if (route->rule.method != "PUT" && !route->patch) continue;
    for (const auto& other : routes_) {
      bool reads = other->Reads() && other->rule.path == route->rule.path && route->body_field &&
                   other->method->output_type() == route->body_field->message_type();
      if (reads) route->read = other.get();
    }
    if (route->patch && !route->read) Die(route->method, "a PATCH of what no GET returns");
  }
  for (auto& route : routes_) {
    for (const Expansion& expansion : route->expansions) {
      const Route* read = OfRpc(expansion.rpc);
      if (!read || !read->method->input_type()->FindFieldByName("id"))
        Die(route->method, "bad expand " + expansion.rpc);
    }
  }
}

// The ids in an answer that options let `expand` follow.
void RoutingTable::Describe(Route* route) {
  const auto* answer = route->method->output_type();
  const FieldDescriptor* data = answer->FindFieldByName("data");
  if (data && data->is_repeated() && data->message_type()) route->page = data;
  if (!route->Reads()) {
    route->dry_run = route->method->input_type()->FindFieldByName("validate_only") || !route->rules->public_();
    return;
  }
  const auto* object = route->page ? route->page->message_type() : answer;
  for (int i = 0; i < object->field_count(); ++i) {
    const FieldDescriptor* field = object->field(i);
    const std::string& rpc = field->options().GetExtension(type::field).expand();
    if (rpc.empty()) continue;
    bool id =
        field->name().ends_with("_id") && !field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    std::string name = field->name().substr(0, field->name().size() - 3);
    if (!id || object->FindFieldByName(name)) Die(route->method, "bad expand of " + field->full_name());
    route->expansions.push_back({name, field, rpc});
  }
}

void RoutingTable::Add(const MethodDescriptor* method, HttpRule rule) {
  auto route = std::make_unique<Route>();
  route->rule = std::move(rule);
  route->patch = route->rule.method == "PATCH";
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
  const std::string& noun = route->segments[1].literal;
  bool import = noun == "imports";
  if (route->raw_body) {
    route->body_limit = import                ? limits::kImportBodyBytes
                        : noun == "documents" ? limits::kDocumentBytes
                                              : limits::kAttachmentBytes;
  }
  if (import) route->deadline = limits::kImportDeadline;
  for (const auto& other : routes_) {
    if (other->rule.method == route->rule.method && other->rule.path == route->rule.path)
      Die(method, "taken by " + other->method->full_name());
  }
  route->scope = rpc::ScopeOf(route->rule.method, route->rule.path);
  Describe(route.get());
  routes_.push_back(std::move(route));
}

const Route* RoutingTable::Look(std::string_view method, std::string_view path) const {
  Parts parts = TakeApart(path);
  if (parts.count < 2) return nullptr;
  if (method == "HEAD") method = "GET";
  auto named = by_name_.find(parts.segments[1]);
  if (named == by_name_.end()) return nullptr;
  for (const Route* route : named->second) {
    if (route->rule.method == method && Fits(*route, parts)) return route;
  }
  return nullptr;
}

const Route* RoutingTable::OfRpc(std::string_view rpc) const {
  for (const auto& route : routes_) {
    if (route->Reads() && route->method->full_name() == rpc) return route.get();
  }
  return nullptr;
}

RoutingTable::Match RoutingTable::Find(std::string_view method, std::string_view path) const {
  Match match;
  match.route = Look(method, path);
  Parts parts = TakeApart(path);
  if (!match.route) {
    auto named = parts.count < 2 ? by_name_.end() : by_name_.find(parts.segments[1]);
    if (named != by_name_.end()) match.allow = Allowed(named->second, parts);
    return match;
  }
  for (size_t i = 0; i < parts.count; ++i) {
    const FieldDescriptor* parameter = match.route->segments[i].parameter;
    if (!parameter) continue;
    auto value = http::PercentDecode(parts.segments[i], false);
    match.malformed = match.malformed || !value;
    match.parameters.emplace_back(parameter, value ? *std::move(value) : std::string());
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
  const Route* route = Look(method, path);
  return route ? route->body_limit : limits::kHttpBodyBytes;
}

}  // namespace millrace::gateway
