// SPDX-License-Identifier: Apache-2.0
// A server's connection: bytes in and out, plain or in TLS, under a deadline. Stays within common/http.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "common/async/task.h"
#include "common/http/tls.h"
#include "common/http/wheel.h"

namespace millrace::http {

// A peer must take and send bodies at least this fast once the timeout is over.
inline constexpr uint64_t kBytesPerSecond = 16 * 1024;

struct Connection : Wheel::Node {
  Connection(boost::asio::ip::tcp::socket s, Wheel* w) : socket(std::move(s)), wheel(w) {}

  boost::asio::ip::tcp::socket socket;
  TlsSession tls;  // null: plain
  Wheel* wheel;
  std::string peer;
  std::string counted;  // what the peer's connections are counted under
  std::string buffer;   // received and not parsed yet
  std::unique_ptr<char[]> inbox;
  size_t inbox_size = 0;
  bool timed_out = false;
  bool idle = false;  // between two requests

  void Within(std::chrono::milliseconds time) { wheel->Set(this, time); }
  void WithoutDeadline() { wheel->Clear(this); }
  // Between requests a connection keeps a small inbox and no buffer: thousands of them wait.
  void Rest();
  void Close();
};
using ConnectionPtr = std::shared_ptr<Connection>;

// The server's handshake. Errors: MALFORMED_HTTP if the peer speaks plain HTTP (the connection is plain then, for the
// answer); UNAVAILABLE with a cause.
Task<Result<void>> Handshake(ConnectionPtr connection);
// More bytes into the buffer; false at the end, on an error or after the deadline.
Task<bool> ReadMore(ConnectionPtr connection);
// False if the peer is gone, or takes nothing for `patience`, or is slower than kBytesPerSecond after it.
Task<bool> WriteAll(ConnectionPtr connection, std::string head, std::string body, std::chrono::milliseconds patience);
// Sends what fits without waiting and takes that off both; false on an error. Both are empty when all is out.
bool WriteNow(Connection* connection, std::string_view* head, std::string_view* body);
// Half-closes and reads on for a moment: closing with bytes unread would reset the connection and could cost the peer
// the answer.
Task<void> Linger(ConnectionPtr connection);

}  // namespace millrace::http
