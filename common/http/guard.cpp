// SPDX-License-Identifier: Apache-2.0
#include "common/http/guard.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/base/limits.h"
#include "common/http/field_list.h"

namespace millrace::http {
namespace {

constexpr size_t kChunkOverheadBytes = 8 * 1024;

std::unexpected<Error> Malformed(std::string reason) {
  return Fail(ErrorCode::kMalformedHttp, {{"reason", std::move(reason)}});
}

constexpr std::string_view kMethods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
// The fields that say how the message is to be taken; null: not there.
struct Decisive {
  const std::string* host = nullptr;
  const std::string* length = nullptr;
  const std::string* transfer = nullptr;
  const std::string* encoding = nullptr;
  const std::string* expect = nullptr;
};

// Fields whose meaning would hang on which of two a program takes.
struct Singleton {
  std::string_view name;
  const std::string* Decisive::* kept = nullptr;
};
constexpr Singleton kSingletons[] = {{"Host", &Decisive::host},
                                     {"Content-Length", &Decisive::length},
                                     {"Transfer-Encoding", &Decisive::transfer},
                                     {"Content-Type"},
                                     {"Content-Encoding", &Decisive::encoding},
                                     {"Authorization"},
                                     {"Idempotency-Key"},
                                     {"If-Match"},
                                     {"If-None-Match"},
                                     {"Expect", &Decisive::expect},
                                     {"Last-Event-ID"},
                                     {"traceparent"},
                                     {"webhook-id"},
                                     {"webhook-timestamp"},
                                     {"webhook-signature"}};
static_assert(std::size(kSingletons) <= 32);

// No way out in the middle, so that it is compiled to whole registers of bytes.
bool IsVisible(std::string_view text) {
  bool bad = false;
  for (unsigned char c : text) bad |= ((c < 0x20) & (c != '\t')) | (c >= 0x7F);
  return !bad;
}

Result<Decisive> CheckFields(const Fields& fields) {
  Decisive found;
  uint32_t seen = 0;
  for (const auto& [name, value] : fields.all()) {
    if (name.find('_') != name.npos) return Malformed("field names may not hold an underscore: " + name);
    if (!IsVisible(value)) return Malformed("the value of " + name + " must be visible ASCII");
    for (size_t i = 0; i < std::size(kSingletons); ++i) {
      const Singleton& singleton = kSingletons[i];
      if (singleton.name.size() != name.size() || !SameName(singleton.name, name)) continue;
      if (seen & (1u << i)) return Malformed("the field " + std::string(singleton.name) + " may stand only once");
      seen |= 1u << i;
      if (singleton.kept) found.*singleton.kept = &value;
    }
  }
  if (!found.host || found.host->empty()) return Malformed("the field Host is missing");
  if (found.host->find_first_of("/@, \t?#") != std::string::npos) return Malformed("the field Host is not a host");
  return found;
}

Result<Framing> CheckFraming(const Head& head, const Decisive& fields) {
  Framing framing;
  if (fields.transfer) {
    if (!head.http11) return Malformed("HTTP/1.0 has no Transfer-Encoding");
    if (fields.length) return Malformed("Content-Length and Transfer-Encoding exclude each other");
    if (!SameName(*fields.transfer, "chunked")) return Malformed("the only Transfer-Encoding is chunked");
    framing.chunked = true;
  }
  if (fields.length) {
    const std::string& text = *fields.length;
    auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), framing.length);
    if (text.empty() || text.find_first_not_of("0123456789") != text.npos || fault != std::errc()) {
      return Malformed("Content-Length must be digits");
    }
  }
  bool bodiless = head.method == "GET" || head.method == "HEAD" || head.method == "OPTIONS";
  if (bodiless && (framing.chunked || framing.length > 0)) return Malformed(head.method + " has no body");
  if (fields.expect) {
    if (!SameName(*fields.expect, "100-continue")) return Malformed("the only Expect is 100-continue");
    framing.expects_continue = head.http11 && (framing.chunked || framing.length > 0);
  }
  return framing;
}

// RFC 9110 §5.6.2.
constexpr std::array<bool, 256> kToken = [] {
  std::array<bool, 256> table{};
  for (unsigned char c : std::string_view("!#$%&'*+-.^_`|~")) table[c] = true;
  for (int c = '0'; c <= '9'; ++c) table[static_cast<size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<size_t>(c)] = table[static_cast<size_t>(c - 32)] = true;
  return table;
}();

bool IsToken(std::string_view text) {
  for (unsigned char c : text) {
    if (!kToken[c]) return false;
  }
  return !text.empty();
}

// Takes a line with its CR LF off; the text holds at least one.
std::string_view Line(std::string_view* text) {
  size_t end = text->find("\r\n");
  std::string_view line = text->substr(0, end);
  text->remove_prefix(std::min(text->size(), end + 2));
  return line;
}

Result<void> ParseFirstLine(std::string_view line, Head* head) {
  size_t first = line.find(' '), last = line.rfind(' ');
  if (first == line.npos || first == last) return Malformed("the first line must be METHOD /target HTTP/1.1");
  std::string_view method = line.substr(0, first), target = line.substr(first + 1, last - first - 1);
  std::string_view version = line.substr(last + 1);
  if (!IsToken(method) || target.empty()) return Malformed("the first line must be METHOD /target HTTP/1.1");
  for (unsigned char c : target) {
    if (c <= 0x20 || c >= 0x7F || c == '#') return Malformed("the target must be percent-encoded");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Malformed("the version must be HTTP/1.1 or HTTP/1.0");
  head->http11 = version == "HTTP/1.1";
  head->method = method;
  head->target = target;
  return {};
}

// RFC 9112 §9.3: the options of every Connection field. False: one that is no token.
bool ReadConnection(std::string_view value, bool* close, bool* keep) {
  while (!value.empty()) {
    std::string_view option = TakePart(&value, ',');
    *close = *close || SameName(option, "close");
    *keep = *keep || SameName(option, "keep-alive");
    if (!option.empty() && !IsToken(option)) return false;
  }
  return true;
}

}  // namespace

Result<size_t> HeadLength(std::string_view received) {
  size_t begin = 0;  // of the line
  for (size_t at = received.find('\n'); at != received.npos; at = received.find('\n', begin)) {
    if (at > limits::kHttpHeaderBytes) break;
    if (at == 0 || received[at - 1] != '\r') return Malformed("lines end with CR LF");
    bool empty = at == begin + 1 && begin > 0;
    begin = at + 1;
    if (empty && begin <= limits::kHttpHeaderBytes) return begin;
    if (empty) break;
  }
  if (received.size() > limits::kHttpHeaderBytes) {
    return Fail(ErrorCode::kHeaderTooLarge, {{"max", std::to_string(limits::kHttpHeaderBytes)}});
  }
  return 0;
}

Result<Head> ParseHead(std::string_view text) {
  if (!text.ends_with("\r\n\r\n")) return Malformed("lines end with CR LF");
  Head head;
  MILLRACE_CHECK(ParseFirstLine(Line(&text), &head));
  head.fields.Reserve(12);
  bool close = false, keep = false;
  for (std::string_view line = Line(&text); !line.empty(); line = Line(&text)) {
    if (line.front() == ' ' || line.front() == '\t') return Malformed("a field may not be folded over lines");
    size_t colon = line.find(':');
    if (colon == line.npos || !IsToken(line.substr(0, colon))) return Malformed("a field's line must be Name: value");
    std::string_view name = line.substr(0, colon), value = Trimmed(line.substr(colon + 1));
    if (name.size() == 10 && SameName(name, "Connection") && !ReadConnection(value, &close, &keep))
      return Malformed("the options of Connection are tokens");
    head.fields.Add(std::string(name), std::string(value));
  }
  if (!text.empty()) return Malformed("a field's line must be Name: value");
  head.keep_alive = !close && (head.http11 || keep);
  return head;
}

Result<Framing> CheckHead(const Head& head) {
  MILLRACE_TRY(Decisive fields, CheckFields(head.fields));
  if (!head.target.starts_with('/')) return Malformed("the target must begin with /");
  MILLRACE_TRY(Framing framing, CheckFraming(head, fields));
  if (std::ranges::find(kMethods, head.method) == std::end(kMethods)) {
    return Fail(ErrorCode::kMethodNotAllowed, {{"allow", "GET, HEAD, POST, PUT, PATCH, DELETE"}});
  }
  if (fields.encoding && !fields.encoding->empty() && !SameName(*fields.encoding, "identity")) {
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
