// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include "common/base/limits.h"
#include "common/http/http.h"
#include "common/http/tls.h"
#include "common/telemetry/call.h"
#include "common/telemetry/span.h"

namespace millrace::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;
using OnChunk = std::function<bool(std::string_view)>;
using Clock = std::chrono::steady_clock;
using TlsStream = asio::ssl::stream<beast::tcp_stream>;

// Interim answers (100, 103) before the answer; more of them are no honest server's.
constexpr int kInterimAnswersMax = 8;

struct Url {
  std::string host, port, prefix, authority;
  bool tls = false;
};

Result<Url> ParseUrl(std::string_view text) {
  Url url;
  url.tls = text.starts_with("https://");
  if (!url.tls && !text.starts_with("http://"))
    return Fail(Error::Internal("not an http:// or https:// address: " + std::string(text)));
  text.remove_prefix(url.tls ? 8 : 7);
  size_t slash = text.find('/');
  url.authority = text.substr(0, slash);
  if (slash != text.npos) url.prefix = text.substr(slash);
  if (url.prefix.ends_with('/')) url.prefix.pop_back();
  size_t bracket = url.authority.rfind(']');
  size_t colon = url.authority.rfind(':');
  bool has_port = colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  url.host = url.authority.substr(0, has_port ? colon : std::string::npos);
  url.port = has_port ? url.authority.substr(colon + 1) : url.tls ? "443" : "80";
  if (url.host.starts_with('[') && url.host.ends_with(']')) url.host = url.host.substr(1, url.host.size() - 2);
  if (url.host.empty() || url.port.empty()) return Fail(Error::Internal("an address without a host or port"));
  auto unsafe = [](unsigned char c) { return c <= 0x20 || c >= 0x7F || c == '@'; };
  if (std::ranges::any_of(url.authority, unsafe)) return Fail(Error::Internal("an address with more than host:port"));
  bool digits = url.port.size() <= 5 && url.port.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::atoi(url.port.c_str()) > 65535) return Fail(Error::Internal("not a port: " + url.port));
  return url;
}

// A control character would let one line become two.
void AppendClean(std::string* out, std::string_view text) {
  for (unsigned char c : text) *out += c < 0x20 || c == 0x7F ? ' ' : static_cast<char>(c);
}

Result<std::string> RequestText(const Url& url, const Request& request) {
  std::string target = request.target;
  if (target.empty()) target = request.path + (request.query.empty() ? "" : "?" + request.query);
  std::string line = request.method + " " + url.prefix + target;
  auto unsafe = [](unsigned char c) { return c < 0x20 || c == 0x7F; };
  bool spaced = std::ranges::count(line, ' ') != 1;
  if (spaced || std::ranges::any_of(line, unsafe)) return Fail(Error::Internal("not a request target: " + target));
  std::string out = line + " HTTP/1.1\r\n";
  if (!request.fields.Has("Host")) out += "Host: " + url.authority + "\r\n";
  for (const auto& [name, value] : request.fields.all()) {
    AppendClean(&out, name);
    out += ": ";
    AppendClean(&out, value);
    out += "\r\n";
  }
  bool may_have_body = request.method != "GET" && request.method != "HEAD";
  if (may_have_body || !request.body.empty()) out += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  return out + "Connection: close\r\n\r\n" + request.body;
}

std::unexpected<Error> Failed(const error_code& error, const std::string& what) {
  bool late = error == beast::error::timeout;
  Error failure(late ? ErrorCode::kDeadlineExceeded : ErrorCode::kUnavailable);
  failure.cause = what + ": " + error.message();
  return Fail(std::move(failure));
}

// The addresses of a name, in time; literal addresses need no resolver.
Task<tcp::resolver::results_type> Resolve(Url url, std::chrono::milliseconds timeout, error_code* error) {
  Executor executor = co_await asio::this_coro::executor;
  error_code no_literal;
  auto literal = asio::ip::make_address(url.host, no_literal);
  if (!no_literal) {
    tcp::endpoint endpoint(literal, static_cast<unsigned short>(std::atoi(url.port.c_str())));
    co_return tcp::resolver::results_type::create(endpoint, url.host, url.port);
  }
  auto resolver = std::make_shared<tcp::resolver>(executor);
  asio::steady_timer timer(executor, timeout);
  timer.async_wait([resolver](error_code cancelled) {
    if (!cancelled) resolver->cancel();
  });
  auto token = asio::redirect_error(asio::use_awaitable, *error);
  tcp::resolver::results_type found = co_await resolver->async_resolve(url.host, url.port, token);
  timer.cancel();
  if (*error == asio::error::operation_aborted) *error = beast::error::timeout;
  co_return found;
}

// The address in text, without a zone; an IPv4 address that is mapped into IPv6 is that IPv4 address.
std::string AddressText(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  asio::ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  v6.scope_id(0);
  return v6.to_string();
}

// Where to connect to: every address of the name must be allowed, or whoever answers for the name could choose.
Result<std::vector<tcp::endpoint>> Allowed(const tcp::resolver::results_type& found, const FetchOptions& options,
                                           const Url& url) {
  std::vector<tcp::endpoint> endpoints;
  for (const auto& entry : found) {
    std::string address = AddressText(entry.endpoint().address());
    if (options.may_connect && !options.may_connect(address)) {
      Error refused(ErrorCode::kUnsafeUrl, {{"field", "url"}, {"reason", "it leads to an address that is not public"}});
      refused.cause = url.authority + " leads to " + address;
      return Fail(std::move(refused));
    }
    endpoints.push_back(entry.endpoint());
  }
  return endpoints;
}

// Connects to exactly one of the addresses; the name is not looked up again. Each address gets its share of the time.
Task<error_code> Connect(beast::tcp_stream& stream, std::vector<tcp::endpoint> endpoints, Clock::time_point deadline) {
  error_code error = asio::error::host_not_found;
  for (size_t i = 0; i < endpoints.size(); ++i) {
    auto left = deadline - Clock::now();
    if (left <= left.zero()) co_return beast::error::timeout;
    tcp::endpoint endpoint = endpoints[i];
    error = {};
    auto token = asio::redirect_error(asio::use_awaitable, error);
    stream.expires_after(left / static_cast<int>(endpoints.size() - i));
    co_await stream.async_connect(endpoint, token);
    if (!error) break;
    stream.close();
  }
  if (!error) stream.expires_at(deadline);
  co_return error;
}

using ResponseParser = beast::http::response_parser<beast::http::buffer_body>;

// One request and its answer over a connected stream. References outlive the coroutine: its caller awaits it.
template <class Stream>
class Conversation {
 public:
  Conversation(Stream& stream, const Url& url, const Request& request, const FetchOptions& options, OnChunk on_chunk)
      : stream_(stream), url_(url), request_(request), options_(options), on_chunk_(std::move(on_chunk)) {}

  Task<Result<Response>> Run() {
    MILLRACE_CO_TRY(std::string text, RequestText(url_, request_));
    error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    auto bytes = asio::buffer(text);
    co_await asio::async_write(stream_, bytes, token);
    // A server may answer and close before it took the whole body: look for the answer all the same.
    bool cut_short = error == asio::error::broken_pipe || error == asio::error::connection_reset;
    if (error && !cut_short) co_return Failed(error, "sending to " + url_.authority);
    for (int i = 0; i < kInterimAnswersMax; ++i) {
      ResponseParser parser;
      Result<Response> head = co_await ReadHead(parser);
      if (!head) co_return std::unexpected<Error>(std::move(head).error());
      if (head->status < 200 && head->status != 101) continue;
      Response response = *std::move(head);
      Result<void> body = co_await ReadBody(parser, &response);
      if (!body) co_return std::unexpected<Error>(std::move(body).error());
      co_return response;
    }
    Error endless(ErrorCode::kUnavailable);
    endless.cause = "only interim answers from " + url_.authority;
    co_return Fail(std::move(endless));
  }

 private:
  Task<Result<Response>> ReadHead(ResponseParser& parser) {
    parser.header_limit(64 * 1024);
    if (on_chunk_) {
      parser.body_limit(boost::none);
    } else {
      parser.body_limit(options_.answer_bytes);
    }
    if (request_.method == "HEAD") parser.skip(true);
    error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await beast::http::async_read_header(stream_, buffer_, parser, token);
    if (error) co_return Failed(error, "waiting for " + url_.authority);
    Response response;
    response.status = static_cast<int>(parser.get().result_int());
    for (const auto& field : parser.get())
      response.fields.Add(std::string(field.name_string()), std::string(field.value()));
    co_return response;
  }

  // Reads the body piece by piece into `response`, or hands it over.
  Task<Result<void>> ReadBody(ResponseParser& parser, Response* response) {
    std::vector<char> piece(16 * 1024);
    while (!parser.is_done()) {
      parser.get().body().data = piece.data();
      parser.get().body().size = piece.size();
      if (on_chunk_) beast::get_lowest_layer(stream_).expires_after(options_.timeout);
      error_code error;
      auto token = asio::redirect_error(asio::use_awaitable, error);
      // async_read_some returns whenever something came, which a stream of events needs.
      co_await beast::http::async_read_some(stream_, buffer_, parser, token);
      if (error == beast::http::error::need_buffer) error = {};
      std::string_view got(piece.data(), piece.size() - parser.get().body().size);
      if (!got.empty() && on_chunk_ && !on_chunk_(got)) co_return Result<void>();
      if (!got.empty() && !on_chunk_) response->body.append(got);
      if (error) co_return Failed(error, "reading the answer");
    }
    co_return Result<void>();
  }

  Stream& stream_;
  const Url& url_;
  const Request& request_;
  const FetchOptions& options_;
  OnChunk on_chunk_;
  beast::flat_buffer buffer_;
};

// The same inside TLS: the peer proves that it is the host of the address, by name or by IP address.
Task<Result<Response>> ConverseSecurely(beast::tcp_stream& stream, const Url& url, const Request& request,
                                        const FetchOptions& options, OnChunk on_chunk) {
  MILLRACE_CO_TRY(TlsContext context, ClientTls(options.ca_file));
  SSL_CTX_up_ref(context.get());
  asio::ssl::context shared(context.get());  // takes over that reference
  TlsStream tls(std::move(stream), shared);
  error_code no_literal;
  asio::ip::make_address(url.host, no_literal);
  if (no_literal) SSL_set_tlsext_host_name(tls.native_handle(), url.host.c_str());
  tls.set_verify_mode(options.any_certificate ? asio::ssl::verify_none : asio::ssl::verify_peer);
  tls.set_verify_callback(asio::ssl::host_name_verification(url.host));
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await tls.async_handshake(asio::ssl::stream_base::client, token);
  if (error) co_return Failed(error, "TLS with " + url.authority);
  Conversation<TlsStream> conversation(tls, url, request, options, std::move(on_chunk));
  Result<Response> response = co_await conversation.Run();
  co_return response;
}

Task<Result<Response>> Exchange(std::string base_url, Request request, FetchOptions options, OnChunk on_chunk) {
  MILLRACE_CO_TRY(Url url, ParseUrl(base_url));
  auto deadline = Clock::now() + options.timeout;
  error_code error;
  tcp::resolver::results_type found = co_await Resolve(url, options.timeout, &error);
  if (error) co_return Failed(error, "looking up " + url.host);
  MILLRACE_CO_TRY(std::vector<tcp::endpoint> endpoints, Allowed(found, options, url));
  Executor executor = co_await asio::this_coro::executor;
  beast::tcp_stream stream(executor);
  error = co_await Connect(stream, std::move(endpoints), deadline);
  if (error) co_return Failed(error, "connecting to " + url.authority);
  error_code ignored;
  stream.socket().set_option(tcp::no_delay(true), ignored);
  if (url.tls) {
    Result<Response> response = co_await ConverseSecurely(stream, url, request, options, std::move(on_chunk));
    co_return response;
  }
  Conversation<beast::tcp_stream> conversation(stream, url, request, options, std::move(on_chunk));
  Result<Response> response = co_await conversation.Run();
  stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
  co_return response;
}

}  // namespace

Task<Result<Response>> Fetch(std::string base_url, Request request, FetchOptions options) {
  OnChunk none;
  // The request belongs to the running call; while it waits, the loop works for others.
  std::string trace(telemetry::CurrentCall().Traceparent());
  telemetry::Span span("HTTP " + request.method, telemetry::SpanKind::kClient, trace);
  span.Set("server.address", base_url);
  if (!trace.empty() && !request.fields.Has("traceparent")) request.fields.Set("traceparent", span.Traceparent(trace));
  telemetry::CallScope others{telemetry::Call()};
  Result<Response> response =
      co_await Exchange(std::move(base_url), std::move(request), std::move(options), std::move(none));
  if (response) span.Set("http.response.status_code", std::to_string(response->status));
  if (!response) span.Fail(Name(response.error().code));
  co_return response;
}

Task<Result<Response>> Fetch(std::string base_url, Request request, std::chrono::milliseconds timeout) {
  FetchOptions options;
  options.timeout = timeout;
  return Fetch(std::move(base_url), std::move(request), std::move(options));
}

Result<Response> FetchBlocking(const std::string& base_url, const Request& request, FetchOptions options,
                               std::function<bool(std::string_view)> on_chunk) {
  asio::io_context context(1);
  Result<Response> answer = Fail(ErrorCode::kUnavailable);
  asio::co_spawn(context, Exchange(base_url, request, std::move(options), std::move(on_chunk)),
                 [&](std::exception_ptr failure, Result<Response> response) {
                   if (!failure) answer = std::move(response);
                 });
  context.run();
  return answer;
}

Result<Response> FetchBlocking(const std::string& base_url, const Request& request, std::chrono::milliseconds timeout,
                               std::function<bool(std::string_view)> on_chunk) {
  FetchOptions options;
  options.timeout = timeout;
  return FetchBlocking(base_url, request, std::move(options), std::move(on_chunk));
}

}  // namespace millrace::http
