// SPDX-License-Identifier: Apache-2.0
#include "common/postgres/migrate.h"

#include <algorithm>
#include <map>
#include <vector>

namespace millrace {
std::span<const EmbeddedFile> PostgresFiles();
}

namespace millrace::postgres {
namespace {

constexpr Statement kLock = {"migrate_lock", "SELECT pg_advisory_xact_lock(hashtext('millrace.migrate'))"};
constexpr Statement kApplied = {"migrate_applied", "SELECT name, sha256 FROM schema_migration ORDER BY name"};
constexpr Statement kHash = {"migrate_hash", "SELECT encode(sha256($1::bytea), 'hex')"};
constexpr Statement kRecord = {"migrate_record", "INSERT INTO schema_migration (name, sha256) VALUES ($1, $2)"};
constexpr Statement kRoleExists = {"migrate_role", "SELECT 1 FROM pg_roles WHERE rolname = $1"};

std::string_view File(std::string_view name) {
  for (const EmbeddedFile& file : PostgresFiles()) {
    if (file.name == name) return file.bytes;
  }
  return {};
}

}  // namespace

std::string_view MachinerySql() { return File("machinery.sql"); }
std::string_view RuntimeSql() { return File("runtime.sql"); }

Migrator::Migrator(const std::string& admin_url)
    : database_({.url = admin_url, .schema = "", .role = "", .connections = 1, .statement_timeout_ms = 60000}) {}

Result<MigrationReport> Migrator::Apply(const std::string& service, std::span<const EmbeddedFile> files) {
  std::vector<EmbeddedFile> wanted = {{"V001__machinery.sql", MachinerySql()}};
  for (const EmbeddedFile& file : files) wanted.push_back(file);
  std::sort(wanted.begin(), wanted.end(), [](const EmbeddedFile& a, const EmbeddedFile& b) { return a.name < b.name; });

  const std::string worker = service + "_worker", reader = service + "_reader";
  MILLRACE_CHECK(database_.RunHere([&](Transaction& tx) {
    tx.Execute(kLock);
    tx.ExecuteText(std::string(RuntimeSql()));
    for (const std::string& role : {worker, reader}) {
      if (tx.Execute(kRoleExists, Params().Text(role)).empty()) tx.ExecuteText("CREATE ROLE " + role);
    }
    tx.ExecuteText("CREATE SCHEMA IF NOT EXISTS " + service);
    tx.ExecuteText("GRANT USAGE ON SCHEMA " + service + " TO " + worker + ", " + reader);
    tx.ExecuteText("ALTER DEFAULT PRIVILEGES IN SCHEMA " + service +
                   " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO " + worker);
    tx.ExecuteText("ALTER DEFAULT PRIVILEGES IN SCHEMA " + service + " GRANT USAGE ON SEQUENCES TO " + worker);
    tx.ExecuteText("SET LOCAL search_path = " + service);
    tx.ExecuteText(
        "CREATE TABLE IF NOT EXISTS schema_migration (name text PRIMARY KEY, sha256 text NOT NULL, "
        "apply_time timestamptz NOT NULL DEFAULT clock_timestamp())");
  }));

  MigrationReport report;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const EmbeddedFile& file = wanted[i];
    std::string fault;
    MILLRACE_CHECK(database_.RunHere([&](Transaction& tx) {
      tx.Execute(kLock);
      tx.ExecuteText("SET LOCAL search_path = " + service);
      std::map<std::string, std::string> applied;
      for (Row row : tx.Execute(kApplied)) applied[row.Text(0)] = row.Text(1);
      for (const auto& [name, hash] : applied) {
        bool known = std::any_of(wanted.begin(), wanted.end(), [&](const EmbeddedFile& f) { return f.name == name; });
        if (!known) fault = service + ": the database has " + name + ", which this program does not know; it is newer";
      }
      std::string hash = tx.Execute(kHash, Params().Bytes(file.bytes))[0].Text(0);
      auto found = applied.find(std::string(file.name));
      if (found != applied.end()) {
        if (found->second != hash)
          fault = service + ": " + std::string(file.name) + " was changed after it was applied";
        ++report.present;
        return;
      }
      if (!applied.empty() && applied.rbegin()->first > file.name) {
        fault = service + ": " + std::string(file.name) + " comes before " + applied.rbegin()->first +
                ", which is applied already";
      }
      if (!fault.empty()) return;
      tx.ExecuteText(std::string(file.bytes));
      tx.Execute(kRecord, Params().Text(file.name).Text(hash));
      ++report.applied;
    }));
    if (!fault.empty()) return Fail(Error::Internal(fault));
  }
  return report;
}

}  // namespace millrace::postgres
