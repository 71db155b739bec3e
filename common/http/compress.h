// SPDX-License-Identifier: Apache-2.0
// gzip of answers (RFC 9110 §12.5.3). Stays within common/http.
//
// A compressed answer is another representation than the plain one, byte for byte, so a strong ETag may not be the
// same: "v3" goes out as "v3-gzip". Making it weak instead would cost If-Match, which compares strongly. Conditions
// that name either are taken: the suffix is taken off before a handler sees them.
#pragma once

#include <string>
#include <string_view>

#include "common/http/http.h"

namespace millrace::http {

// Bodies below this are not worth it.
inline constexpr size_t kGzipLeast = 1024;
// Up to this much is compressed on the loop (about 0.3 ms); longer bodies on ServerOptions::compute, or not at all.
inline constexpr size_t kGzipOnLoop = 16 * 1024;

// Whether the Accept-Encoding fields prefer gzip, or anything, to the body as it is. A weight that is no number counts
// as 0.
bool AcceptsGzip(const Fields& request);
// Whether the answer is text long enough, not encoded yet, and may be transformed.
bool WorthGzip(const Response& response);
// Compresses. Runs on any thread.
std::string Gzip(std::string_view plain);
// Says in the answer's fields that its body is gzip now.
void MarkGzip(Fields* fields);
// Takes "-gzip" off the tags of If-Match and If-None-Match; true if If-None-Match had one.
bool StripGzipTags(Fields* request);
// "v3" → "v3-gzip"; weak tags stay.
void AddGzipTag(Fields* response);

}  // namespace millrace::http
