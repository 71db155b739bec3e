// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/scopes.h"

#include <algorithm>

namespace millrace::gateway {

bool ScopeAllows(const std::set<std::string>& held, std::string_view wanted) {
  if (held.empty()) return true;
  size_t colon = wanted.find(':');
  std::string_view noun = wanted.substr(0, colon), act = wanted.substr(colon + 1);
  return std::ranges::any_of(held, [&](std::string_view scope) {
    size_t at = scope.find(':');
    if (at == scope.npos) return false;
    std::string_view its_noun = scope.substr(0, at), its_act = scope.substr(at + 1);
    bool covers = its_act == act || its_act == "*" || (its_act == "write" && act == "read");
    return covers && (its_noun == noun || its_noun == "*");
  });
}

}  // namespace millrace::gateway
