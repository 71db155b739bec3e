// SPDX-License-Identifier: Apache-2.0
// The rules of webhooks: which URLs may be called, when an attempt is made again, and when an endpoint is given up.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace::notifications::domain {

// What an endpoint's URL says.
struct Url {
  bool https = false;
  std::string host;    // without brackets
  std::string base;    // "https://host:port", for a client
  std::string target;  // "/path?query"
};
// Errors: UNSAFE_URL with the reason, for the pointer: no http or https, a user or password in it, no host, a port out
// of range, a fragment, blanks or control characters.
Result<Url> ReadUrl(std::string_view text, std::string_view pointer);

// Whether an address may be called: every one in `allowed`, and by https every public one.
bool MayCall(bool https, std::string_view ip, const std::vector<Cidr>& allowed);
// Whether a URL whose host has these addresses may be registered: each must be one that may be called.
// Errors: UNSAFE_URL, for the pointer.
Result<void> CheckAddresses(const Url& url, const std::vector<std::string>& ips, const std::vector<Cidr>& allowed,
                            std::string_view pointer);

// The pauses before each attempt; when the last one has failed, after about 76 hours, the endpoint is disabled.
using Schedule = std::vector<std::chrono::seconds>;
Schedule StandardSchedule();  // 0 s, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h
// No receiver may ask for a longer pause.
inline constexpr std::chrono::hours kRetryAfterMax{24};

// What an attempt came to.
enum class Verdict { kSucceeded, kAgain, kRefused, kGone, kExhausted };
struct Judgement {
  Verdict verdict;
  Duration pause{0};  // before the next attempt, if kAgain
};
// `status`: 0 if no answer came. `attempts`: this one included. `jitter` in [-1, 1] moves a pause by up to a tenth; a
// receiver's Retry-After makes it longer, never shorter. A ping is attempted once, and kRefused then says that it
// failed.
Judgement Judge(bool ping, int attempts, int status, std::optional<std::chrono::seconds> retry_after,
                const Schedule& schedule, double jitter);

// Retry-After (RFC 9110 §10.2.3): seconds, or an HTTP date; nothing if it is neither. Not negative.
std::optional<std::chrono::seconds> ReadRetryAfter(std::string_view text, Time now);

// At most `bytes` of a text as PostgreSQL and JSON take it: no half characters, "?" for what is not UTF-8 or a control
// character other than tab and line feed.
std::string Excerpt(std::string_view text, size_t bytes);

}  // namespace millrace::notifications::domain
