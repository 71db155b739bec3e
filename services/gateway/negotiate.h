// SPDX-License-Identifier: Apache-2.0
// What a client is willing to get (RFC 9110 §12.5.1), and what it has already (§13.1.2).
#pragma once

#include <string_view>

namespace millrace::gateway {

// Whether the Accept header allows a media type ("text/csv; charset=utf-8"); an absent one allows all. The most
// specific range decides; q=0 refuses. A range that is not well formed counts as none.
bool Accepts(std::string_view accept, std::string_view media_type);
// Weak comparison of If-None-Match with an entity tag without quotes: whether the client has it.
bool HasTag(std::string_view if_none_match, std::string_view etag);

}  // namespace millrace::gateway
