// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/status.hpp>
#include <cstdio>
#include <ctime>
#include <set>

#include "common/base/id.h"
#include "common/base/limits.h"
#include "common/http/guard.h"
#include "common/http/http.h"
#include "common/telemetry/log.h"

namespace millrace::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// How often deadlines are looked at; they are that much late at most.
constexpr std::chrono::milliseconds kSweep{200};
// A body must come faster than this once body_timeout is over.
constexpr uint64_t kBodyBytesPerSecond = 16 * 1024;
constexpr std::chrono::seconds kLinger{1};

struct Connection {
  explicit Connection(tcp::socket s) : socket(std::move(s)) {}
  tcp::socket socket;
  std::string peer;
  std::string buffer;  // received and not parsed yet
  std::array<char, 16 * 1024> chunk;
  Clock::time_point deadline = Clock::time_point::max();
  bool timed_out = false;
  bool idle = false;  // between two requests
};
using ConnectionPtr = std::shared_ptr<Connection>;

// More bytes into the buffer; false at the end, on an error or after the deadline.
Task<bool> ReadMore(ConnectionPtr connection) {
  if (connection->timed_out) co_return false;
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  auto space = asio::buffer(connection->chunk);
  size_t count = co_await connection->socket.async_read_some(space, token);
  if (error) co_return false;
  connection->buffer.append(connection->chunk.data(), count);
  co_return true;
}

Task<bool> WriteAll(ConnectionPtr connection, std::string head, std::string body, std::chrono::seconds timeout) {
  if (connection->timed_out) co_return false;
  connection->deadline = Clock::now() + timeout;
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  std::array<asio::const_buffer, 2> buffers{asio::buffer(head), asio::buffer(body)};
  co_await asio::async_write(connection->socket, buffers, token);
  connection->deadline = Clock::time_point::max();
  co_return !error;
}

// Half-closes and reads on for a moment: closing with bytes unread would reset the connection and could cost the peer
// the answer.
Task<void> Linger(ConnectionPtr connection) {
  error_code ignored;
  connection->socket.shutdown(tcp::socket::shutdown_send, ignored);
  connection->timed_out = false;
  connection->deadline = Clock::now() + kLinger;
  bool more = !ignored;
  size_t seen = 0;
  while (more && seen < limits::kImportBodyBytes) {
    connection->buffer.clear();
    more = co_await ReadMore(connection);
    seen += connection->buffer.size();
  }
  connection->socket.close(ignored);
}

const std::string& Now() {
  static std::string text;
  static std::time_t last = 0;
  std::time_t now = std::time(nullptr);
  if (now != last) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    char buffer[64];
    std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    text = buffer;
    last = now;
  }
  return text;
}

struct Manner {
  bool http11 = true;
  bool head_only = false;  // the answer to HEAD
  bool keep = false;
};

std::string HeadText(const Response& response, const Manner& manner, bool chunked) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " ";
  out += std::string(boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(response.status)));
  out += "\r\nDate: " + Now() + "\r\n";
  for (const auto& [name, value] : response.fields.all()) {
    out += name + ": ";
    for (char c : value)
      out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;  // no line may be smuggled in
    out += "\r\n";
  }
  bool bodiless = response.status == 204 || response.status == 304 || response.status < 200;
  if (chunked) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (!bodiless && !response.stream) {
    out += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  }
  if (!manner.keep) {
    out += "Connection: close\r\n";
  } else if (!manner.http11) {
    out += "Connection: keep-alive\r\n";
  }
  return out + "\r\n";
}

}  // namespace

struct Server::State {
  State(Executor e, ServerOptions o, Handler h)
      : executor(std::move(e)), options(std::move(o)), handler(std::move(h)), acceptor(executor), sweep(executor) {}

  Executor executor;
  ServerOptions options;
  Handler handler;
  tcp::acceptor acceptor;
  asio::steady_timer sweep;
  std::set<ConnectionPtr> connections;
  bool draining = false;
  bool stopped = false;

  size_t BodyLimit(const Request& request) const {
    return options.body_limit ? options.body_limit(request.method, request.path) : limits::kHttpBodyBytes;
  }
  void CloseAll() {
    error_code ignored;
    for (const auto& connection : connections) connection->socket.close(ignored);
  }
};

// The parts of one connection's life.
struct ServerLife {
  using State = Server::State;
  using StatePtr = std::shared_ptr<State>;

  class ChunkWriter : public BodyWriter {
   public:
    ChunkWriter(StatePtr state, ConnectionPtr connection, bool chunked)
        : state_(std::move(state)), connection_(std::move(connection)), chunked_(chunked) {}
    Task<bool> Write(std::string bytes) override {
      if (closed() || bytes.empty()) co_return !closed();
      std::string head;
      if (chunked_) {
        char size[20];
        std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
        head = size;
        bytes += "\r\n";
      }
      bool written = co_await WriteAll(connection_, std::move(head), std::move(bytes), state_->options.write_timeout);
      failed_ = failed_ || !written;
      co_return !closed();
    }
    bool closed() const override { return failed_ || state_->draining || !connection_->socket.is_open(); }
    bool failed() const { return failed_; }

   private:
    StatePtr state_;
    ConnectionPtr connection_;
    bool chunked_;
    bool failed_ = false;
  };

  static Task<void> Refuse(StatePtr state, ConnectionPtr connection, Error error, Language language) {
    telemetry::Log(telemetry::Level::kInfo, "http.refused", {{"peer", connection->peer}, {"code", Name(error.code)}});
    Response response = Problem(error, language, FormatId("req", Uuid::New()));
    Manner manner;
    std::string head = HeadText(response, manner, false);
    connection->timed_out = false;
    bool written =
        co_await WriteAll(connection, std::move(head), std::move(response.body), state->options.write_timeout);
    if (written) co_await Linger(connection);
  }

  // The error to answer with before closing; nothing when the peer is gone. Reads until the header is complete.
  static Task<Result<std::optional<size_t>>> ReadHead(StatePtr state, ConnectionPtr connection) {
    while (true) {
      MILLRACE_CO_TRY(size_t length, HeadLength(connection->buffer));
      if (length > 0) co_return length;
      bool more = co_await ReadMore(connection);
      if (more) continue;
      if (connection->timed_out) co_return Fail(Late(state->options.header_timeout));
      co_return std::nullopt;
    }
  }

  static Error Late(std::chrono::seconds timeout) {
    return Error(ErrorCode::kRequestTimeout, {{"seconds", std::to_string(timeout.count())}});
  }

  // False when the peer is gone.
  static Task<Result<bool>> ReadBody(StatePtr state, ConnectionPtr connection, Framing framing, size_t limit,
                                     std::string* body) {
    auto began = Clock::now();
    uint64_t received = 0;
    ChunkedBody chunked(limit);
    while (true) {
      size_t taken = 0;
      if (framing.chunked) {
        MILLRACE_CO_TRY(taken, chunked.Take(connection->buffer));
      } else {
        taken = static_cast<size_t>(std::min<uint64_t>(framing.length - body->size(), connection->buffer.size()));
        body->append(connection->buffer, 0, taken);
      }
      connection->buffer.erase(0, taken);
      received += taken;
      if (framing.chunked ? chunked.done() : body->size() == framing.length) break;
      connection->deadline = began + state->options.body_timeout + std::chrono::seconds(received / kBodyBytesPerSecond);
      bool more = co_await ReadMore(connection);
      if (more) continue;
      if (connection->timed_out) co_return Fail(Late(state->options.body_timeout));
      co_return false;
    }
    if (framing.chunked) *body = std::move(chunked.body());
    connection->deadline = Clock::time_point::max();
    co_return true;
  }

  // The refusal of a request whose long body is not worth reading; nothing if it may be read.
  static Task<std::optional<Response>> Admit(StatePtr state, Request head, Language language) {
    std::string cause;
    try {
      std::optional<Response> refusal = co_await state->options.admit(std::move(head));
      co_return refusal;
    } catch (const std::exception& e) {
      cause = e.what();
    }
    telemetry::Log(telemetry::Level::kError, "http.admit_failed", {{"cause", cause}});
    co_return Problem(Error::Internal(cause), language, FormatId("req", Uuid::New()));
  }

  static Task<Response> Handle(StatePtr state, Request request, Language language) {
    std::string cause;
    try {
      Response response = co_await state->handler(std::move(request));
      co_return response;
    } catch (const std::exception& e) {
      cause = e.what();
    }
    telemetry::Log(telemetry::Level::kError, "http.handler_failed", {{"cause", cause}});
    co_return Problem(Error::Internal(cause), language, FormatId("req", Uuid::New()));
  }

  // Whether another request may follow.
  static Task<bool> Answer(StatePtr state, ConnectionPtr connection, Response response, Manner manner) {
    if (response.drop) co_return false;
    manner.keep = manner.keep && !state->draining && response.fields.Get("Connection") != "close";
    auto stream = std::move(response.stream);
    response.stream = stream;
    bool chunked = stream && manner.http11;
    if (stream && !manner.http11) manner.keep = false;
    std::string head = HeadText(response, manner, chunked && !manner.head_only);
    std::string body;
    if (!manner.head_only && !stream && response.status != 204 && response.status != 304)
      body = std::move(response.body);
    bool written = co_await WriteAll(connection, std::move(head), std::move(body), state->options.write_timeout);
    if (!written) co_return false;
    if (stream && !manner.head_only) {
      auto writer = std::make_shared<ChunkWriter>(state, connection, chunked);
      co_await stream(writer);
      if (writer->failed()) co_return false;
      std::string end = chunked ? "0\r\n\r\n" : "";
      written = co_await WriteAll(connection, std::move(end), std::string(), state->options.write_timeout);
    }
    if (written && (!manner.keep || state->draining)) co_await Linger(connection);
    co_return written&& manner.keep && !state->draining;
  }

  static Request RequestOf(const Head& head, const std::string& peer) {
    Request request;
    request.method = head.method;
    request.target = head.target;
    size_t mark = head.target.find('?');
    request.path = head.target.substr(0, mark);
    if (mark != head.target.npos) request.query = head.target.substr(mark + 1);
    request.peer = peer;
    return request;
  }

  // One request and its answer; false when the connection is over.
  static Task<bool> Exchange(StatePtr state, ConnectionPtr connection) {
    Language language = Language::kZh;
    Result<std::optional<size_t>> length = co_await ReadHead(state, connection);
    if (!length) {
      co_await Refuse(state, connection, std::move(length).error(), language);
      co_return false;
    }
    if (!*length) co_return false;
    Result<Head> head = ParseHead(std::string_view(connection->buffer).substr(0, **length));
    connection->buffer.erase(0, **length);
    Result<Framing> framing;
    if (head) {
      language = PreferredLanguage(head->fields.Get("Accept-Language"));
      framing = CheckHead(*head);
    } else {
      framing = std::unexpected<Error>(std::move(head).error());
    }
    Request request;
    size_t limit = 0;
    if (framing) {
      request = RequestOf(*head, connection->peer);
      limit = state->BodyLimit(request);
      if (framing->length > limit) framing = Fail(ErrorCode::kPayloadTooLarge, {{"max", std::to_string(limit)}});
    }
    if (!framing) {
      co_await Refuse(state, connection, std::move(framing).error(), language);
      co_return false;
    }
    // From here on the header is this snapshot; nothing of the body's framing gets into it.
    request.fields = std::move(head->fields);
    Manner manner;
    manner.http11 = head->http11;
    manner.head_only = request.method == "HEAD";
    manner.keep = head->keep_alive;
    const bool has_body = framing->chunked || framing->length > 0;
    if (has_body && limit > limits::kHttpBodyBytes && state->options.admit) {
      connection->deadline = Clock::time_point::max();
      std::optional<Response> refusal = co_await Admit(state, request, language);
      manner.keep = manner.keep && !refusal;
      if (refusal) {
        Response response = *std::move(refusal);
        co_await Answer(state, connection, std::move(response), manner);
        co_return false;
      }
    }
    if (framing->expects_continue && connection->buffer.empty()) {
      std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      bool written = co_await WriteAll(connection, std::move(go_on), std::string(), state->options.write_timeout);
      if (!written) co_return false;
    }
    Result<bool> whole = co_await ReadBody(state, connection, *framing, limit, &request.body);
    if (!whole) {
      co_await Refuse(state, connection, std::move(whole).error(), language);
      co_return false;
    }
    if (!*whole) co_return false;
    Response response = co_await Handle(state, std::move(request), language);
    bool again = co_await Answer(state, connection, std::move(response), manner);
    co_return again;
  }

  // Ends a connection however its coroutine ends.
  struct Leave {
    StatePtr state;
    ConnectionPtr connection;
    ~Leave() {
      error_code ignored;
      connection->socket.close(ignored);
      state->connections.erase(connection);
    }
  };

  static Task<void> Serve(StatePtr state, ConnectionPtr connection) {
    Leave leave(state, connection);
    bool first = true;
    bool open = true;
    while (open && !state->draining) {
      connection->deadline = Clock::now() + (first ? state->options.header_timeout : state->options.idle_timeout);
      connection->idle = true;
      first = false;
      while (open && connection->buffer.size() < 2) open = co_await ReadMore(connection);
      connection->idle = false;
      bool blank_line =
          connection->buffer.starts_with("\r\n");  // RFC 9112 §2.2: an empty line before a request is skipped
      if (blank_line) connection->buffer.erase(0, 2);
      connection->deadline = Clock::now() + state->options.header_timeout;
      if (open) open = co_await Exchange(state, connection);
    }
  }

  static Task<void> Accept(StatePtr state) {
    while (state->acceptor.is_open()) {
      error_code error;
      auto token = asio::redirect_error(asio::use_awaitable, error);
      tcp::socket socket = co_await state->acceptor.async_accept(token);
      if (error) {
        if (!state->acceptor.is_open() || error == asio::error::operation_aborted) break;
        // Out of descriptors, most likely: give connections a moment to end.
        co_await Sleep(std::chrono::milliseconds(100));
        continue;
      }
      if (static_cast<int>(state->connections.size()) >= state->options.connections_max) {
        socket.close(error);
        continue;
      }
      socket.set_option(tcp::no_delay(true), error);
      auto connection = std::make_shared<Connection>(std::move(socket));
      tcp::endpoint peer = connection->socket.remote_endpoint(error);
      connection->peer = peer.address().to_string();
      state->connections.insert(connection);
      Spawn(state->executor, Serve(state, connection), "http.connection");
    }
  }

  // Ends the operations whose deadline has passed. One timer for all connections is cheaper than one each.
  static Task<void> Sweep(StatePtr state) {
    while (!state->stopped) {
      auto now = Clock::now();
      for (const auto& connection : state->connections) {
        if (connection->deadline > now || connection->timed_out) continue;
        connection->timed_out = true;
        error_code ignored;
        connection->socket.cancel(ignored);
      }
      state->sweep.expires_after(kSweep);
      error_code error;
      auto token = asio::redirect_error(asio::use_awaitable, error);
      co_await state->sweep.async_wait(token);
    }
  }
};

Server::Server(Executor executor, ServerOptions options, Handler handler)
    : state_(std::make_shared<State>(std::move(executor), std::move(options), std::move(handler))) {}

Server::~Server() {
  error_code ignored;
  state_->stopped = state_->draining = true;
  state_->acceptor.close(ignored);
  state_->sweep.cancel();
  state_->CloseAll();
}

Result<int> Server::Start() {
  error_code error;
  auto address = asio::ip::make_address(state_->options.address, error);
  tcp::endpoint endpoint(address, static_cast<unsigned short>(state_->options.port));
  auto& acceptor = state_->acceptor;
  if (!error) acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(1024, error);
  if (error) {
    return Fail(Error::Internal("cannot listen on " + state_->options.address + ":" +
                                std::to_string(state_->options.port) + ": " + error.message()));
  }
  Spawn(state_->executor, ServerLife::Accept(state_), "http.accept");
  Spawn(state_->executor, ServerLife::Sweep(state_), "http.sweep");
  return acceptor.local_endpoint().port();
}

Task<void> Server::Drain(std::chrono::milliseconds grace) {
  auto state = state_;
  error_code ignored;
  state->draining = true;
  state->acceptor.close(ignored);
  for (const auto& connection : state->connections) {
    if (connection->idle) connection->socket.cancel(ignored);
  }
  auto end = Clock::now() + grace;
  while (!state->connections.empty() && Clock::now() < end) co_await Sleep(std::chrono::milliseconds(10));
  state->CloseAll();
  // The coroutines of the closed sockets end within a turn of the loop, unless their handlers still wait.
  for (int i = 0; i < 10 && !state->connections.empty(); ++i) co_await Sleep(std::chrono::milliseconds(10));
  state->stopped = true;
  state->sweep.cancel();
}

}  // namespace millrace::http
