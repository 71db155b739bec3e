// SPDX-License-Identifier: Apache-2.0
#include "tests/support/private_redis.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace millrace::test {
namespace {

// A port that was free a moment ago.
int FreePort() {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("no free port");
  }
  close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

PrivateRedis::PrivateRedis() : port_(FreePort()) {
  char name[] = "/tmp/millrace-redis-XXXXXX";
  if (!mkdtemp(name)) throw std::runtime_error("mkdtemp");
  folder_ = name;
}

PrivateRedis::~PrivateRedis() {
  Kill();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void PrivateRedis::Start() {
  std::string log = folder_ + "/log", socket_path = socket(), port = std::to_string(port_);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // not left behind when the test is killed
    execlp("redis-server", "redis-server", "--unixsocket", socket_path.c_str(), "--bind", "127.0.0.1", "--port",
           port.c_str(), "--save", "", "--appendonly", "no", "--dir", folder_.c_str(), "--logfile", log.c_str(),
           "--daemonize", "no", nullptr);
    _exit(127);
  }
  for (int i = 0; i < 500; ++i) {
    if (Cli({"PING"}) == "PONG\n") return;
    usleep(10000);
  }
  throw std::runtime_error("redis-server does not answer");
}

void PrivateRedis::Kill() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string PrivateRedis::Cli(const std::vector<std::string>& words) const {
  std::string command = "redis-cli -s " + socket();
  for (const std::string& word : words) command += " '" + word + "'";
  command += " 2>/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) throw std::runtime_error("popen");
  std::string output;
  char buffer[4096];
  while (size_t got = fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, got);
  pclose(pipe);
  return output;
}

}  // namespace millrace::test
