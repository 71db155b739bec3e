// SPDX-License-Identifier: Apache-2.0
#include "common/base/state_table.h"

namespace millrace {

std::vector<std::string_view> ActorNames(uint8_t actors) {
  std::vector<std::string_view> names;
  if (actors & kProvider) names.push_back("provider");
  if (actors & kBuyer) names.push_back("buyer");
  if (actors & kOperator) names.push_back("operator");
  if (actors & kSystem) names.push_back("system");
  if (actors & kAdmin) names.push_back("admin");
  if (actors & kMember) names.push_back("member");
  return names;
}

}  // namespace millrace
