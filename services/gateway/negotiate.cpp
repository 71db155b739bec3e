// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/negotiate.h"

#include <algorithm>
#include <string>

#include "common/http/field_list.h"
#include "common/http/http.h"

namespace millrace::gateway {
namespace {

using http::Quality;
using http::TakePart;
using http::Trimmed;

// How closely a range names a type: 3 the type itself, 2 its family, 1 everything, 0 not at all.
int Closeness(std::string_view range, std::string_view type) {
  if (range == "*/*") return 1;
  if (http::SameName(range, type)) return 3;
  size_t slash = type.find('/');
  bool family = range.ends_with("/*") && http::SameName(range.substr(0, range.size() - 2), type.substr(0, slash));
  return family ? 2 : 0;
}

}  // namespace

bool Accepts(std::string_view accept, std::string_view media_type) {
  if (Trimmed(accept).empty()) return true;
  std::string_view type = Trimmed(media_type.substr(0, media_type.find(';')));
  int closest = 0;
  double quality = 0;
  while (!accept.empty()) {
    std::string_view part = TakePart(&accept, ',');
    std::string_view range = TakePart(&part, ';');
    int closeness = Closeness(range, type);
    if (closeness == 0 || closeness < closest) continue;
    double given = Quality(part);
    quality = closeness > closest ? given : std::max(quality, given);
    closest = closeness;
  }
  return quality > 0;
}

bool HasTag(std::string_view if_none_match, std::string_view etag) {
  if (if_none_match.empty() || etag.empty()) return false;
  if (Trimmed(if_none_match) == "*") return true;
  while (!if_none_match.empty()) {
    std::string_view part = TakePart(&if_none_match, ',');
    if (part.starts_with("W/")) part.remove_prefix(2);
    if (part.size() == etag.size() + 2 && part.front() == '"' && part.back() == '"' &&
        part.substr(1, etag.size()) == etag)
      return true;
  }
  return false;
}

}  // namespace millrace::gateway
