// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace millrace::dev {

struct DevOptions {
  std::string data;                     // folder of everything
  int port = 8080;                      // 0: any free one
  bool split = false;                   // every service a process of its own
  bool sample = true;                   // load the sample catalogue into an empty instance
  bool reset = false;                   // delete the folder first
  bool story = false;                   // run the demo once it is up
  std::string database_url, redis_url;  // used instead of private servers when given
};

// Where dev keeps its data unless told otherwise: /var/lib/millrace/dev for root (PostgreSQL leaves root and cannot
// enter root's home), else .millrace in the present folder.
std::string DefaultData();

// Starts PostgreSQL, Redis, the custodian and all roles, and keeps them running until SIGINT or SIGTERM. Returns the
// exit status.
int Dev(const DevOptions& options);

// What a running dev wrote into its folder: URLs and keys.
struct Instance {
  std::string url, operator_key, regulator_key, custodian_url, custodian_key;
};
// Of `data`; false if there is none.
bool ReadInstance(const std::string& data, Instance* instance);

}  // namespace millrace::dev
