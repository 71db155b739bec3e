// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "common/base/embedded_file.h"
#include "common/base/result.h"
#include "common/postgres/database.h"

namespace millrace::postgres {

struct MigrationReport {
  int applied = 0;
  int present = 0;
};

// Brings schemas of one database up to date, over one connection.
class Migrator {
 public:
  explicit Migrator(const std::string& admin_url);
  // Makes the schema and the roles <service>_worker and <service>_reader if they are not there, then applies
  // V001__machinery (built in, the same for all) and the files, in name order, each in one transaction, under an
  // advisory lock so that two processes may start at once. Refuses (INTERNAL with a cause that names the file) a file
  // whose content differs from what was applied, a gap, and a database that is newer than this program. The login must
  // own the database.
  Result<MigrationReport> Apply(const std::string& service, std::span<const EmbeddedFile> files);

 private:
  Database database_;
};

// The built-in first migration and the clock's schema.
std::string_view MachinerySql();
std::string_view RuntimeSql();

}  // namespace millrace::postgres
