// SPDX-License-Identifier: Apache-2.0
// For tests of the server: bytes sent and received as they are.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

namespace millrace::http {

class Socket {
 public:
  // `receive_bytes`: the kernel's buffer, 0 for its own choice.
  explicit Socket(int port, int receive_bytes = 0) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_bytes > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Socket() { Close(); }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }
  void Send(std::string_view text) {
    while (!text.empty()) {
      ssize_t count = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      text.remove_prefix(static_cast<size_t>(count));
    }
  }
  // Everything until the server closes, or until `enough` came, or for 5 s.
  std::string Receive(std::string_view enough = "\x01never") {
    std::string out;
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    size_t searched = 0;  // where to look on
    while (out.find(enough, searched) == out.npos && std::chrono::steady_clock::now() < end) {
      searched = out.size() - std::min(out.size(), enough.size());
      pollfd one{fd_, POLLIN, 0};
      if (poll(&one, 1, 100) <= 0) continue;
      char buffer[65536];
      ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
      if (count <= 0) {
        closed_ = true;
        break;
      }
      out.append(buffer, static_cast<size_t>(count));
    }
    return out;
  }
  int fd() const { return fd_; }
  bool closed() const { return closed_; }

 private:
  int fd_;
  bool connected_ = false, closed_ = false;
};

inline size_t Count(const std::string& text, std::string_view part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace millrace::http
