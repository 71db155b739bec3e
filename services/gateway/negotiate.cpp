// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/negotiate.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string>

namespace millrace::gateway {
namespace {

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The text before `separator`; `rest` becomes what stands behind it.
std::string_view Take(std::string_view* rest, char separator) {
  size_t at = rest->find(separator);
  std::string_view part = Trimmed(rest->substr(0, at));
  *rest = at == rest->npos ? std::string_view() : rest->substr(at + 1);
  return part;
}

bool SameText(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

double Quality(std::string_view parameters) {
  double quality = 1;
  while (!parameters.empty()) {
    std::string_view each = Take(&parameters, ';');
    if (each.size() < 2 || (each[0] != 'q' && each[0] != 'Q') || each[1] != '=') continue;
    auto [end, fault] = std::from_chars(each.data() + 2, each.data() + each.size(), quality);
    if (fault != std::errc() || end != each.data() + each.size()) quality = 0;
  }
  return quality;
}

// How closely a range names a type: 3 the type itself, 2 its family, 1 everything, 0 not at all.
int Closeness(std::string_view range, std::string_view type) {
  if (range == "*/*") return 1;
  if (SameText(range, type)) return 3;
  size_t slash = type.find('/');
  bool family = range.ends_with("/*") && SameText(range.substr(0, range.size() - 2), type.substr(0, slash));
  return family ? 2 : 0;
}

}  // namespace

bool Accepts(std::string_view accept, std::string_view media_type) {
  if (Trimmed(accept).empty()) return true;
  std::string_view type = Trimmed(media_type.substr(0, media_type.find(';')));
  int closest = 0;
  double quality = 0;
  while (!accept.empty()) {
    std::string_view part = Take(&accept, ',');
    std::string_view range = Take(&part, ';');
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
    std::string_view part = Take(&if_none_match, ',');
    if (part.starts_with("W/")) part.remove_prefix(2);
    if (part.size() == etag.size() + 2 && part.front() == '"' && part.back() == '"' &&
        part.substr(1, etag.size()) == etag)
      return true;
  }
  return false;
}

}  // namespace millrace::gateway
