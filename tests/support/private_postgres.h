// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace millrace::test {

// A PostgreSQL server of this test process alone: a fresh data folder, a Unix socket, no TCP; stopped and deleted at the end.
// fsync is off here and only here: tests kill processes, never the machine.
class PrivatePostgres {
 public:
  static PrivatePostgres& Instance();
  // A URL of a fresh, empty database; the login owns it.
  std::string NewDatabase();
  const std::string& socket_folder() const { return folder_; }

  PrivatePostgres(const PrivatePostgres&) = delete;

 private:
  PrivatePostgres();
  ~PrivatePostgres();
  std::string folder_;
  std::string as_;  // command prefix that leaves root, which PostgreSQL refuses
  int made_ = 0;
};

}  // namespace millrace::test
