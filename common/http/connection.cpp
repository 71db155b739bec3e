// SPDX-License-Identifier: Apache-2.0
#include "common/http/connection.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <optional>
#include <utility>

#include "common/base/limits.h"

namespace millrace::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// Most requests are shorter; a read that fills the inbox is followed by greater ones.
constexpr size_t kInboxIdle = 2 * 1024;
constexpr size_t kInboxBusy = 32 * 1024;
constexpr std::chrono::seconds kLinger{1};

Task<bool> WaitFor(ConnectionPtr connection, tcp::socket::wait_type what) {
  if (connection->timed_out) co_return false;
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await connection->socket.async_wait(what, token);
  co_return !error;
}

// What to wait for before a TLS operation goes on; nothing if it failed.
std::optional<tcp::socket::wait_type> WantOf(const Connection& connection, int result) {
  switch (SSL_get_error(connection.tls.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return tcp::socket::wait_read;
    case SSL_ERROR_WANT_WRITE:
      return tcp::socket::wait_write;
    default:
      return std::nullopt;
  }
}

void MakeInbox(Connection* connection, size_t size) {
  if (connection->inbox_size == size) return;
  connection->inbox = std::make_unique_for_overwrite<char[]>(size);
  connection->inbox_size = size;
}

void TakeIn(Connection* connection, size_t count) {
  connection->buffer.append(connection->inbox.get(), count);
  if (count == connection->inbox_size) MakeInbox(connection, kInboxBusy);
}

Task<bool> ReadTls(ConnectionPtr connection) {
  // TLS has the number of the socket, which could be another connection's once this one is closed.
  bool goes_on = connection->socket.is_open();
  while (goes_on) {
    ERR_clear_error();
    int count = SSL_read(connection->tls.get(), connection->inbox.get(), static_cast<int>(connection->inbox_size));
    if (count > 0) {
      TakeIn(connection.get(), static_cast<size_t>(count));
      co_return true;
    }
    auto want = WantOf(*connection, count);
    if (!want) co_return false;
    goes_on = co_await WaitFor(connection, *want);
  }
  co_return false;
}

// Sends from `bytes` while TLS takes them; false on an error.
bool SendTls(Connection* connection, std::string_view* bytes) {
  while (!bytes->empty()) {
    ERR_clear_error();
    size_t sent = 0;
    int result = SSL_write_ex(connection->tls.get(), bytes->data(), bytes->size(), &sent);
    if (result != 1) return WantOf(*connection, result) == tcp::socket::wait_write;
    bytes->remove_prefix(sent);
  }
  return true;
}

void Take(std::string_view* part, size_t* count) {
  size_t taken = std::min(part->size(), *count);
  part->remove_prefix(taken);
  *count -= taken;
}

}  // namespace

void Connection::Rest() {
  if (buffer.capacity() > kInboxIdle && buffer.empty()) std::string().swap(buffer);
  MakeInbox(this, kInboxIdle);
}

void Connection::Close() {
  error_code ignored;
  socket.close(ignored);
}

Task<Result<void>> Handshake(ConnectionPtr connection) {
  bool goes_on = true;
  while (goes_on) {
    ERR_clear_error();
    int result = SSL_do_handshake(connection->tls.get());
    if (result == 1) co_return Result<void>();
    auto want = WantOf(*connection, result);
    if (want) {
      goes_on = co_await WaitFor(connection, *want);
      continue;
    }
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (reason == SSL_R_HTTP_REQUEST) {
      connection->tls.reset();
      co_return Fail(ErrorCode::kMalformedHttp, {{"reason", "this port speaks https"}});
    }
    break;
  }
  Error failed(ErrorCode::kUnavailable);
  failed.cause = connection->timed_out ? "the handshake took too long" : TlsFault();
  co_return Fail(std::move(failed));
}

Task<bool> ReadMore(ConnectionPtr connection) {
  if (connection->timed_out) co_return false;
  if (!connection->inbox) MakeInbox(connection.get(), kInboxIdle);
  if (connection->tls) {
    bool more = co_await ReadTls(connection);
    co_return more;
  }
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  auto space = asio::buffer(connection->inbox.get(), connection->inbox_size);
  size_t count = co_await connection->socket.async_read_some(space, token);
  if (error) co_return false;
  TakeIn(connection.get(), count);
  co_return true;
}

bool WriteNow(Connection* connection, std::string_view* head, std::string_view* body) {
  if (connection->timed_out || !connection->socket.is_open()) return false;
  if (connection->tls) return SendTls(connection, head) && (!head->empty() || SendTls(connection, body));
  while (!head->empty() || !body->empty()) {
    iovec parts[2] = {{const_cast<char*>(head->data()), head->size()}, {const_cast<char*>(body->data()), body->size()}};
    msghdr message{};
    message.msg_iov = head->empty() ? parts + 1 : parts;
    message.msg_iovlen = head->empty() || body->empty() ? 1 : 2;
    ssize_t count = sendmsg(connection->socket.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    size_t sent = static_cast<size_t>(count);
    Take(head, &sent);
    Take(body, &sent);
  }
  return true;
}

Task<bool> WriteAll(ConnectionPtr connection, std::string head, std::string body, std::chrono::milliseconds patience) {
  // TLS makes a record of each write, and a packet of each record.
  if (connection->tls && body.size() <= kInboxBusy) head += std::exchange(body, std::string());
  std::string_view rest_of_head = head, rest_of_body = body;
  const auto began = std::chrono::steady_clock::now();
  const size_t size = head.size() + body.size();
  bool good = WriteNow(connection.get(), &rest_of_head, &rest_of_body);
  size_t left = rest_of_head.size() + rest_of_body.size();
  while (good && left > 0) {
    auto end = began + patience + std::chrono::seconds((size - left) / kBytesPerSecond);
    auto time = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (time.count() <= 0) co_return false;
    connection->Within(std::min(time, patience));
    good = co_await WaitFor(connection, tcp::socket::wait_write);
    if (good) good = WriteNow(connection.get(), &rest_of_head, &rest_of_body);
    left = rest_of_head.size() + rest_of_body.size();
  }
  connection->WithoutDeadline();
  co_return good;
}

Task<void> Linger(ConnectionPtr connection) {
  error_code ignored;
  if (connection->tls && !connection->timed_out && connection->socket.is_open()) {
    ERR_clear_error();
    SSL_shutdown(connection->tls.get());  // says that nothing was cut off; the peer's word is not waited for
  }
  connection->socket.shutdown(tcp::socket::shutdown_send, ignored);
  connection->timed_out = false;
  connection->Within(kLinger);
  bool more = !ignored;
  size_t seen = 0;
  connection->buffer.clear();
  MakeInbox(connection.get(), kInboxBusy);
  while (more && seen < limits::kImportBodyBytes && !connection->timed_out) {
    error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    auto space = asio::buffer(connection->inbox.get(), connection->inbox_size);
    size_t count = co_await connection->socket.async_read_some(space, token);
    seen += count;
    more = !error;
  }
  connection->Close();
}

}  // namespace millrace::http
