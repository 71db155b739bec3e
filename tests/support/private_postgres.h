// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/base/embedded_file.h"

struct pg_conn;

namespace millrace::test {

// A service's schema, and its migrations after the built-in first one.
struct Schema {
  std::string service;
  std::span<const EmbeddedFile> migrations;
};

// A PostgreSQL server of this test process alone: a fresh data folder, a Unix socket, no TCP; stopped and deleted at
// the end. fsync is off here and only here: tests kill processes, never the machine. If MILLRACE_PREPARED
// names a folder, the first process leaves a fresh data folder there, and the others copy it.
class PrivatePostgres {
 public:
  static PrivatePostgres& Instance();
  // A URL of a fresh, empty database; the login owns it.
  std::string NewDatabase();
  // The same with these schemas in it: migrated once for each set of services, and copied from then on.
  std::string NewDatabase(const std::vector<Schema>& schemas);
  const std::string& socket_folder() const { return folder_; }

  PrivatePostgres(const PrivatePostgres&) = delete;

 private:
  PrivatePostgres();
  ~PrivatePostgres();
  std::string Url(const std::string& database) const;
  std::string Create(const std::string& name, const std::string& template_name);
  std::string folder_;
  std::string as_;  // command prefix that leaves root, which PostgreSQL refuses
  pg_conn* server_ = nullptr;
  std::map<std::string, std::string> templates_;  // names of services: name of the database that is copied
  int made_ = 0;
};

}  // namespace millrace::test
