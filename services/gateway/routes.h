// SPDX-License-Identifier: Apache-2.0
// Which RPC a method and path name: built from the google.api.http options of the contract.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "millrace/type/options.pb.h"

namespace millrace::gateway {

// A google.api.http option; method is empty if the RPC has none.
struct HttpRule {
  std::string method;  // "POST"
  std::string path;    // "/v1/bookings/{id}:cancel"
  std::string body;    // "", "*", or a field's name
};
// The first, and all: `additional_bindings` are further routes to the same RPC.
HttpRule HttpRuleOf(const google::protobuf::MethodDescriptor* method);
std::vector<HttpRule> HttpRulesOf(const google::protobuf::MethodDescriptor* method);

// An object that `expand=<name>` brings along beside its id.
struct Expansion {
  std::string name;                             // "listing" of listing_id
  const google::protobuf::FieldDescriptor* id;  // of the returned object, or of each entry of the page
  std::string rpc;                              // that returns the object by its request's field `id`
};

struct Route {
  HttpRule rule;
  const google::protobuf::MethodDescriptor* method;
  const type::MethodRules* rules;
  const google::protobuf::Message* request;  // prototype
  std::string service;                       // "operations"
  // The field that the body is; nullptr with body "*" or none.
  const google::protobuf::FieldDescriptor* body_field = nullptr;
  bool raw_body = false;  // that field is a google.api.HttpBody
  size_t body_limit = limits::kHttpBodyBytes;
  std::chrono::seconds deadline = limits::kCallDeadline;  // of the call
  struct Segment {
    std::string literal;
    const google::protobuf::FieldDescriptor* parameter = nullptr;
  };
  std::vector<Segment> segments;
  std::string verb;
  // Of a PUT or PATCH of an object: the route that GETs it. A PATCH always has one.
  const Route* read = nullptr;
  bool patch = false;
  // A dry run may be asked for: `validate_only` is a query parameter.
  bool dry_run = false;
  // The page's entries, if the answer is one: the field `data`.
  const google::protobuf::FieldDescriptor* page = nullptr;
  std::vector<Expansion> expansions;  // of a GET
  std::string scope;                  // "bookings:write": what a restricted credential needs
  bool Reads() const { return rule.method == "GET"; }
};

// The one RPC whose handler checks a signature over the HTTP body as it came.
bool IsSigned(const Route& route);

class RoutingTable {
 public:
  // The whole contract's. Ends the program if an option names a field that is not there, or two RPCs have one route.
  RoutingTable();

  struct Match {
    const Route* route = nullptr;
    std::vector<std::pair<const google::protobuf::FieldDescriptor*, std::string>> parameters;  // decoded
    std::string allow;       // when only the method does not fit: the methods that do, "GET, HEAD, PUT"
    bool malformed = false;  // bad percent-encoding
  };
  // `path` is percent-encoded; HEAD is GET; "%3A" before a verb is ":".
  Match Find(std::string_view method, std::string_view path) const;
  // The route alone; nullptr if there is none.
  const Route* Look(std::string_view method, std::string_view path) const;
  // The route that GETs what an RPC returns; nullptr if it has none.
  const Route* OfRpc(std::string_view rpc) const;
  // Of a path that is no route: the routes that were likely meant, "POST /v1/bookings/{id}:cancel"; never empty.
  std::vector<std::string> Near(std::string_view path) const;
  // The greatest body in bytes of a request; for paths that are no route the common limit.
  size_t BodyLimit(std::string_view method, std::string_view path) const;
  const std::vector<std::unique_ptr<Route>>& routes() const { return routes_; }

 private:
  void Add(const google::protobuf::MethodDescriptor* method, HttpRule rule);
  static void Describe(Route* route);
  void Relate();

  std::vector<std::unique_ptr<Route>> routes_;
  // By the second literal, "bookings"; the names are the routes' own.
  std::unordered_map<std::string_view, std::vector<const Route*>> by_name_;
};

}  // namespace millrace::gateway
