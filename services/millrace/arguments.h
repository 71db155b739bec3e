// SPDX-License-Identifier: Apache-2.0
// What a command line says, taken word by word.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace millrace {

// Takes "--name value" or "--name=value" out of the arguments.
std::optional<std::string> TakeOption(std::vector<std::string>* arguments, const std::string& name);
// Takes "--name" out.
bool TakeFlag(std::vector<std::string>* arguments, const std::string& name);
// Takes the first word that is no option.
std::optional<std::string> TakeWord(std::vector<std::string>* arguments);
// A file's bytes; nothing if it cannot be read.
std::optional<std::string> ReadFile(const std::string& path);

// Tells the person what is wrong; returns the exit status 2.
int Misused(const std::string& sentence);
// What stays when every option is taken is not known here, or lacks its value.
int Leftover(const std::string& command, const std::vector<std::string>& arguments);

}  // namespace millrace
