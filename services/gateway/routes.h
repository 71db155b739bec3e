// SPDX-License-Identifier: Apache-2.0
// Which RPC a method and path name: built from the google.api.http options of the contract.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
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
HttpRule HttpRuleOf(const google::protobuf::MethodDescriptor* method);

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
};

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
  // Of a path that is no route: the routes that were likely meant, "POST /v1/bookings/{id}:cancel"; never empty.
  std::vector<std::string> Near(std::string_view path) const;
  // The greatest body in bytes of a request; for paths that are no route the common limit.
  size_t BodyLimit(std::string_view method, std::string_view path) const;
  const std::vector<std::unique_ptr<Route>>& routes() const { return routes_; }

 private:
  void Add(const google::protobuf::MethodDescriptor* method);

  std::vector<std::unique_ptr<Route>> routes_;
  std::multimap<std::pair<size_t, std::string>, const Route*> by_shape_;  // number of segments, second literal
};

}  // namespace millrace::gateway
