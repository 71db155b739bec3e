// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/dev/child.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "common/base/random.h"

namespace millrace::dev {
namespace {

const passwd* PostgresUser() { return geteuid() == 0 ? getpwnam("postgres") : nullptr; }

void LetOthersBind(int fd) {
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

bool Bind(int fd, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

pid_t Start(const Program& program) {
  std::vector<char*> argv;
  for (const std::string& part : program.argv) argv.push_back(const_cast<char*>(part.c_str()));
  argv.push_back(nullptr);
  const passwd* user = program.unprivileged ? PostgresUser() : nullptr;
  pid_t parent = getpid();
  pid_t pid = fork();
  if (pid != 0) return pid;
  setpgid(0, 0);
  int log = open(program.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (log >= 0) {
    dup2(log, 1);
    dup2(log, 2);
  }
  int nothing = open("/dev/null", O_RDONLY);
  if (nothing >= 0) dup2(nothing, 0);
  for (const auto& [name, value] : program.environment) {
    if (value.empty()) {
      unsetenv(name.c_str());
    } else {
      setenv(name.c_str(), value.c_str(), 1);
    }
  }
  if (user) {
    if (initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)) _exit(126);
    if (chdir("/")) _exit(126);
  }
  // After the change of user, which would take it back.
  prctl(PR_SET_PDEATHSIG, program.end_signal);
  if (getppid() != parent) _exit(125);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execv(argv[0], argv.data());
  _exit(127);
}

int RunToEnd(const Program& program) {
  pid_t pid = Start(program);
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) < 0) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool HasEnded(pid_t pid) {
  int status = 0;
  return waitpid(pid, &status, WNOHANG) != 0;
}

void End(pid_t pid, int end_signal, int seconds) {
  kill(pid, end_signal);
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (HasEnded(pid)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
}

bool GiveToUnprivileged(const std::string& folder) {
  const passwd* user = PostgresUser();
  if (!user) return geteuid() != 0;
  return chown(folder.c_str(), user->pw_uid, user->pw_gid) == 0;
}

// Below the system's range for sockets that bind no port of their own, so that none of those takes it before its
// program has bound it.
int ReservePort() {
  constexpr int kFirst = 20000, kPast = 32000;
  for (int tries = 0; tries < 1000; ++tries) {
    uint16_t random = 0;
    FillRandom(&random, sizeof random);
    int port = kFirst + random % (kPast - kFirst);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    if (Bind(fd, port)) {
      LetOthersBind(fd);
      return port;  // fd stays open
    }
    close(fd);
  }
  return 0;
}

bool IsFree(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  LetOthersBind(fd);
  bool good = Bind(fd, port);
  close(fd);
  return good;
}

}  // namespace millrace::dev
