// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/command_line.h"

#include <cstdio>
#include <cstdlib>
#include <optional>

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

// Where to call and as whom: --url and --key, MILLRACE_URL and MILLRACE_KEY, or the operator of the dev instance whose
// folder is --instance.
struct Target {
  ApiClient client{"", ""};
  dev::Instance instance;
};

Target FindTarget(std::vector<std::string>* arguments) {
  Target target;
  dev::ReadInstance(TakeOption(arguments, "--instance").value_or(dev::DefaultData()), &target.instance);
  auto setting = [&](const char* option, const char* variable, const std::string& otherwise) {
    std::optional<std::string> given = TakeOption(arguments, option);
    if (given) return *given;
    const char* value = std::getenv(variable);
    return value ? std::string(value) : otherwise;
  };
  std::string url =
      setting("--url", "MILLRACE_URL", target.instance.url.empty() ? "http://127.0.0.1:8080" : target.instance.url);
  std::string key = setting("--key", "MILLRACE_KEY", target.instance.operator_key);
  const char* language = std::getenv("LANG");
  target.client = ApiClient(url, key, language && std::string_view(language).starts_with("zh"));
  return target;
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
  if (!arguments.empty()) {
    return Misused("dev does not know " + arguments[0] +
                   "; it takes --data FOLDER, --port N, --split, --no-sample, --reset, --demo, --database-url URL, "
                   "--redis-url URL");
  }
  return dev::Dev(options);
}

int RunDemo(std::vector<std::string> arguments) {
  bool json = TakeFlag(&arguments, "--json");
  std::string data = TakeOption(&arguments, "--instance").value_or(dev::DefaultData());
  if (!arguments.empty())
    return Misused("demo does not know " + arguments[0] + "; it takes --instance FOLDER and --json");
  dev::Instance instance;
  if (!dev::ReadInstance(data, &instance))
    return Misused("no millrace dev runs on " + data + "; start one, or name its folder with --instance");
  return Demo(instance, json);
}

int RunImport(std::vector<std::string> arguments) {
  Target target = FindTarget(&arguments);
  ImportOptions options;
  options.map = TakeOption(&arguments, "--map").value_or("");
  options.dry_run = TakeFlag(&arguments, "--dry-run");
  options.publish = TakeFlag(&arguments, "--publish");
  options.skip_invalid = TakeFlag(&arguments, "--skip-invalid");
  if (arguments.size() != 1 || arguments[0].starts_with("--")) {
    return Misused("import FILE.csv [--map MAP.yaml] [--dry-run] [--publish] [--skip-invalid] [--url URL] [--key KEY]");
  }
  options.file = arguments[0];
  return Import(target.client, options);
}

int RunVerify(std::vector<std::string> arguments) {
  Target target = FindTarget(&arguments);
  if (!arguments.empty())
    return Misused("verify does not know " + arguments[0] + "; it takes --instance FOLDER, --url URL and --key KEY");
  return Verify(target.client);
}

int RunServe(const std::vector<std::string>& arguments, bool migrate) {
  std::vector<std::string> faults;
  runtime::Settings settings = runtime::Settings::Load(arguments, &faults);
  if (migrate && settings.Get("database_url").empty())
    faults.push_back("database_url: needed; --database-url=postgresql://…");
  for (const std::string& fault : faults) std::fprintf(stderr, "millrace: %s\n", fault.c_str());
  if (!faults.empty()) return 2;
  return migrate ? MigrateAll(settings.Get("database_url"), false) : Serve(settings);
}

int ShowConfig(std::vector<std::string> arguments) {
  if (arguments.empty() || arguments[0] != "show") return Misused("config show [--key=value]…");
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
      "value).\n");
  for (const std::string& fault : faults) std::fprintf(stderr, "millrace: %s\n", fault.c_str());
  return faults.empty() ? 0 : 2;
}

int Help() {
  std::printf(
      "millrace: an exchange for manufacturing capacity\n\n"
      "  millrace dev        start everything on this machine: PostgreSQL, Redis, custodian sandbox, all services, "
      "sample data\n"
      "  millrace demo       run one whole trade against it, step by step\n"
      "  millrace verify     check the ledger, entry by entry, and against the custodian\n"
      "  millrace import     send a CSV of resources (--dry-run first)\n"
      "  millrace serve      run roles: --role=all, or gateway, identity, listing, operations, escrow, credit, "
      "matching, notifications\n"
      "  millrace migrate    bring a database up to date\n"
      "  millrace config show\n\n"
      "Resources (millrace NOUN shows its verbs; --url and --key, or MILLRACE_URL and MILLRACE_KEY, say where and as "
      "whom):\n ");
  std::string last;
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun != last) std::printf(" %s", command.noun.c_str());
    last = command.noun;
  }
  std::printf("\n");
  return 0;
}

}  // namespace

int RunCommand(std::vector<std::string> arguments) {
  if (arguments.empty() || arguments[0] == "help" || arguments[0] == "--help" || arguments[0] == "-h") return Help();
  std::string command = arguments[0];
  std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
  if (command == "dev") return RunDev(std::move(rest));
  if (command == "demo") return RunDemo(std::move(rest));
  if (command == "verify") return RunVerify(std::move(rest));
  if (command == "import") return RunImport(std::move(rest));
  if (command == "serve") return RunServe(rest, false);
  if (command == "migrate") return RunServe(rest, true);
  if (command == "config") return ShowConfig(std::move(rest));
  if (IsNoun(command)) {
    Target target = FindTarget(&arguments);
    return RunResource(target.client, arguments);
  }
  return Misused("there is no command " + command + "; `millrace help` lists them");
}

}  // namespace millrace
