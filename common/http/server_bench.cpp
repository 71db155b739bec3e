// SPDX-License-Identifier: Apache-2.0
// What the server itself costs, with a handler that does nothing:
//   http_server_bench requests N      N GETs over one connection; prints requests a second. Under `valgrind
//   --tool=callgrind`
//                                     the difference between two N is the instructions of a request.
//   http_server_bench idle N [pem key]  N connections that made one request and wait; prints resident memory of each.
// The client is a child process, so that only the server is measured.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "common/http/http.h"

namespace millrace::http {
namespace {

constexpr char kRequest[] =
    "GET /v1/listings/lst_01h455vb4pex5vsknk084sn02q?expand=site HTTP/1.1\r\n"
    "Host: 127.0.0.1:8080\r\n"
    "User-Agent: bench/1.0\r\n"
    "Accept: application/json\r\n"
    "Authorization: Bearer mk_0123456789abcdef0123456789abcdef\r\n"
    "\r\n";

int Connect(int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::exit(3);
  return fd;
}

// One request and its answer, whose end is known by its size.
template <class Send, class Receive>
void Ask(Send send, Receive receive) {
  send(kRequest, sizeof kRequest - 1);
  std::string answer;
  char buffer[4096];
  while (!answer.ends_with("}")) {
    auto count = receive(buffer, sizeof buffer);
    if (count <= 0) std::exit(4);
    answer.append(buffer, static_cast<size_t>(count));
  }
}

void AskPlain(int fd) {
  Ask([fd](const char* bytes, size_t size) { send(fd, bytes, size, MSG_NOSIGNAL); },
      [fd](char* buffer, size_t size) { return recv(fd, buffer, size, 0); });
}

void AskSecurely(SSL_CTX* context, int fd) {
  SSL* tls = SSL_new(context);
  SSL_set_fd(tls, fd);
  if (SSL_connect(tls) != 1) std::exit(5);
  Ask([tls](const char* bytes, size_t size) { SSL_write(tls, bytes, static_cast<int>(size)); },
      [tls](char* buffer, size_t size) { return SSL_read(tls, buffer, static_cast<int>(size)); });
}

long ResidentKib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  long kib = 0;
  while (status >> word) {
    if (word == "VmRSS:") status >> kib;
  }
  return kib;
}

Task<Response> Answer(Request request) {
  Response response;
  response.fields.Set("Content-Type", "application/json");
  response.fields.Set("Cache-Control", "no-store");
  response.fields.Set("Request-Id", "req_01h455vb4pex5vsknk084sn02q");
  response.body = R"({"id":"lst_01h455vb4pex5vsknk084sn02q","title":"five axis mill","version":"3"})";
  co_return response;
}

// The child's work; a byte through `done` tells the server that it is over, and the child waits until it is killed.
void RunClient(const std::string& what, int count, int port, bool secure, int done) {
  if (what == "requests") {
    int fd = Connect(port);
    for (int i = 0; i < count; ++i) AskPlain(fd);
  } else {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    for (int i = 0; i < count; ++i) {
      int fd = Connect(port);
      if (secure) {
        AskSecurely(context, fd);
      } else {
        AskPlain(fd);
      }
    }
  }
  if (write(done, "x", 1) != 1) std::exit(6);
  pause();
}

int Main(int argc, char** argv) {
  if (argc < 3) return 2;
  std::string what = argv[1];
  int count = std::atoi(argv[2]);
  rlimit files{20000, 20000};
  setrlimit(RLIMIT_NOFILE, &files);
  boost::asio::io_context context(1);
  ServerOptions options;
  options.connections_max = 20000;
  options.connections_per_peer = 20000;
  if (argc > 4) {
    options.tls_certificate = argv[3];
    options.tls_key = argv[4];
  }
  Server server(context.get_executor(), options, Answer);
  Result<int> port = server.Start();
  if (!port) return 1;
  int done[2];
  if (pipe(done) != 0) return 1;
  pid_t child = fork();
  if (child == 0) RunClient(what, count, *port, argc > 4, done[1]);
  long before = ResidentKib();
  auto began = std::chrono::steady_clock::now();
  pollfd over{done[0], POLLIN, 0};
  for (int turn = 0; turn % 64 != 0 || poll(&over, 1, 0) == 0; ++turn)
    context.run_one_for(std::chrono::milliseconds(20));
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (what == "requests") {
    std::printf("%d requests in %.3f s: %.0f a second\n", count, took.count(), count / took.count());
  } else {
    std::printf("%d idle connections: %.2f KiB each\n", count, static_cast<double>(ResidentKib() - before) / count);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  std::fflush(stdout);
  std::_Exit(0);  // the server and its connections end with the process
}

}  // namespace
}  // namespace millrace::http

int main(int argc, char** argv) { return millrace::http::Main(argc, argv); }
