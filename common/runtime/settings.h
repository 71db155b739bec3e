// SPDX-License-Identifier: Apache-2.0
// The program's configuration: flags, then MILLRACE_* variables, then a file, then defaults; every fault is reported at
// once.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::runtime {

// One key. In a flag it is --http-address, in the environment MILLRACE_HTTP_ADDRESS, in the file http_address = ….
struct SettingInfo {
  const char* key;
  const char* default_value;
  const char* what;
  bool secret;
};
const std::vector<SettingInfo>& AllSettings();

class Settings {
 public:
  // Defaults only.
  Settings();
  // `flags`: the --key=value and --key value arguments of a command line; those it does not know are faults.
  static Settings Load(const std::vector<std::string>& flags, std::vector<std::string>* faults);

  const std::string& Get(std::string_view key) const;
  bool Is(std::string_view key) const { return Get(key) == "true"; }
  int64_t Int(std::string_view key) const;
  // flag, environment, file, default or "set by dev".
  const std::string& Origin(std::string_view key) const;
  void Set(std::string_view key, std::string value, std::string origin);

 private:
  struct Value {
    std::string value, origin;
  };
  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace millrace::runtime
