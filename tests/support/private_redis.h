// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace millrace::test {

// A Redis server of this test alone: a Unix socket in a fresh folder and a free TCP port of the loopback, no
// persistence; ended and deleted with the object.
class PrivateRedis {
 public:
  PrivateRedis();
  ~PrivateRedis();
  PrivateRedis(const PrivateRedis&) = delete;

  void Start();  // returns when it answers
  void Kill();   // SIGKILL
  // redis-cli with these words; its output.
  std::string Cli(const std::vector<std::string>& words) const;
  std::string unix_url() const { return "unix:" + socket(); }
  std::string tcp_url() const { return "redis://localhost:" + std::to_string(port_); }

 private:
  std::string socket() const { return folder_ + "/redis.sock"; }
  std::string folder_;
  int port_ = 0;
  pid_t pid_ = -1;
};

}  // namespace millrace::test
