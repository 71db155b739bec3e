// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/runtime/settings.h"
#include "services/millrace/client.h"

namespace millrace {

// `doctor`: checks what an instance needs on this machine and prints a line for each, with what mends a failing one.
int RunDoctor(std::vector<std::string> arguments);

// The outcome of one check.
struct Finding {
  enum class State { kOk, kSkipped, kFailed };
  std::string name;
  State state = State::kOk;
  std::string detail;
  std::string fix;  // a command, or what to do; of a failed one
};

// What is checked.
struct Patient {
  runtime::Settings settings;
  std::string settings_word;  // how `millrace …` finds these settings again: "--config FILE", "--instance FOLDER"
  std::string dev_folder;     // of a millrace dev; else empty
};

// The checks, in the order in which they are printed. Each may give several findings.
std::vector<Finding> CheckDatabase(const Patient& patient);  // reachable, version, migrations, clock skew
std::vector<Finding> CheckRedis(const Patient& patient);
std::vector<Finding> CheckCustodian(const Patient& patient);
std::vector<Finding> CheckDisk(const Patient& patient);
std::vector<Finding> CheckPort(const Patient& patient);

}  // namespace millrace
