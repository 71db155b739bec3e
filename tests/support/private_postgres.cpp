// SPDX-License-Identifier: Apache-2.0
#include "tests/support/private_postgres.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace millrace::test {
namespace {

const std::string kBin = "/usr/lib/postgresql/15/bin/";

void Shell(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
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
  Shell("cd / && " + as_ + kBin + "initdb -N -A trust -U postgres -E UTF8 --locale=C.UTF-8 -D " + folder_ + "/data" + log);
  Shell("cd / && " + as_ + kBin + "pg_ctl -w -D " + folder_ + "/data -l " + folder_ +
        "/server.log -o \"-c listen_addresses='' -c unix_socket_directories=" + folder_ +
        " -c fsync=off -c max_connections=60 -c shared_buffers=32MB\" start" + log);
}

PrivatePostgres::~PrivatePostgres() {
  std::string stop = "cd / && " + as_ + kBin + "pg_ctl -m immediate -D " + folder_ + "/data stop >/dev/null 2>&1";
  if (std::system(stop.c_str()) == 0) {
    std::string remove = "rm -rf " + folder_;
    if (std::system(remove.c_str()) != 0) std::fprintf(stderr, "left behind: %s\n", folder_.c_str());
  }
}

std::string PrivatePostgres::NewDatabase() {
  std::string database = "test_" + std::to_string(++made_);
  Shell("psql -q -h " + folder_ + " -U postgres -d postgres -c 'CREATE DATABASE " + database + "'");
  return "host=" + folder_ + " user=postgres dbname=" + database;
}

}  // namespace millrace::test
