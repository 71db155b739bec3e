// SPDX-License-Identifier: Apache-2.0
#include "tests/support/private_postgres.h"

#include <libpq-fe.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "common/postgres/migrate.h"

namespace millrace::test {
namespace {

namespace fs = std::filesystem;

const std::string kBin = "/usr/lib/postgresql/15/bin/";

void Shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

// Leaves a copy for the next process; another may have been quicker.
void Prepare(const std::string& data, const std::string& prepared) {
  std::string copied = prepared + "." + std::to_string(getpid());
  Shell("cp -a " + data + " " + copied);
  std::error_code error;
  fs::rename(copied, prepared, error);
  if (error) fs::remove_all(copied);
}

}  // namespace

PrivatePostgres& PrivatePostgres::Instance() {
  static PrivatePostgres instance;
  return instance;
}

PrivatePostgres::PrivatePostgres() {
  char name[] = "/tmp/millrace-pg-XXXXXX";
  if (!mkdtemp(name)) throw std::runtime_error("mkdtemp");
  folder_ = name;
  if (geteuid() == 0) {
    as_ = "runuser -u postgres -- ";
    Shell("chown postgres " + folder_);
  }
  std::string log = " >" + folder_ + "/log 2>&1";
  std::string data = folder_ + "/data";
  std::string prepared = std::getenv("MILLRACE_PREPARED") ? std::getenv("MILLRACE_PREPARED") : "";
  if (!prepared.empty()) prepared += "/cluster";
  if (!prepared.empty() && fs::exists(prepared)) {
    Shell("cp -a " + prepared + " " + data);
  } else {
    Shell("cd / && " + as_ + kBin + "initdb -N -A trust -U postgres -E UTF8 --locale=C.UTF-8 -D " + data + log);
    if (!prepared.empty()) Prepare(data, prepared);
  }
  Shell("cd / && " + as_ + kBin + "pg_ctl -w -D " + folder_ + "/data -l " + folder_ +
        "/server.log -o \"-c listen_addresses='' -c unix_socket_directories=" + folder_ +
        " -c fsync=off -c max_connections=60 -c shared_buffers=32MB\" start" + log);
}

PrivatePostgres::~PrivatePostgres() {
  PQfinish(server_);
  std::string stop = "cd / && " + as_ + kBin + "pg_ctl -m immediate -D " + folder_ + "/data stop >/dev/null 2>&1";
  if (std::system(stop.c_str()) == 0) {
    std::string remove = "rm -rf " + folder_;
    if (std::system(remove.c_str()) != 0) std::fprintf(stderr, "left behind: %s\n", folder_.c_str());
  }
}

std::string PrivatePostgres::Url(const std::string& database) const {
  return "host=" + folder_ + " user=postgres dbname=" + database;
}

std::string PrivatePostgres::Create(const std::string& name, const std::string& template_name) {
  if (!server_) server_ = PQconnectdb(Url("postgres").c_str());
  PGresult* made = PQexec(server_, ("CREATE DATABASE " + name + " TEMPLATE " + template_name).c_str());
  std::string error = PQresultStatus(made) == PGRES_COMMAND_OK ? "" : PQerrorMessage(server_);
  PQclear(made);
  if (!error.empty()) throw std::runtime_error(error);
  return Url(name);
}

std::string PrivatePostgres::NewDatabase() { return Create("test_" + std::to_string(++made_), "template1"); }

std::string PrivatePostgres::NewDatabase(const std::vector<Schema>& schemas) {
  std::string names;
  for (const Schema& schema : schemas) names += schema.service + " ";
  std::string& source = templates_[names];
  if (source.empty()) {
    std::string name = "migrated_" + std::to_string(templates_.size());
    std::string url = Create(name, "template1");
    postgres::Migrator migrator(url);
    for (const Schema& schema : schemas) {
      auto migrated = migrator.Apply(schema.service, schema.migrations);
      if (!migrated) throw std::runtime_error(migrated.error().cause);
    }
    source = name;
  }
  return Create("test_" + std::to_string(++made_), source);
}

}  // namespace millrace::test
