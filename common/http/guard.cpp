// SPDX-License-Identifier: Apache-2.0
#include "common/http/guard.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>

#include "common/base/limits.h"

namespace millrace::http {
namespace {

namespace beast = boost::beast;

constexpr size_t kChunkOverheadBytes = 8 * 1024;

bool SameName(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
  });
}

std::unexpected<Error> Malformed(std::string reason) {
  return Fail(ErrorCode::kMalformedHttp, {{"reason", std::move(reason)}});
}

size_t Count(const Fields& fields, std::string_view name) {
  return static_cast<size_t>(
      std::ranges::count_if(fields.all(), [&](const auto& field) { return SameName(field.first, name); }));
}

constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
// Fields whose meaning would hang on which of two a program takes.
constexpr std::string_view kSingletons[] = {
    "Host",          "Content-Length",  "Transfer-Encoding", "Content-Type",      "Content-Encoding",
    "Authorization", "Idempotency-Key", "If-Match",          "If-None-Match",     "Expect",
    "Last-Event-ID", "traceparent",     "webhook-id",        "webhook-timestamp", "webhook-signature"};

Result<void> CheckFields(const Fields& fields) {
  for (const auto& [name, value] : fields.all()) {
    if (name.find('_') != name.npos) return Malformed("field names may not hold an underscore: " + name);
    for (unsigned char c : value) {
      if ((c < 0x20 && c != '\t') || c >= 0x7F) return Malformed("the value of " + name + " must be visible ASCII");
    }
  }
  for (std::string_view name : kSingletons) {
    if (Count(fields, name) > 1) return Malformed("the field " + std::string(name) + " may stand only once");
  }
  std::string_view host = fields.Get("Host");
  if (host.empty()) return Malformed("the field Host is missing");
  if (host.find_first_of("/@, \t?#") != host.npos) return Malformed("the field Host is not a host");
  return {};
}

Result<Framing> CheckFraming(const Head& head) {
  Framing framing;
  bool has_length = head.fields.Has("Content-Length");
  if (head.fields.Has("Transfer-Encoding")) {
    if (!head.http11) return Malformed("HTTP/1.0 has no Transfer-Encoding");
    if (has_length) return Malformed("Content-Length and Transfer-Encoding exclude each other");
    if (!SameName(head.fields.Get("Transfer-Encoding"), "chunked"))
      return Malformed("the only Transfer-Encoding is chunked");
    framing.chunked = true;
  }
  if (has_length) {
    std::string_view text = head.fields.Get("Content-Length");
    auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), framing.length);
    if (text.empty() || text.find_first_not_of("0123456789") != text.npos || fault != std::errc()) {
      return Malformed("Content-Length must be digits");
    }
  }
  bool bodiless = head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS";
  if (bodiless && (framing.chunked || framing.length > 0)) return Malformed(head.method + " has no body");
  if (head.fields.Has("Expect")) {
    if (!SameName(head.fields.Get("Expect"), "100-continue")) return Malformed("the only Expect is 100-continue");
    framing.expects_continue = head.http11 && (framing.chunked || framing.length > 0);
  }
  return framing;
}

}  // namespace

Result<size_t> HeadLength(std::string_view received) {
  size_t end = received.find("\r\n\r\n");
  std::string_view head = received.substr(0, end == received.npos ? end : end + 4);
  for (size_t at = head.find('\n'); at != head.npos; at = head.find('\n', at + 1)) {
    if (at == 0 || head[at - 1] != '\r') return Malformed("lines end with CR LF");
  }
  if (head.size() > limits::kHttpHeaderBytes) {
    return Fail(ErrorCode::kHeaderTooLarge, {{"max", std::to_string(limits::kHttpHeaderBytes)}});
  }
  return end == received.npos ? 0 : end + 4;
}

Result<Head> ParseHead(std::string_view text) {
  // Beast joins folded lines silently, so they must be seen before it.
  if (text.find("\r\n ") != text.npos || text.find("\r\n\t") != text.npos)
    return Malformed("a field may not be folded over lines");
  beast::http::request_parser<beast::http::empty_body> parser;
  parser.header_limit(limits::kHttpHeaderBytes);
  parser.body_limit(boost::none);  // bodies are not its business
  parser.eager(false);
  beast::error_code error;
  parser.put(boost::asio::buffer(text.data(), text.size()), error);
  if (error || !parser.is_header_done()) return Malformed("the header is not HTTP/1.1: " + error.message());
  const auto& message = parser.get();
  if (message.version() != 11 && message.version() != 10) return Malformed("the version must be HTTP/1.1 or HTTP/1.0");
  Head head;
  head.method = std::string(message.method_string());
  head.target = std::string(message.target());
  head.http11 = message.version() == 11;
  head.keep_alive = message.keep_alive();
  for (const auto& field : message) head.fields.Add(std::string(field.name_string()), std::string(field.value()));
  return head;
}

Result<Framing> CheckHead(const Head& head) {
  MILLRACE_CHECK(CheckFields(head.fields));
  if (!head.target.starts_with('/')) return Malformed("the target must begin with /");
  for (unsigned char c : head.target) {
    if (c <= 0x20 || c >= 0x7F || c == '#') return Malformed("the target must be percent-encoded");
  }
  MILLRACE_TRY(Framing framing, CheckFraming(head));
  if (std::ranges::find(kMethods, head.method) == std::end(kMethods)) {
    return Fail(ErrorCode::kMethodNotImplemented, {{"method", head.method}});
  }
  std::string_view encoding = head.fields.Get("Content-Encoding");
  if (!encoding.empty() && !SameName(encoding, "identity")) {
    return Fail(ErrorCode::kUnsupportedMediaType, {{"accept", "no Content-Encoding"}});
  }
  return framing;
}

Result<size_t> ChunkedBody::Take(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size() && state_ != State::kDone) {
    if (state_ == State::kData) {
      size_t count = static_cast<size_t>(std::min<uint64_t>(size_, bytes.size() - at));
      body_.append(bytes.substr(at, count));
      size_ -= count;
      at += count;
      if (size_ == 0) state_ = State::kDataEnd1;
      continue;
    }
    MILLRACE_CHECK(Byte(bytes[at]));
    ++at;
  }
  return at;
}

Result<void> ChunkedBody::SizeLine(char c) {
  bool digit = c >= '0' && c <= '9';
  char lower = static_cast<char>(c | 0x20);
  if (digit || (lower >= 'a' && lower <= 'f')) {
    if (++digits_ > 15) return Malformed("a chunk's size is too great");
    size_ = size_ * 16 + static_cast<uint64_t>(digit ? c - '0' : lower - 'a' + 10);
    return {};
  }
  if (digits_ == 0) return Malformed("a chunk's size must be hexadecimal");
  if (c == '\r') {
    state_ = State::kSizeEnd;
  } else if (c == ';') {
    state_ = State::kExtension;
  } else {
    return Malformed("a chunk's size must be hexadecimal");
  }
  return {};
}

Result<void> ChunkedBody::SizeEnds() {
  digits_ = 0;
  if (size_ == 0) {
    state_ = State::kTrailer;
    return {};
  }
  if (size_ > limit_ - body_.size()) return Fail(ErrorCode::kPayloadTooLarge, {{"max", std::to_string(limit_)}});
  state_ = State::kData;
  return {};
}

Result<void> ChunkedBody::Byte(char c) {
  bool overhead = state_ == State::kExtension || state_ == State::kTrailer;
  if (overhead && ++overhead_ > kChunkOverheadBytes)
    return Malformed("chunk extensions and trailers hold more than 8 KiB");
  bool control = (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F;
  switch (state_) {
    case State::kSize:
      return SizeLine(c);
    case State::kExtension:
      if (c == '\r') {
        state_ = State::kSizeEnd;
      } else if (control) {
        return Malformed("a chunk extension holds a control character");
      }
      return {};
    case State::kSizeEnd:
      if (c != '\n') return Malformed("lines end with CR LF");
      return SizeEnds();
    case State::kDataEnd1:
      if (c != '\r') return Malformed("a chunk is longer than its size");
      state_ = State::kDataEnd2;
      return {};
    case State::kDataEnd2:
      if (c != '\n') return Malformed("a chunk is longer than its size");
      state_ = State::kSize;
      return {};
    case State::kTrailer:
      if (c == '\r') {
        state_ = State::kTrailerEnd;
      } else if (control) {
        return Malformed("a trailer holds a control character");
      } else {
        line_empty_ = false;
      }
      return {};
    case State::kTrailerEnd:
      if (c != '\n') return Malformed("lines end with CR LF");
      state_ = line_empty_ ? State::kDone : State::kTrailer;
      line_empty_ = true;
      return {};
    case State::kData:
    case State::kDone:
      return {};
  }
  return {};
}

}  // namespace millrace::http
