// SPDX-License-Identifier: Apache-2.0
// What a request must be before anything sees it. One strict reader of RFC 9112's grammar, which refuses whatever two
// programs could read differently (request smuggling):
//   400 MALFORMED_HTTP
//     a first line that is not METHOD /target HTTP/1.1 (or 1.0) with single spaces; field lines that are not Name:
//     value; no Host or two; Transfer-Encoding other than one "chunked" on HTTP/1.1, or with Content-Length; two
//     Content-Length or one that is not digits; folded lines; a bare LF or CR; a repeated singleton field; field names
//     with an underscore; control bytes and bytes >= 0x7F in targets and values; targets that do not begin with "/";
//     bodies on GET, HEAD and OPTIONS; an Expect other than 100-continue; options of Connection that are no tokens; bad
//     chunks; chunk extensions and trailers of more than 8 KiB together
//   431 HEADER_TOO_LARGE  413 PAYLOAD_TOO_LARGE  415 UNSUPPORTED_MEDIA_TYPE (a Content-Encoding)
//   405 METHOD_NOT_ALLOWED: one that HTTP/JSON has no use for; no 501, for it is the client's fault
// After each of them the connection is closed and what followed is not parsed. Trailers are read over and never looked
// at. tests/fuzz/http_guard.cpp holds what passes against Boost.Beast's reading.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/http/http.h"

namespace millrace::http {

// The header of a request.
struct Head {
  std::string method, target;
  bool http11 = true;
  bool keep_alive = true;
  Fields fields;
};

// How the body is framed.
struct Framing {
  bool chunked = false;
  uint64_t length = 0;  // unless chunked
  bool expects_continue = false;
};

// Bytes of the header in `received`, with its empty line; 0 while it is not complete.
// Errors: HEADER_TOO_LARGE; MALFORMED_HTTP at a bare LF.
Result<size_t> HeadLength(std::string_view received);
// `text` is a whole header with its empty line. Errors: MALFORMED_HTTP.
Result<Head> ParseHead(std::string_view text);
// The rules above. Errors as listed there, but for sizes.
Result<Framing> CheckHead(const Head& head);

// Decodes a chunked body as it comes.
class ChunkedBody {
 public:
  explicit ChunkedBody(size_t limit) : limit_(limit) {}
  // Takes what it can of `bytes` and returns how much that was; all of it unless done() is true afterwards.
  // Errors: MALFORMED_HTTP, PAYLOAD_TOO_LARGE.
  Result<size_t> Take(std::string_view bytes);
  bool done() const { return state_ == State::kDone; }
  std::string& body() { return body_; }

 private:
  enum class State { kSize, kExtension, kSizeEnd, kData, kDataEnd1, kDataEnd2, kTrailer, kTrailerEnd, kDone };
  Result<void> Byte(char c);
  Result<void> SizeLine(char c);
  Result<void> SizeEnds();

  size_t limit_;
  State state_ = State::kSize;
  uint64_t size_ = 0;       // of the chunk; then what is left of it
  int digits_ = 0;          // of the size
  size_t overhead_ = 0;     // bytes of extensions and trailers
  bool line_empty_ = true;  // the trailer line so far
  std::string body_;
};

}  // namespace millrace::http
