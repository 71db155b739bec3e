// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/target.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "services/millrace/arguments.h"
#include "services/millrace/dev/dev.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

constexpr char kDefaultUrl[] = "http://127.0.0.1:8080";

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string Trim(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1));
}

// The first line of a file that holds a secret; nothing, with a word to the person, if it cannot be read.
std::optional<std::string> ReadKeyFile(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  if (!in || !std::getline(in, line) || Trim(line).empty()) {
    Misused("the key file " + path + " cannot be read or is empty");
    return std::nullopt;
  }
  return Trim(line);
}

// The person's file as its keys; nothing if it is faulty.
std::optional<std::map<std::string, std::string>> ReadClientConfig(const std::string& path) {
  std::map<std::string, std::string> values;
  std::ifstream in(path);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    std::string text = Trim(line);
    if (text.empty() || text[0] == '#') continue;
    size_t equals = text.find('=');
    std::string name = Trim(std::string_view(text).substr(0, equals));
    bool known = name == "url" || name == "key" || name == "key_file" || name == "ca_file";
    if (equals == text.npos || !known) {
      Misused(path + ":" + std::to_string(number) + ": expected url, key, key_file or ca_file = value");
      return std::nullopt;
    }
    values[name] = Trim(std::string_view(text).substr(equals + 1));
  }
  struct stat info{};
  if (!values["key"].empty() && stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0) {
    std::fprintf(stderr, "millrace: others may read the key in %s; chmod 600 %s\n", path.c_str(), path.c_str());
  }
  return values;
}

// A value and where it comes from.
struct Found {
  std::string value, origin;
};

Found First(std::initializer_list<Found> places) {
  for (const Found& place : places) {
    if (!place.value.empty()) return place;
  }
  return {};
}

struct Flags {
  std::optional<std::string> url, key, key_file, ca_file, instance;
};

// The key and its origin; a key of `file` or `dev` only for its own address. Nothing if a key file cannot be read.
std::optional<Found> FindKey(const Flags& flags, const Found& url, std::map<std::string, std::string>& file,
                             const std::string& file_origin, const dev::Instance& dev, const std::string& dev_origin) {
  if (flags.key) return Found{*flags.key, "flag --key"};
  if (flags.key_file) {
    std::optional<std::string> key = ReadKeyFile(*flags.key_file);
    return key ? std::optional(Found{*key, "file " + *flags.key_file}) : std::nullopt;
  }
  bool of_dev = url.value == dev.url;
  if (flags.instance && of_dev) return Found{dev.operator_key, dev_origin};
  std::string variable = Variable("MILLRACE_KEY"), variable_file = Variable("MILLRACE_KEY_FILE");
  if (!variable.empty()) return Found{variable, "environment MILLRACE_KEY"};
  bool of_file = url.value == file["url"];
  if (variable_file.empty() && of_file && !file["key"].empty()) return Found{file["key"], file_origin};
  std::string path = !variable_file.empty() ? variable_file : of_file ? file["key_file"] : "";
  if (!path.empty()) {
    std::optional<std::string> key = ReadKeyFile(path);
    return key ? std::optional(Found{*key, "file " + path}) : std::nullopt;
  }
  return of_dev ? Found{dev.operator_key, dev_origin} : Found{};
}

bool SpeaksChinese() {
  for (const char* name : {"LC_ALL", "LC_MESSAGES", "LANG"}) {
    std::string value = Variable(name);
    if (!value.empty()) return value.starts_with("zh");
  }
  return false;
}

}  // namespace

ApiClient Target::Client() const { return ApiClient(url, key, SpeaksChinese(), ca_file); }

std::string ClientConfigPath() {
  std::string base = Variable("XDG_CONFIG_HOME");
  if (base.empty() || base[0] != '/') base = Variable("HOME") + "/.config";  // the XDG rule: relative paths are ignored
  return base + "/millrace/config";
}

std::optional<Target> FindTarget(std::vector<std::string>* arguments) {
  Flags flags;
  flags.url = TakeOption(arguments, "--url");
  flags.key = TakeOption(arguments, "--key");
  flags.key_file = TakeOption(arguments, "--key-file");
  flags.ca_file = TakeOption(arguments, "--ca-file");
  flags.instance = TakeOption(arguments, "--instance");
  std::string folder = flags.instance.value_or(dev::DefaultData());
  dev::Instance dev;
  if (!dev::ReadInstance(folder, &dev) && flags.instance) {
    Misused("no millrace dev runs on " + folder + "; start one, or name its folder with --instance");
    return std::nullopt;
  }
  std::string path = ClientConfigPath();
  auto file = ReadClientConfig(path);
  if (!file) return std::nullopt;
  std::string file_origin = "file " + path, dev_origin = "the millrace dev in " + folder;

  Found url = First({{flags.url.value_or(""), "flag --url"},
                     {flags.instance ? dev.url : "", dev_origin},
                     {Variable("MILLRACE_URL"), "environment MILLRACE_URL"},
                     {(*file)["url"], file_origin},
                     {dev.url, dev_origin},
                     {kDefaultUrl, "default"}});
  std::optional<Found> key = FindKey(flags, url, *file, file_origin, dev, dev_origin);
  if (!key) return std::nullopt;
  Target target{url.value, url.origin, key->value, key->origin, {}};
  target.ca_file =
      First({{flags.ca_file.value_or(""), ""}, {Variable("MILLRACE_CA_FILE"), ""}, {(*file)["ca_file"], ""}}).value;
  return target;
}

int RunWhoami(std::vector<std::string> arguments) {
  bool json = TakeFlag(&arguments, "--json");
  std::optional<Target> target = FindTarget(&arguments);
  if (!target) return kMisused;
  if (!arguments.empty()) return Leftover("whoami", arguments);
  Answer me = target->Client().Call("GET", "/v1/me");
  if (!me.ok()) {
    std::fprintf(stderr, "millrace whoami: %s\n  asked %s (%s) with the key of %s\n", Describe(me).c_str(),
                 target->url.c_str(), target->url_origin.c_str(),
                 target->key.empty() ? "nobody: there is none" : target->key_origin.c_str());
    return Refusal(me);
  }
  if (json) {
    Json out = me.body;
    out["url"] = target->url;
    out["url_origin"] = target->url_origin;
    out["key_origin"] = target->key_origin;
    std::printf("%s\n", out.dump(2).c_str());
    return kDone;
  }
  const Json organization = me.body.value("organization", Json::object());
  std::string roles;
  for (const Json& role : me.body.value("roles", Json::array())) {
    roles += (roles.empty() ? "" : ", ") + role.get<std::string>();
  }
  PrintTable({"WHAT", "VALUE", "FROM"},
             {{"organization", organization.value("display_name", ""), organization.value("state", "")},
              {"id", organization.value("id", ""), ""},
              {"roles", roles, ""},
              {"key", me.body.value("api_key_id", ""), target->key_origin},
              {"url", target->url, target->url_origin}});
  return kDone;
}

}  // namespace millrace
