// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

// Runs the command that the arguments name; returns the exit status: 0 done, 1 refused or failed, 2 wrong usage, 4 not
// permitted.
int RunCommand(std::vector<std::string> arguments);

// A command that is no resource's.
struct Command {
  const char* name;
  int (*run)(std::vector<std::string> arguments);
  const char* what;
  const char* examples;  // a line each, without the leading "millrace"
  const char* usage;     // behind the name; options on lines of their own
  const char* verbs;     // "show,advance": words that may follow at once
};

std::span<const Command> Commands();
// Null if there is none of that name.
const Command* FindCommand(std::string_view name);

}  // namespace millrace
