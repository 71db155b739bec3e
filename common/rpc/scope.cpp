// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/scope.h"

#include <google/protobuf/descriptor.pb.h>

#include "google/api/annotations.pb.h"
#include "millrace/type/options.pb.h"

namespace millrace::rpc {
namespace {

std::string_view NounOf(std::string_view path) {
  if (!path.starts_with('/')) return {};
  size_t second = path.find('/', 1);
  if (second == path.npos) return {};
  path.remove_prefix(second + 1);
  return path.substr(0, path.find_first_of("/:"));
}

std::string_view PathOf(const google::api::HttpRule& rule) {
  for (const std::string* path : {&rule.get(), &rule.put(), &rule.post(), &rule.delete_(), &rule.patch()}) {
    if (!path->empty()) return *path;
  }
  return {};
}

}  // namespace

std::string ScopeOf(std::string_view http_method, std::string_view path) {
  std::string_view noun = NounOf(path);
  if (noun.empty()) return {};
  bool reads = http_method == "GET" || http_method == "HEAD";
  return std::string(noun) + (reads ? ":read" : ":write");
}

bool Covers(const std::set<std::string>& scopes, const std::string& needed) {
  if (scopes.empty() || scopes.contains("*:*") || scopes.contains(needed)) return true;
  size_t colon = needed.find(':');
  std::string noun = needed.substr(0, colon);
  std::string_view verb = std::string_view(needed).substr(colon + 1);
  if (scopes.contains(noun + ":*")) return true;
  // Writing is all that there is to do with a noun.
  if (verb == "*") return scopes.contains(noun + ":write");
  return verb == "read" && (scopes.contains("*:read") || scopes.contains(noun + ":write"));
}

Result<void> CheckScope(const std::set<std::string>& scopes, const std::string& needed) {
  if (needed.empty() || Covers(scopes, needed)) return {};
  return Fail(ErrorCode::kInsufficientScope, {{"roles", needed}});
}

std::set<std::string> NounsOf(std::string_view descriptor_set) {
  // Services' own routes that no RPC has: the stream is events:read, which the feed's route has too.
  std::set<std::string> nouns = {"events"};
  google::protobuf::FileDescriptorSet set;
  set.ParseFromArray(descriptor_set.data(), static_cast<int>(descriptor_set.size()));
  for (const auto& file : set.file()) {
    for (const auto& service : file.service()) {
      for (const auto& method : service.method()) {
        if (method.options().GetExtension(type::method).internal()) continue;
        std::string_view noun = NounOf(PathOf(method.options().GetExtension(google::api::http)));
        if (!noun.empty()) nouns.emplace(noun);
      }
    }
  }
  return nouns;
}

bool IsScope(const std::set<std::string>& nouns, std::string_view scope) {
  size_t colon = scope.find(':');
  if (colon == scope.npos) return false;
  std::string_view noun = scope.substr(0, colon), verb = scope.substr(colon + 1);
  if (noun == "*") return verb == "read" || verb == "*";
  return (verb == "read" || verb == "write" || verb == "*") && nouns.contains(std::string(noun));
}

}  // namespace millrace::rpc
