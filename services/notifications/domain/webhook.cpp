// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/domain/webhook.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "common/base/text.h"

namespace millrace::notifications::domain {
namespace {

using std::chrono::seconds;

std::unexpected<Error> Unsafe(std::string_view pointer, std::string reason) {
  return Fail(Error::At(std::string(pointer), ErrorCode::kUnsafeUrl, {{"reason", std::move(reason)}}));
}

// Digits alone, at most `max`; nothing otherwise.
std::optional<int64_t> ReadNumber(std::string_view text, int64_t max) {
  int64_t number = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  bool digits = !text.empty() && text.front() >= '0' && text.front() <= '9';
  if (!digits || error != std::errc() || end != text.data() + text.size() || number > max) return std::nullopt;
  return number;
}

bool HasScheme(std::string_view text, std::string_view scheme) {
  return text.size() > scheme.size() &&
         std::ranges::equal(text.substr(0, scheme.size()), scheme, {}, [](unsigned char c) { return std::tolower(c); });
}

// A name or IPv4 address: letters, digits, dots, hyphens and underscores; what else a resolver might take is no host.
bool IsHostName(std::string_view host) {
  return !host.empty() && host.size() <= 253 &&
         std::ranges::all_of(host, [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '-' || c == '_'; });
}

}  // namespace

Result<Url> ReadUrl(std::string_view text, std::string_view pointer) {
  if (std::ranges::any_of(text, [](unsigned char c) { return c <= 0x20 || c >= 0x7f || c == '\\'; }))
    return Unsafe(pointer, "blanks, control and non-ASCII characters must be percent-encoded");
  Url url;
  url.https = HasScheme(text, "https://");
  if (!url.https && !HasScheme(text, "http://")) return Unsafe(pointer, "it must begin with https://");
  text.remove_prefix(url.https ? 8 : 7);
  if (text.find('#') != text.npos) return Unsafe(pointer, "it may have no fragment");
  size_t end = std::min(text.find_first_of("/?"), text.size());
  std::string_view authority = text.substr(0, end);
  url.target = std::string(text.substr(end));
  if (!url.target.starts_with('/')) url.target = "/" + url.target;
  if (authority.find('@') != authority.npos) return Unsafe(pointer, "it may hold no user or password");
  std::string_view port;
  if (authority.starts_with('[')) {
    size_t bracket = authority.find(']');
    if (bracket == authority.npos || !IpAddress::Parse(authority.substr(1, bracket - 1)))
      return Unsafe(pointer, "the host is not valid");
    url.host = std::string(authority.substr(1, bracket - 1));
    port = authority.substr(bracket + 1);
  } else {
    size_t colon = std::min(authority.find(':'), authority.size());
    url.host = std::string(authority.substr(0, colon));
    port = authority.substr(colon);
    if (!IsHostName(url.host)) return Unsafe(pointer, "the host is not valid");
  }
  if (!port.empty() && (!port.starts_with(':') || ReadNumber(port.substr(1), 65535).value_or(0) == 0))
    return Unsafe(pointer, "the port must be 1 to 65535");
  url.base = (url.https ? "https://" : "http://") + std::string(authority);
  return url;
}

bool MayCall(bool https, std::string_view ip, const std::vector<Cidr>& allowed) {
  std::optional<IpAddress> address = IpAddress::Parse(ip);
  if (!address) return false;
  // What an address carries is what is reached.
  IpAddress reached = Unwrap(*address);
  if (std::ranges::any_of(allowed,
                          [&](const Cidr& block) { return block.Contains(reached) || block.Contains(*address); }))
    return true;
  return https && IsPublic(*address);
}

Result<void> CheckAddresses(const Url& url, const std::vector<std::string>& ips, const std::vector<Cidr>& allowed,
                            std::string_view pointer) {
  if (ips.empty()) return Unsafe(pointer, "the host has no address");
  for (const std::string& ip : ips) {
    if (MayCall(url.https, ip, allowed)) continue;
    if (!url.https && MayCall(true, ip, allowed)) return Unsafe(pointer, "it must begin with https://");
    return Unsafe(pointer, "the host's address is not public; webhook_allow_cidrs can allow it");
  }
  return {};
}

Schedule StandardSchedule() {
  using std::chrono::hours, std::chrono::minutes;
  return {seconds(0), seconds(5), minutes(5), minutes(30), hours(2),
          hours(5),   hours(10),  hours(14),  hours(20),   hours(24)};
}

Judgement Judge(bool ping, int attempts, int status, std::optional<seconds> retry_after, const Schedule& schedule,
                double jitter) {
  if (status >= 200 && status < 300) return {Verdict::kSucceeded};
  if (ping) return {Verdict::kRefused};
  if (status == 410) return {Verdict::kGone};
  if (attempts >= static_cast<int>(schedule.size())) return {Verdict::kExhausted};
  Duration pause = schedule[static_cast<size_t>(std::max(attempts, 1))];
  pause += Duration(static_cast<int64_t>(static_cast<double>(pause.count()) * std::clamp(jitter, -1.0, 1.0) / 10));
  if (retry_after) pause = std::max<Duration>(pause, std::min<Duration>(*retry_after, kRetryAfterMax));
  return {Verdict::kAgain, pause};
}

std::optional<seconds> ReadRetryAfter(std::string_view text, Time now) {
  if (auto number = ReadNumber(text, 1'000'000'000)) return seconds(*number);
  std::tm tm{};
  std::string whole(text);
  const char* end = strptime(whole.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm);
  if (!end || *end != '\0') return std::nullopt;
  auto then = std::chrono::sys_seconds(seconds(timegm(&tm)));
  return std::max(seconds(0), std::chrono::ceil<seconds>(then - now));
}

std::string Excerpt(std::string_view text, size_t bytes) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    size_t length = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    std::string_view character = text.substr(i, length);
    bool good = character.size() == length && IsUtf8(character) &&
                (length > 1 || (c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t');
    if (out.size() + (good ? length : 1) > bytes) break;
    if (good) {
      out += character;
      i += length;
    } else {
      // A carriage return ends a header's line; what is no text is shown as such.
      if (c != '\r') out += '?';
      ++i;
    }
  }
  return out;
}

}  // namespace millrace::notifications::domain
