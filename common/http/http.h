// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 in the words of this program; Beast stays behind client.cpp and head_text.cpp, Asio behind this folder.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/async/task.h"
#include "common/base/limits.h"
#include "common/base/result.h"

namespace millrace {
class ThreadPool;
}

namespace millrace::http {

// Whether two names are the same without regard to (ASCII) case.
bool SameName(std::string_view a, std::string_view b);

// Header fields in order; names compare without case.
class Fields {
 public:
  std::string_view Get(std::string_view name) const;  // the first; empty if there is none
  bool Has(std::string_view name) const;
  // Replaces the first of that name, or appends.
  void Set(std::string_view name, std::string value);
  void Add(std::string name, std::string value) { all_.emplace_back(std::move(name), std::move(value)); }
  void Reserve(size_t count) { all_.reserve(count); }
  const std::vector<std::pair<std::string, std::string>>& all() const { return all_; }

 private:
  std::vector<std::pair<std::string, std::string>> all_;
};

// A request that passed the guard. The fields are those of the header, never of trailers.
struct Request {
  std::string method;  // "GET"
  std::string target;  // as sent: "/v1/bookings?page_size=5"
  std::string path;    // before "?", still percent-encoded
  std::string query;   // after "?", still percent-encoded
  Fields fields;
  std::string body;
  std::string peer;  // IP address
};

// Writes a body whose end is not known, in chunks. False when the client is gone or the server drains.
class BodyWriter {
 public:
  virtual ~BodyWriter() = default;
  virtual Task<bool> Write(std::string bytes) = 0;
  virtual bool closed() const = 0;
};

struct Response {
  int status = 200;
  Fields fields;
  std::string body;
  // Instead of body: called once the header is out.
  std::function<Task<void>(std::shared_ptr<BodyWriter>)> stream;
  // Closes the connection without an answer: for a program that plays a failing peer.
  bool drop = false;
};

using Handler = std::function<Task<Response>(Request)>;

struct ServerOptions {
  std::string address = "127.0.0.1";
  int port = 0;  // 0: any free one
  // Greatest body of a request, by method and path: routes that take files allow more. The header is known, the body
  // not read yet.
  std::function<size_t(std::string_view method, std::string_view path)> body_limit;
  // Asked with the header alone (Request::body is empty) before a body is read whose limit is above
  // limits::kHttpBodyBytes: a response refuses the request, and the connection is closed with the body unread.
  std::function<Task<std::optional<Response>>(Request head)> admit;
  std::chrono::seconds header_timeout{10};
  std::chrono::seconds body_timeout{30};
  std::chrono::seconds idle_timeout{75};
  // A peer that takes nothing of an answer for this long is cut off, and one that is slower than 16 KiB/s after it.
  std::chrono::seconds write_timeout{30};
  // Of all peers together, and of one (an IPv6 peer is its /64). What is more is answered with 503, UNAVAILABLE or
  // TOO_MANY_CONNECTIONS (in TLS: not at all), and closed.
  int connections_max = 4096;
  int connections_per_peer = 512;
  // PEM files; with them the server speaks TLS 1.2 and 1.3 alone. Looked at each second: a changed pair serves the
  // connections that come then; one that cannot be used is logged, and the old one stays.
  std::string tls_certificate, tls_key;
  // Where long answers are compressed. Without it those of more than 16 KiB go out as they are.
  ThreadPool* compute = nullptr;
};

// Where to listen, from "host:port": localhost is 127.0.0.1, an IPv6 address stands in brackets.
void SetAddress(std::string_view host_port, ServerOptions* options);

// A server on one loop. Requests of a connection are answered one after the other, in order; what a client sends ahead
// waits in a buffer of at most 32 KiB. Answers of text of 1 KiB or more are compressed for those who accept gzip
// (common/http/compress.h). What the guard refuses (docs: common/http/guard.h) is answered with a problem document, and
// the connection is closed with nothing after it parsed.
class Server {
 public:
  Server(Executor executor, ServerOptions options, Handler handler);
  ~Server();
  // The bound port. Errors: INTERNAL, with a cause that names the address.
  Result<int> Start();
  // Stops accepting, lets requests in flight finish (Connection: close) for at most `grace`, closes the rest, ends
  // streams.
  Task<void> Drain(std::chrono::milliseconds grace);

 private:
  friend struct ServerLife;
  struct State;
  std::shared_ptr<State> state_;
};

struct FetchOptions {
  std::chrono::milliseconds timeout{10'000};  // for the whole exchange, looking up the name included
  // Asked with every address that the host's name leads to, as text ("192.0.2.1", "2001:db8::1"; an IPv4 address mapped
  // into IPv6 as IPv4), when the connection is about to be made: the connection goes to one of these addresses and no
  // other. Empty: any.
  std::function<bool(const std::string& ip)> may_connect;
  std::string ca_file;  // authorities that https trusts (PEM); empty: the system's
  bool any_certificate =
      false;  // https without knowing whom it speaks to: only for a person's receiver under development
  size_t answer_bytes = limits::kImportBodyBytes;
};

// One request to http:// or https://host:port/target; a connection of its own. https: TLS 1.2 or 1.3, the chain and the
// host's name (or IP address) verified. Redirects are answers, never followed. Errors: UNAVAILABLE (not sent, not
// trusted, no answer or a longer one than `answer_bytes`: outcome unknown), DEADLINE_EXCEEDED after `timeout`,
// UNSAFE_URL (may_connect refused an address; nothing was sent).
Task<Result<Response>> Fetch(std::string base_url, Request request, FetchOptions options);
Task<Result<Response>> Fetch(std::string base_url, Request request, std::chrono::milliseconds timeout);
// The same on the calling thread, for the command line. With `on_chunk` the body is handed over as it comes, however
// long, and `timeout` is that of each piece; false ends it.
Result<Response> FetchBlocking(const std::string& base_url, const Request& request, FetchOptions options,
                               std::function<bool(std::string_view)> on_chunk = nullptr);
Result<Response> FetchBlocking(const std::string& base_url, const Request& request, std::chrono::milliseconds timeout,
                               std::function<bool(std::string_view)> on_chunk = nullptr);

// Percent-decoding; nothing if the text is malformed or decodes to bad UTF-8.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space);
std::string PercentEncode(std::string_view text);
// Decoded pairs in order. Errors: INVALID_QUERY.
Result<std::vector<std::pair<std::string, std::string>>> ParseQuery(std::string_view query);

// Where the page of an error code stands: "/problems/booking-conflict" of "BOOKING_CONFLICT".
std::string ProblemType(std::string_view code);
// An error as application/problem+json (RFC 9457) in the language, with Content-Language, Request-Id, and where the
// code asks for them WWW-Authenticate, Retry-After or Allow. `strip` is a pointer prefix that the client does not know:
// "#/listing".
Response Problem(const Error& error, Language language, std::string_view request_id, std::string_view strip = {});
// The language that Accept-Language prefers: zh unless en stands before it.
Language PreferredLanguage(std::string_view accept_language);

}  // namespace millrace::http
