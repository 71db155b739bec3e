// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <unordered_map>
#include <unordered_set>

#include "common/async/pool.h"
#include "common/base/id.h"
#include "common/base/limits.h"
#include "common/http/compress.h"
#include "common/http/connection.h"
#include "common/http/guard.h"
#include "common/http/head_text.h"
#include "common/http/http.h"
#include "common/telemetry/log.h"
#include "common/telemetry/metrics.h"

namespace millrace::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// Answers up to this size are one piece with their header.
constexpr size_t kOnePiece = 16 * 1024;
// Connections over a limit that are told so at the same time; more are closed without a word.
constexpr int kTurnedAwayMax = 64;
constexpr std::chrono::seconds kLook{1};

// What a peer's connections are counted under: an IPv6 subscriber has a whole /64.
std::string CountedAs(const asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  asio::ip::address_v6 v6 = address.to_v6();
  if (v6.is_v4_mapped()) return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
  auto bytes = v6.to_bytes();
  return std::string(bytes.begin(), bytes.begin() + 8);
}

telemetry::Gauge& OpenConnections() {
  static telemetry::Gauge& gauge =
      telemetry::Gauges::Make("millrace_http_connections", "Open connections, idle ones too.").With();
  return gauge;
}

telemetry::Counter& TurnedAway() {
  static telemetry::Counter& counter = telemetry::Counters::Make("millrace_http_connections_turned_away_total",
                                                                 "Connections beyond a limit, answered 503 or closed.")
                                           .With();
  return counter;
}

}  // namespace

struct Server::State {
  State(Executor e, ServerOptions o, Handler h)
      : executor(std::move(e)), options(std::move(o)), handler(std::move(h)), acceptor(executor), timer(executor) {
    OpenConnections(), TurnedAway();  // shown before the first one
  }

  Executor executor;
  ServerOptions options;
  Handler handler;
  tcp::acceptor acceptor;
  asio::steady_timer timer;
  Wheel wheel;
  Clock::time_point began = Clock::now();
  std::unique_ptr<ServerTls> tls;
  std::unordered_set<ConnectionPtr> connections;
  std::unordered_map<std::string, int> per_peer;
  int being_turned_away = 0;
  int turned_away = 0;  // since the last look
  bool draining = false;
  bool stopped = false;

  size_t BodyLimit(const Request& request) const {
    return options.body_limit ? options.body_limit(request.method, request.path) : limits::kHttpBodyBytes;
  }
  void CloseAll() {
    for (const auto& connection : connections) connection->Close();
  }
  void Leave(const ConnectionPtr& connection) {
    connection->Close();
    connection->Wheel::Node::Leave();
    OpenConnections().Add(-static_cast<double>(connections.erase(connection)));
    auto counted = per_peer.find(connection->counted);
    if (counted != per_peer.end() && --counted->second == 0) per_peer.erase(counted);
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

  // Tells the peer why its connection ends, and ends it.
  static Task<void> Tell(ConnectionPtr connection, Error error, Language language, std::chrono::seconds patience) {
    Response response = Problem(error, language, FormatId("req", Uuid::New()));
    std::string head = HeadText(response, Manner(), false);
    connection->timed_out = false;
    bool written = co_await WriteAll(connection, std::move(head), std::move(response.body), patience);
    if (written) co_await Linger(connection);
  }

  static Task<void> Refuse(StatePtr state, ConnectionPtr connection, Error error, Language language) {
    telemetry::Log(telemetry::Level::kInfo, "http.refused", {{"peer", connection->peer}, {"code", Name(error.code)}});
    co_await Tell(connection, std::move(error), language, state->options.write_timeout);
  }

  static void Drop(std::string* buffer, size_t count) {
    if (count == buffer->size()) {
      buffer->clear();
    } else {
      buffer->erase(0, count);
    }
  }

  static Error Late(std::chrono::seconds timeout) {
    return Error(ErrorCode::kRequestTimeout, {{"seconds", std::to_string(timeout.count())}});
  }

  // False when the peer is gone.
  static Task<Result<bool>> ReadBody(StatePtr state, ConnectionPtr connection, Framing framing, size_t limit,
                                     std::string* body) {
    const auto began = Clock::now();
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
      Drop(&connection->buffer, taken);
      received += taken;
      if (framing.chunked ? chunked.done() : body->size() == framing.length) break;
      auto end = began + state->options.body_timeout + std::chrono::seconds(received / kBytesPerSecond);
      auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
      connection->Within(std::max(left, left.zero()));
      bool more = co_await ReadMore(connection);
      if (more) continue;
      if (connection->timed_out) co_return Fail(Late(state->options.body_timeout));
      co_return false;
    }
    if (framing.chunked) *body = std::move(chunked.body());
    connection->WithoutDeadline();
    co_return true;
  }

  static Response Failed(std::string_view event, const std::string& cause, Language language) {
    telemetry::Log(telemetry::Level::kError, event, {{"cause", cause}});
    return Problem(Error::Internal(cause), language, FormatId("req", Uuid::New()));
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
    co_return Failed("http.admit_failed", cause, language);
  }

  // What the request says about encodings, kept until the answer is there.
  struct Coding {
    bool gzip = false;
    bool none_match_gzip = false;  // If-None-Match named a compressed representation
  };

  static Coding CodingOf(Fields* fields) {
    Coding coding;
    coding.gzip = AcceptsGzip(*fields);
    coding.none_match_gzip = StripGzipTags(fields);
    return coding;
  }

  // Compresses the body if the client takes that; long bodies on the pool.
  static Task<void> Encode(StatePtr state, Coding coding, Response* response) {
    std::string_view vary = response->fields.Get("Vary");
    response->fields.Set("Vary", vary.empty() ? "Accept-Encoding" : std::string(vary) + ", Accept-Encoding");
    bool on_loop = response->body.size() <= kGzipOnLoop;
    if (!coding.gzip || (!on_loop && !state->options.compute)) co_return;
    if (on_loop) {
      response->body = Gzip(response->body);
    } else {
      auto plain = std::make_shared<std::string>(std::move(response->body));
      std::function<std::string()> work = [plain] { return Gzip(*plain); };
      response->body = co_await RunOn(*state->options.compute, std::move(work));
    }
    MarkGzip(&response->fields);
  }

  static bool HasBody(const Response& response, const Manner& manner) {
    return !manner.head_only && !response.stream && response.status != 204 && response.status != 304;
  }

  // Whether another request may follow.
  static Task<bool> Answer(StatePtr state, ConnectionPtr connection, Response response, Manner manner) {
    bool chunked = response.stream && manner.http11;
    if (response.stream && !manner.http11) manner.keep = false;
    std::string head = HeadText(response, manner, chunked && !manner.head_only);
    std::string body;
    if (HasBody(response, manner)) body = std::move(response.body);
    bool written = co_await WriteAll(connection, std::move(head), std::move(body), state->options.write_timeout);
    if (!written) co_return false;
    if (response.stream && !manner.head_only) {
      auto writer = std::make_shared<ChunkWriter>(state, connection, chunked);
      co_await response.stream(writer);
      if (writer->failed()) co_return false;
      std::string end = chunked ? "0\r\n\r\n" : "";
      written = co_await WriteAll(connection, std::move(end), std::string(), state->options.write_timeout);
    }
    if (written && (!manner.keep || state->draining)) co_await Linger(connection);
    co_return written&& manner.keep && !state->draining;
  }

  // The common case, without a coroutine: a short answer that the socket takes at once. What it did not take stays in
  // `rest`. False if the peer is gone.
  static bool AnswerNow(Connection* connection, const Response& response, const Manner& manner, std::string* rest) {
    std::string text = HeadText(response, manner, false);
    if (HasBody(response, manner)) text += response.body;
    std::string_view left = text, none;
    if (!WriteNow(connection, &left, &none)) return false;
    rest->assign(left);
    return true;
  }

  static Request RequestOf(Head* head, const std::string& peer) {
    Request request;
    request.method = std::move(head->method);
    request.target = std::move(head->target);
    size_t mark = request.target.find('?');
    request.path = request.target.substr(0, mark);
    if (mark != request.target.npos) request.query = request.target.substr(mark + 1);
    request.peer = peer;
    return request;
  }

  // What is known of a request once its header is there.
  struct Opened {
    Request request;
    Manner manner;
    Framing framing;
    Coding coding;
    size_t limit = 0;
    Language language = Language::kZh;
    bool has_body() const { return framing.chunked || framing.length > 0; }
  };

  // Takes a whole header off the buffer. `opened` has the language even if it fails.
  static Result<void> Open(const State& state, Connection* connection, size_t length, Opened* opened) {
    Result<Head> head = ParseHead(std::string_view(connection->buffer).substr(0, length));
    Drop(&connection->buffer, length);
    if (!head) return std::unexpected<Error>(std::move(head).error());
    std::string_view languages = head->fields.Get("Accept-Language");
    if (!languages.empty()) opened->language = PreferredLanguage(languages);
    MILLRACE_TRY(opened->framing, CheckHead(*head));
    opened->manner.http11 = head->http11;
    opened->manner.keep = head->keep_alive;
    opened->request = RequestOf(&*head, connection->peer);
    opened->manner.head_only = opened->request.method == "HEAD";
    if (opened->has_body()) {
      opened->limit = state.BodyLimit(opened->request);
      if (opened->framing.length > opened->limit)
        return Fail(ErrorCode::kPayloadTooLarge, {{"max", std::to_string(opened->limit)}});
    }
    // From here on the header is this snapshot; nothing of the body's framing gets into it.
    opened->request.fields = std::move(head->fields);
    opened->coding = CodingOf(&opened->request.fields);
    return {};
  }

  // Takes in the body. False when the connection is over: the peer is gone, or it was answered already.
  static Task<bool> TakeBody(StatePtr state, ConnectionPtr connection, Opened* opened) {
    if (opened->limit > limits::kHttpBodyBytes && state->options.admit) {
      connection->WithoutDeadline();
      Request asked = opened->request;
      std::optional<Response> refusal = co_await Admit(state, std::move(asked), opened->language);
      if (refusal) {
        Manner last = opened->manner;
        last.keep = false;
        Response response = *std::move(refusal);
        co_await Answer(state, connection, std::move(response), last);
        co_return false;
      }
    }
    if (opened->framing.expects_continue && connection->buffer.empty()) {
      std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      bool written = co_await WriteAll(connection, std::move(go_on), std::string(), state->options.write_timeout);
      if (!written) co_return false;
    }
    Result<bool> whole = co_await ReadBody(state, connection, opened->framing, opened->limit, &opened->request.body);
    if (whole) co_return *whole;
    co_await Refuse(state, connection, std::move(whole).error(), opened->language);
    co_return false;
  }

  // The answer to a request that is there as a whole; false when the connection is over.
  static Task<bool> Finish(StatePtr state, ConnectionPtr connection, Opened* opened) {
    connection->WithoutDeadline();
    Response response;
    std::string cause;
    bool handled = false;
    try {
      response = co_await state->handler(std::move(opened->request));
      handled = true;
    } catch (const std::exception& e) {
      cause = e.what();
    }
    if (!handled) response = Failed("http.handler_failed", cause, opened->language);
    if (response.drop) co_return false;
    if (WorthGzip(response)) {
      co_await Encode(state, opened->coding, &response);
    } else if (response.status == 304 && opened->coding.none_match_gzip) {
      AddGzipTag(&response.fields);
    }
    Manner manner = opened->manner;
    manner.keep = manner.keep && !state->draining && response.fields.Get("Connection") != "close";
    if (!manner.keep || response.stream || response.body.size() > kOnePiece) {
      bool again = co_await Answer(state, connection, std::move(response), manner);
      co_return again;
    }
    std::string rest;
    if (!AnswerNow(connection.get(), response, manner, &rest)) co_return false;
    if (rest.empty()) co_return true;
    bool written = co_await WriteAll(connection, std::move(rest), std::string(), state->options.write_timeout);
    co_return written;
  }

  // One request and its answer; false when the connection is over.
  static Task<bool> Exchange(StatePtr state, ConnectionPtr connection) {
    Result<size_t> length = HeadLength(connection->buffer);
    while (length && *length == 0) {
      bool more = co_await ReadMore(connection);
      if (!more && !connection->timed_out) co_return false;
      length = more ? HeadLength(connection->buffer) : Result<size_t>(Fail(Late(state->options.header_timeout)));
    }
    Opened opened;
    Result<void> fit;
    if (length) {
      fit = Open(*state, connection.get(), *length, &opened);
    } else {
      fit = std::unexpected<Error>(std::move(length).error());
    }
    if (!fit) {
      co_await Refuse(state, connection, std::move(fit).error(), opened.language);
      co_return false;
    }
    if (opened.has_body()) {
      bool there = co_await TakeBody(state, connection, &opened);
      if (!there) co_return false;
    }
    bool again = co_await Finish(state, connection, &opened);
    co_return again;
  }

  // Ends a connection however its coroutine ends.
  struct Leave {
    StatePtr state;
    ConnectionPtr connection;
    ~Leave() { state->Leave(connection); }
  };

  // The handshake; false when the connection is over.
  static Task<bool> Secure(StatePtr state, ConnectionPtr connection) {
    connection->Within(state->options.header_timeout);
    Result<void> secured = co_await Handshake(connection);
    if (secured) co_return true;
    if (connection->tls) {
      telemetry::Log(telemetry::Level::kInfo, "http.tls_failed",
                     {{"peer", connection->peer}, {"cause", secured.error().cause}});
    } else {
      co_await Refuse(state, connection, std::move(secured).error(), Language::kZh);
    }
    co_return false;
  }

  static Task<void> Serve(StatePtr state, ConnectionPtr connection) {
    Leave leave(state, connection);
    bool first = true;
    bool open = true;
    if (connection->tls) open = co_await Secure(state, connection);
    while (open && !state->draining) {
      if (connection->buffer.size() < 2) {
        connection->Rest();
        connection->Within(first ? state->options.header_timeout : state->options.idle_timeout);
        connection->idle = true;
        while (open && connection->buffer.size() < 2) open = co_await ReadMore(connection);
        connection->idle = false;
        if (!open) break;
      }
      first = false;
      // RFC 9112 §2.2: an empty line before a request is skipped
      if (connection->buffer.starts_with("\r\n")) connection->buffer.erase(0, 2);
      connection->Within(state->options.header_timeout);
      open = co_await Exchange(state, connection);
    }
  }

  // Says to one connection too many that it is.
  static Task<void> TurnAway(StatePtr state, ConnectionPtr connection, Error error) {
    ++state->being_turned_away;
    {
      Leave leave(state, connection);
      co_await Tell(connection, std::move(error), Language::kZh, state->options.header_timeout);
    }
    --state->being_turned_away;
  }

  static std::optional<Error> TooMany(const State& state, const std::string& counted) {
    if (static_cast<int>(state.connections.size()) - state.being_turned_away >= state.options.connections_max)
      return Error(ErrorCode::kUnavailable);
    auto found = state.per_peer.find(counted);
    int open = found == state.per_peer.end() ? 0 : found->second;
    if (open < state.options.connections_per_peer) return std::nullopt;
    return Error(ErrorCode::kTooManyConnections, {{"max", std::to_string(state.options.connections_per_peer)}});
  }

  // Takes a new connection in, or turns it away.
  static void Welcome(StatePtr state, tcp::socket socket) {
    error_code error;
    socket.set_option(tcp::no_delay(true), error);
    tcp::endpoint peer = socket.remote_endpoint(error);
    if (error) return;  // gone already
    std::string counted = CountedAs(peer.address());
    std::optional<Error> too_many = TooMany(*state, counted);
    if (too_many) {
      ++state->turned_away;
      TurnedAway().Add(1);
    }
    if (too_many && (state->tls || state->being_turned_away >= kTurnedAwayMax)) return;
    auto connection = std::make_shared<Connection>(std::move(socket), &state->wheel);
    connection->peer = peer.address().to_string();
    state->connections.insert(connection);
    OpenConnections().Add(1);
    if (too_many) {
      Spawn(state->executor, TurnAway(state, connection, *std::move(too_many)), "http.turn_away");
      return;
    }
    ++state->per_peer[counted];
    connection->counted = std::move(counted);
    if (state->tls) connection->tls = AcceptOver(state->tls->context(), connection->socket.native_handle());
    if (state->tls && !connection->tls) {
      state->Leave(connection);
      return;
    }
    Spawn(state->executor, Serve(state, connection), "http.connection");
  }

  static Task<void> Accept(StatePtr state) {
    while (state->acceptor.is_open()) {
      error_code error;
      auto token = asio::redirect_error(asio::use_awaitable, error);
      tcp::socket socket = co_await state->acceptor.async_accept(token);
      if (!error) {
        Welcome(state, std::move(socket));
        continue;
      }
      if (!state->acceptor.is_open() || error == asio::error::operation_aborted) break;
      // Out of descriptors, most likely: give connections a moment to end.
      co_await Sleep(std::chrono::milliseconds(100));
    }
  }

  // What is looked at each second.
  static void Look(State* state) {
    if (state->turned_away > 0) {
      telemetry::Log(telemetry::Level::kWarning, "http.turned_away",
                     {{"connections", state->turned_away}, {"open", static_cast<int>(state->connections.size())}});
    }
    state->turned_away = 0;
    if (!state->tls) return;
    Result<bool> loaded = state->tls->LoadIfChanged();
    if (loaded && *loaded) telemetry::Log(telemetry::Level::kInfo, "http.certificate_loaded");
    if (!loaded)
      telemetry::Log(telemetry::Level::kError, "http.certificate_not_loaded", {{"cause", loaded.error().cause}});
  }

  // One timer ends the operations of all connections whose deadline has passed.
  static Task<void> Tick(StatePtr state) {
    Clock::time_point look = Clock::now() + kLook;
    while (!state->stopped) {
      auto now = Clock::now();
      auto tick = static_cast<uint64_t>((now - state->began) / Wheel::kTick);
      state->wheel.Advance(tick, [](Wheel::Node* node) {
        auto* connection = static_cast<Connection*>(node);
        connection->timed_out = true;
        error_code ignored;
        connection->socket.cancel(ignored);
      });
      if (now >= look) {
        Look(state.get());
        look = now + kLook;
      }
      state->timer.expires_after(Wheel::kTick);
      error_code error;
      auto token = asio::redirect_error(asio::use_awaitable, error);
      co_await state->timer.async_wait(token);
    }
  }
};

void SetAddress(std::string_view host_port, ServerOptions* options) {
  size_t colon = std::min(host_port.rfind(':'), host_port.size());
  std::string_view host = host_port.substr(0, colon), port = host_port.substr(std::min(colon + 1, host_port.size()));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  options->address = host == "localhost" ? "127.0.0.1" : std::string(host);
  options->port = std::atoi(std::string(port).c_str());
}

Server::Server(Executor executor, ServerOptions options, Handler handler)
    : state_(std::make_shared<State>(std::move(executor), std::move(options), std::move(handler))) {}

Server::~Server() {
  error_code ignored;
  state_->stopped = state_->draining = true;
  state_->acceptor.close(ignored);
  state_->timer.cancel();
  state_->CloseAll();
}

Result<int> Server::Start() {
  const ServerOptions& options = state_->options;
  if (options.tls_certificate.empty() != options.tls_key.empty())
    return Fail(Error::Internal("TLS needs both a certificate and its key"));
  if (!options.tls_certificate.empty()) {
    state_->tls = std::make_unique<ServerTls>(options.tls_certificate, options.tls_key);
    MILLRACE_CHECK(state_->tls->Load());
  }
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
  Spawn(state_->executor, ServerLife::Tick(state_), "http.tick");
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
  state->timer.cancel();
}

}  // namespace millrace::http
