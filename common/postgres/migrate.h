// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/embedded_file.h"
#include "common/base/result.h"

namespace millrace::postgres {

struct MigrationReport {
  int applied = 0;
  int present = 0;
};

// Brings one service's schema up to date: makes the schema and the roles <service>_worker and <service>_reader if they
// are not there, then applies V001__machinery (built in, the same for all) and the files, in name order, each in one
// transaction, under an advisory lock so that two processes may start at once. Refuses (INTERNAL with a cause that
// names the file) a file whose content differs from what was applied, a gap, and a database that is newer than this
// program. `admin_url` must own the database.
Result<MigrationReport> Migrate(const std::string& admin_url, const std::string& service,
                                std::span<const EmbeddedFile> files);

// The built-in first migration and the clock's schema.
std::string_view MachinerySql();
std::string_view RuntimeSql();

}  // namespace millrace::postgres
