// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/command_line.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "services/millrace/apart.h"
#include "services/millrace/client.h"
#include "services/millrace/demo.h"
#include "services/millrace/dev/dev.h"
#include "services/millrace/import.h"
#include "services/millrace/resources.h"
#include "services/millrace/serve.h"

namespace millrace {
namespace {

// Takes "--name value" or "--name=value" out of the arguments.
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

int Misused(const std::string& sentence) {
  std::fprintf(stderr, "millrace: %s\n", sentence.c_str());
  return 2;
}

// What stays when every option is taken is not known here, or lacks its value.
int Leftover(const std::string& command, const std::vector<std::string>& arguments) {
  return Misused(command + " cannot use " + arguments[0] + "; `millrace " + command + " --help` shows how it is used");
}

int NoInstance(const std::string& data) {
  return Misused("no millrace dev runs on " + data + "; start one, or name its folder with --instance");
}

// Where to call and as whom: --url and --key, MILLRACE_URL and MILLRACE_KEY, or the operator of the dev instance whose
// folder is --instance. Nothing, with a word to the person, if --instance names none that runs.
std::optional<ApiClient> FindTarget(std::vector<std::string>* arguments) {
  dev::Instance instance;
  std::optional<std::string> folder = TakeOption(arguments, "--instance");
  if (!dev::ReadInstance(folder.value_or(dev::DefaultData()), &instance) && folder) {
    NoInstance(*folder);
    return std::nullopt;
  }
  auto setting = [&](const char* option, const char* variable, const std::string& otherwise) {
    std::optional<std::string> given = TakeOption(arguments, option);
    if (given) return *given;
    const char* value = std::getenv(variable);
    return value ? std::string(value) : otherwise;
  };
  std::string url = setting("--url", "MILLRACE_URL", instance.url.empty() ? "http://127.0.0.1:8080" : instance.url);
  std::string key = setting("--key", "MILLRACE_KEY", instance.operator_key);
  const char* language = std::getenv("LANG");
  return ApiClient(url, key, language && std::string_view(language).starts_with("zh"));
}

int RunDev(std::vector<std::string> arguments) {
  dev::DevOptions options;
  options.data = TakeOption(&arguments, "--data").value_or(dev::DefaultData());
  std::string port = TakeOption(&arguments, "--port").value_or("8080");
  if (port.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != port.npos || std::stoi(port) > 65535) {
    return Misused("--port must be 0 to 65535");
  }
  options.port = std::stoi(port);
  options.database_url = TakeOption(&arguments, "--database-url").value_or("");
  options.redis_url = TakeOption(&arguments, "--redis-url").value_or("");
  options.split = TakeFlag(&arguments, "--split");
  options.sample = !TakeFlag(&arguments, "--no-sample");
  options.reset = TakeFlag(&arguments, "--reset");
  options.story = TakeFlag(&arguments, "--demo");
  if (!arguments.empty()) return Leftover("dev", arguments);
  return dev::Dev(options);
}

int RunDemo(std::vector<std::string> arguments) {
  bool json = TakeFlag(&arguments, "--json");
  std::string data = TakeOption(&arguments, "--instance").value_or(dev::DefaultData());
  if (!arguments.empty()) return Leftover("demo", arguments);
  dev::Instance instance;
  if (!dev::ReadInstance(data, &instance)) return NoInstance(data);
  return Demo(instance, json);
}

int RunImport(std::vector<std::string> arguments) {
  std::optional<ApiClient> client = FindTarget(&arguments);
  if (!client) return 2;
  ImportOptions options;
  options.map = TakeOption(&arguments, "--map").value_or("");
  options.dry_run = TakeFlag(&arguments, "--dry-run");
  options.publish = TakeFlag(&arguments, "--publish");
  options.skip_invalid = TakeFlag(&arguments, "--skip-invalid");
  if (arguments.empty()) return Misused("import what? Name a CSV file; `millrace import --help` shows how it is used");
  // The file is the first word that is no option; whatever else stays is not known.
  for (size_t i = 0; i < arguments.size() && options.file.empty(); ++i) {
    if (arguments[i].starts_with("--")) continue;
    options.file = arguments[i];
    arguments.erase(arguments.begin() + static_cast<std::ptrdiff_t>(i));
  }
  if (!arguments.empty()) return Leftover("import", arguments);
  return Import(*client, options);
}

int RunVerify(std::vector<std::string> arguments) {
  std::optional<ApiClient> client = FindTarget(&arguments);
  if (!client) return 2;
  return arguments.empty() ? Verify(*client) : Leftover("verify", arguments);
}

int ServeOrMigrate(const std::vector<std::string>& arguments, bool migrate) {
  std::vector<std::string> faults;
  runtime::Settings settings = runtime::Settings::Load(arguments, &faults);
  if (migrate && settings.Get("database_url").empty())
    faults.push_back("database_url: needed; --database-url=postgresql://…");
  for (const std::string& fault : faults) std::fprintf(stderr, "millrace: %s\n", fault.c_str());
  if (!faults.empty()) return 2;
  return migrate ? MigrateAll(settings.Get("database_url"), false) : Serve(settings);
}

int RunServe(std::vector<std::string> arguments) { return ServeOrMigrate(arguments, false); }
int RunCertificates(std::vector<std::string> arguments) {
  std::string days = TakeOption(&arguments, "--days").value_or("365");
  if (days.empty() || days.size() > 4 || days.find_first_not_of("0123456789") != days.npos || std::stoi(days) == 0) {
    return Misused("--days must be 1 to 9999");
  }
  if (arguments.empty() || arguments[0].starts_with("--")) {
    return Misused("certificates where? Name a folder; `millrace certificates --help` shows how it is used");
  }
  std::string folder = arguments[0];
  arguments.erase(arguments.begin());
  for (const std::string& word : arguments) {
    if (word.starts_with("--")) return Leftover("certificates", {word});
  }
  return MakeCertificates(folder, arguments, std::stoi(days));
}

int RunMigrate(std::vector<std::string> arguments) { return ServeOrMigrate(arguments, true); }

int ShowConfig(std::vector<std::string> arguments) {
  if (arguments.empty() || arguments[0] != "show") return Misused("config knows one verb: `millrace config show`");
  arguments.erase(arguments.begin());
  std::vector<std::string> faults;
  runtime::Settings settings = runtime::Settings::Load(arguments, &faults);
  for (const runtime::SettingInfo& info : runtime::AllSettings()) {
    const std::string& value = settings.Get(info.key);
    std::string shown = info.secret && !value.empty() ? "(set)" : value.empty() ? "(none)" : value;
    std::printf("%-22s %-24s %-28s %s\n", info.key, shown.c_str(), settings.Origin(info.key).c_str(), info.what);
  }
  std::printf(
      "Set one by flag (--http-address=…), environment (MILLRACE_HTTP_ADDRESS=…) or file (--config FILE: key = "
      "value).\nA secret may also stand in a file of its own: MILLRACE_OPERATOR_KEY_FILE=/run/secrets/operator_key.\n");
  for (const std::string& fault : faults) std::fprintf(stderr, "millrace: %s\n", fault.c_str());
  return faults.empty() ? 0 : 2;
}

struct Command {
  const char* name;
  int (*run)(std::vector<std::string> arguments);
  const char* what;
  const char* usage;
};

constexpr Command kCommands[] = {
    {"dev", RunDev, "start everything on this machine: PostgreSQL, Redis, custodian sandbox, all services, sample data",
     "[--data FOLDER] [--port N] [--split] [--no-sample] [--reset] [--demo] [--database-url URL] [--redis-url URL]\n"
     "  --data FOLDER       where it keeps everything; started there again, it goes on where it was\n"
     "  --port N            of the API, 8080 unless given; 0 takes any free one\n"
     "  --split             every service a process of its own\n"
     "  --no-sample         leave the sample catalogue out\n"
     "  --reset             delete what the folder's instance holds first\n"
     "  --demo              run `millrace demo` once it is up\n"
     "  --database-url URL  use this PostgreSQL; --redis-url URL: this Redis"},
    {"demo", RunDemo, "run one whole trade against it, step by step",
     "[--instance FOLDER] [--json]\n  --json  print every answer whole"},
    {"verify", RunVerify, "check the ledger, entry by entry, and against the custodian",
     "[--instance FOLDER] [--url URL] [--key KEY]\n  Ends with 0 where every check holds, else with 1."},
    {"import", RunImport, "send a CSV of resources (--dry-run first)",
     "FILE.csv [--map MAP.yaml] [--dry-run] [--publish] [--skip-invalid] [--instance FOLDER] [--url URL] [--key KEY]\n"
     "  --map MAP.yaml  the file has columns of its own; the map says which is which (deploy/local/maps/README.md)\n"
     "  --dry-run       check it only\n"
     "  --publish       publish what has a price, a calendar and a process\n"
     "  --skip-invalid  leave refused rows out; otherwise one refused row stops the file"},
    {"serve", RunServe,
     "run roles: all, or gateway, identity, listing, operations, escrow, credit, matching, notifications",
     "[--role=ROLE,…] [--config FILE] [--key=value]…\n  `millrace config show` lists the settings."},
    {"certificates", RunCertificates, "make or renew the certificates of roles that run apart",
     "FOLDER [NAME=ROLE,ROLE…]… [--days N]\n"
     "  Makes an authority (ca.pem, ca.key) and for each role ROLE.pem and ROLE.key; what is good is left alone.\n"
     "  NAME=ROLE,ROLE  a pair for one process that is several roles\n"
     "  --days N        how long a new pair lasts, 365 unless given"},
    {"migrate", RunMigrate, "bring a database up to date", "--database-url=URL"},
    {"config", ShowConfig, "`config show`: every setting, its value and where that comes from",
     "show [--config FILE] [--key=value]…"},
};

int Help() {
  std::printf("millrace " MILLRACE_VERSION ": an exchange for manufacturing capacity\n\n");
  for (const Command& command : kCommands) std::printf("  millrace %-10s %s\n", command.name, command.what);
  std::printf(
      "\n`millrace COMMAND --help` tells more. Resources (`millrace NOUN --help` shows the verbs; --url and --key, or\n"
      "MILLRACE_URL and MILLRACE_KEY, say where and as whom; without them the operator of a running dev asks):\n ");
  std::string last;
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun != last) std::printf(" %s", command.noun.c_str());
    last = command.noun;
  }
  std::printf("\n");
  return 0;
}

bool AsksForHelp(const std::string& word) { return word == "--help" || word == "-h"; }

int RunNoun(std::vector<std::string> arguments) {
  if (std::ranges::any_of(arguments, AsksForHelp)) {
    PrintVerbs(arguments[0], stdout);
    return 0;
  }
  std::optional<ApiClient> client = FindTarget(&arguments);
  return client ? RunResource(*client, arguments) : 2;
}

}  // namespace

int RunCommand(std::vector<std::string> arguments) {
  if (!arguments.empty() && arguments[0] == "help") {  // `help dev` is `dev --help`
    arguments.erase(arguments.begin());
    arguments.push_back("--help");
  }
  if (arguments.empty() || AsksForHelp(arguments[0])) return Help();
  if (arguments[0] == "--version") {
    std::printf("millrace " MILLRACE_VERSION "\n");
    return 0;
  }
  for (const Command& command : kCommands) {
    if (arguments[0] != command.name) continue;
    arguments.erase(arguments.begin());
    if (std::ranges::none_of(arguments, AsksForHelp)) return command.run(std::move(arguments));
    std::printf("millrace %s %s\n\n%s\n", command.name, command.usage, command.what);
    return 0;
  }
  if (IsNoun(arguments[0])) return RunNoun(std::move(arguments));
  return Misused("there is no command " + arguments[0] + "; `millrace help` lists them");
}

}  // namespace millrace
