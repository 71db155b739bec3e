// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <csignal>
#include <map>
#include <string>
#include <vector>

namespace millrace::dev {

// A program that dev starts and owns.
struct Program {
  std::string name;                                // for messages
  std::vector<std::string> argv;                   // argv[0] is the path
  std::map<std::string, std::string> environment;  // besides dev's own; an empty value takes the variable away
  std::string log_file;                            // standard output and error are appended here
  bool unprivileged = false;  // leaves root for the user postgres: PostgreSQL refuses to run as root
  int end_signal = SIGTERM;   // how it is asked to end; also sent by the kernel if dev dies
};

// Starts it; in a process group of its own, so that Ctrl-C reaches dev alone. Returns its pid, -1 if it cannot be
// started.
pid_t Start(const Program& program);
// Runs it to its end; its exit status, or 128 + signal.
int RunToEnd(const Program& program);
// Waits up to `seconds` for it to end, then kills it.
void End(pid_t pid, int end_signal, int seconds);
// Whether it has ended; reaps it.
bool HasEnded(pid_t pid);
// Gives a folder and what it holds to the user postgres when dev runs as root.
bool GiveToUnprivileged(const std::string& folder);
// A TCP port of 127.0.0.1 for a program that dev starts; 0 if none is left. Until this process ends, a socket stays bound
// to it without listening: servers, which allow addresses to be reused, may listen beside it, but nobody else reserves it.
int ReservePort();
bool IsFree(int port);

}  // namespace millrace::dev
