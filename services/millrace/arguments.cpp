// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/arguments.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "services/millrace/terminal.h"

namespace millrace {

std::optional<std::string> TakeOption(std::vector<std::string>* arguments, const std::string& name) {
  for (auto it = arguments->begin(); it != arguments->end(); ++it) {
    if (it->starts_with(name + "=")) {
      std::string value = it->substr(name.size() + 1);
      arguments->erase(it);
      return value;
    }
    if (*it == name && it + 1 != arguments->end()) {
      std::string value = *(it + 1);
      arguments->erase(it, it + 2);
      return value;
    }
  }
  return std::nullopt;
}

bool TakeFlag(std::vector<std::string>* arguments, const std::string& name) { return std::erase(*arguments, name) > 0; }

std::optional<std::string> TakeWord(std::vector<std::string>* arguments) {
  auto word = std::ranges::find_if(*arguments, [](const std::string& one) { return !one.starts_with("--"); });
  if (word == arguments->end()) return std::nullopt;
  std::string taken = *word;
  arguments->erase(word);
  return taken;
}

std::optional<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

int Misused(const std::string& sentence) {
  std::fprintf(stderr, "millrace: %s\n", sentence.c_str());
  return kMisused;
}

int Leftover(const std::string& command, const std::vector<std::string>& arguments) {
  return Misused(command + " cannot use " + arguments[0] + "; `millrace " + command + " --help` shows how it is used");
}

}  // namespace millrace
