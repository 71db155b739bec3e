// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
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

namespace millrace::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using boost::system::error_code;
using OnChunk = std::function<bool(std::string_view)>;

struct Url {
  std::string host, port, prefix, authority;
};

Result<Url> ParseUrl(std::string_view text) {
  Url url;
  constexpr std::string_view kScheme = "http://";
  if (!text.starts_with(kScheme)) return Fail(Error::Internal("not an http:// address: " + std::string(text)));
  text.remove_prefix(kScheme.size());
  size_t slash = text.find('/');
  url.authority = text.substr(0, slash);
  if (slash != text.npos) url.prefix = text.substr(slash);
  if (url.prefix.ends_with('/')) url.prefix.pop_back();
  size_t bracket = url.authority.rfind(']');
  size_t colon = url.authority.rfind(':');
  bool has_port = colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  url.host = url.authority.substr(0, has_port ? colon : std::string::npos);
  url.port = has_port ? url.authority.substr(colon + 1) : "80";
  if (url.host.starts_with('[') && url.host.ends_with(']')) url.host = url.host.substr(1, url.host.size() - 2);
  if (url.host.empty() || url.port.empty()) return Fail(Error::Internal("an address without a host or port"));
  return url;
}

std::string RequestText(const Url& url, const Request& request) {
  std::string target = request.target;
  if (target.empty()) target = request.path + (request.query.empty() ? "" : "?" + request.query);
  std::string out = request.method + " " + url.prefix + target + " HTTP/1.1\r\n";
  if (!request.fields.Has("Host")) out += "Host: " + url.authority + "\r\n";
  for (const auto& [name, value] : request.fields.all()) {
    out += name + ": ";
    for (char c : value) out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
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

using ResponseParser = beast::http::response_parser<beast::http::buffer_body>;

// Reads the body piece by piece into `response`, or hands it over.
Task<Result<void>> ReadBody(beast::tcp_stream& stream, beast::flat_buffer& buffer, ResponseParser& parser,
                            OnChunk on_chunk, std::chrono::milliseconds timeout, Response* response) {
  std::array<char, 16 * 1024> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    if (on_chunk) stream.expires_after(timeout);
    error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    // async_read_some returns whenever something came, which a stream of events needs.
    co_await beast::http::async_read_some(stream, buffer, parser, token);
    if (error == beast::http::error::need_buffer) error = {};
    std::string_view got(piece.data(), piece.size() - parser.get().body().size);
    if (!got.empty() && on_chunk && !on_chunk(got)) co_return Result<void>();
    if (!got.empty() && !on_chunk) response->body.append(got);
    if (error) co_return Failed(error, "reading the answer");
  }
  co_return Result<void>();
}

Task<Result<Response>> Exchange(std::string base_url, Request request, std::chrono::milliseconds timeout,
                                OnChunk on_chunk) {
  MILLRACE_CO_TRY(Url url, ParseUrl(base_url));
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  auto deadline = std::chrono::steady_clock::now() + timeout;
  tcp::resolver::results_type addresses = co_await Resolve(url, timeout, &error);
  if (error) co_return Failed(error, "looking up " + url.host);

  Executor executor = co_await asio::this_coro::executor;
  beast::tcp_stream stream(executor);
  stream.expires_at(deadline);
  co_await stream.async_connect(addresses, token);
  if (error) co_return Failed(error, "connecting to " + url.authority);
  error_code ignored;
  stream.socket().set_option(tcp::no_delay(true), ignored);
  std::string text = RequestText(url, request);
  auto bytes = asio::buffer(text);
  co_await asio::async_write(stream, bytes, token);
  // A server may answer and close before it took the whole body: look for the answer all the same.
  bool cut_short = error == asio::error::broken_pipe || error == asio::error::connection_reset;
  if (error && !cut_short) co_return Failed(error, "sending to " + url.authority);

  beast::flat_buffer buffer;
  ResponseParser parser;
  parser.header_limit(64 * 1024);
  if (on_chunk) {
    parser.body_limit(boost::none);
  } else {
    parser.body_limit(limits::kImportBodyBytes);
  }
  if (request.method == "HEAD") parser.skip(true);
  co_await beast::http::async_read_header(stream, buffer, parser, token);
  if (error) co_return Failed(error, "waiting for " + url.authority);
  Response response;
  response.status = static_cast<int>(parser.get().result_int());
  for (const auto& field : parser.get())
    response.fields.Add(std::string(field.name_string()), std::string(field.value()));
  Result<void> body = co_await ReadBody(stream, buffer, parser, std::move(on_chunk), timeout, &response);
  if (!body) co_return std::unexpected<Error>(std::move(body).error());
  stream.socket().shutdown(tcp::socket::shutdown_both, ignored);
  co_return response;
}

}  // namespace

Task<Result<Response>> Fetch(std::string base_url, Request request, std::chrono::milliseconds timeout) {
  OnChunk none;
  Result<Response> response = co_await Exchange(std::move(base_url), std::move(request), timeout, std::move(none));
  co_return response;
}

Result<Response> FetchBlocking(const std::string& base_url, const Request& request, std::chrono::milliseconds timeout,
                               std::function<bool(std::string_view)> on_chunk) {
  asio::io_context context(1);
  Result<Response> answer = Fail(ErrorCode::kUnavailable);
  asio::co_spawn(context, Exchange(base_url, request, timeout, std::move(on_chunk)),
                 [&](std::exception_ptr failure, Result<Response> response) {
                   if (!failure) answer = std::move(response);
                 });
  context.run();
  return answer;
}

}  // namespace millrace::http
