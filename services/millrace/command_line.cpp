// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/command_line.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "services/millrace/apart.h"
#include "services/millrace/arguments.h"
#include "services/millrace/clock.h"
#include "services/millrace/completion.h"
#include "services/millrace/demo.h"
#include "services/millrace/dev/dev.h"
#include "services/millrace/doctor.h"
#include "services/millrace/import.h"
#include "services/millrace/listen.h"
#include "services/millrace/resources.h"
#include "services/millrace/serve.h"
#include "services/millrace/target.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

int NoInstance(const std::string& data) {
  return Misused("no millrace dev runs on " + data + "; start one, or name its folder with --instance");
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
  std::optional<Target> target = FindTarget(&arguments);
  if (!target) return kMisused;
  ImportOptions options;
  options.json = TakeFlag(&arguments, "--json");
  options.map = TakeOption(&arguments, "--map").value_or("");
  options.dry_run = TakeFlag(&arguments, "--dry-run");
  options.publish = TakeFlag(&arguments, "--publish");
  options.skip_invalid = TakeFlag(&arguments, "--skip-invalid");
  if (arguments.empty()) return Misused("import what? Name a CSV file; `millrace import --help` shows how it is used");
  options.file = TakeWord(&arguments).value_or("");
  if (!arguments.empty()) return Leftover("import", arguments);
  return Import(target->Client(), options);
}

int RunVerify(std::vector<std::string> arguments) {
  bool json = TakeFlag(&arguments, "--json");
  std::optional<Target> target = FindTarget(&arguments);
  if (!target) return kMisused;
  return arguments.empty() ? Verify(target->Client(), json) : Leftover("verify", arguments);
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
  bool json = TakeFlag(&arguments, "--json");
  std::vector<std::string> faults;
  runtime::Settings settings = runtime::Settings::Load(arguments, &faults);
  if (json) {
    Json all = Json::object();
    for (const runtime::SettingInfo& info : runtime::AllSettings()) {
      const std::string& value = settings.Get(info.key);
      all[info.key] = {{"value", info.secret ? "" : value},
                       {"set", !value.empty()},
                       {"secret", info.secret},
                       {"origin", settings.Origin(info.key)},
                       {"what", info.what}};
    }
    std::printf("%s\n", all.dump(2).c_str());
    for (const std::string& fault : faults) std::fprintf(stderr, "millrace: %s\n", fault.c_str());
    return faults.empty() ? kDone : kMisused;
  }
  for (const runtime::SettingInfo& info : runtime::AllSettings()) {
    const std::string& value = settings.Get(info.key);
    std::string shown = info.secret && !value.empty() ? "(set)" : value.empty() ? "(none)" : value;
    std::printf("%-22s %-24s %-28s %s\n", info.key, shown.c_str(), settings.Origin(info.key).c_str(), info.what);
  }
  std::fprintf(
      stderr,
      "Set one by flag (--http-address=…), environment (MILLRACE_HTTP_ADDRESS=…) or file (--config FILE: key = "
      "value).\nA secret may also stand in a file of its own: MILLRACE_OPERATOR_KEY_FILE=/run/secrets/operator_key.\n");
  for (const std::string& fault : faults) std::fprintf(stderr, "millrace: %s\n", fault.c_str());
  return faults.empty() ? 0 : 2;
}

#define TARGET_USAGE "[--url URL] [--key-file FILE] [--key KEY] [--ca-file PEM] [--instance FOLDER]"

constexpr Command kCommands[] = {
    {"dev", RunDev, "start everything on this machine: PostgreSQL, Redis, custodian sandbox, all services, sample data",
     "dev --demo\ndev --port 0 --no-sample --data /tmp/try\ndev --split",
     "[--data FOLDER] [--port N] [--split] [--no-sample] [--reset] [--demo] [--database-url URL] [--redis-url URL]\n"
     "  --data FOLDER       where it keeps everything; started there again, it goes on where it was\n"
     "  --port N            of the API, 8080 unless given; 0 takes any free one\n"
     "  --split             every service a process of its own\n"
     "  --no-sample         leave the sample catalogue out\n"
     "  --reset             delete what the folder's instance holds first\n"
     "  --demo              run `millrace demo` once it is up\n"
     "  --database-url URL  use this PostgreSQL\n"
     "  --redis-url URL     use this Redis",
     ""},
    {"demo", RunDemo, "run one whole trade against a running dev, step by step", "demo\ndemo --json",
     "[--instance FOLDER] [--json]\n  --json  a JSON line for each call, its answer whole", ""},
    {"whoami", RunWhoami, "show which instance is asked, as whom, and where that was set",
     "whoami\nwhoami --key-file ~/park.key --url https://park.example --json",
     TARGET_USAGE
     " [--json]\n"
     "  Commands that ask an instance look for address and key in the flags, then in --instance, MILLRACE_URL,\n"
     "  MILLRACE_KEY or MILLRACE_KEY_FILE, ~/.config/millrace/config (url, key, key_file, ca_file = …), and a "
     "millrace\n"
     "  dev that runs here.",
     ""},
    {"listen", RunListen, "forward your organization's events to a receiver under development, signed as webhooks",
     "listen --forward-to http://127.0.0.1:3000/hooks\nlisten --print-secret\n"
     "listen --forward-to 'http://127.0.0.1:3000/hooks?tenant=7' --events booking,escrow.settled",
     "--forward-to URL [--events TYPE,…] [--since WHEN] [--limit N] [--print-secret] [--skip-verify] "
     "[--json]\n  " TARGET_USAGE "\n"
     "  --forward-to URL  where each event is POSTed; a query stays\n"
     "  --events TYPE,…   only these types or kinds: booking.confirmed, booking\n"
     "  --since WHEN      begin there: evt_…, a seq, a time, or 2h ago; otherwise now\n"
     "  --limit N         end after so many events\n"
     "  --print-secret    print the whsec_… that signs them, the same each time for one key; without --forward-to, "
     "only "
     "that\n"
     "  --skip-verify     take any certificate of an https receiver\n"
     "  --json            a JSON line for each event\n"
     "  It goes on behind the last event after a drop, and does not send again what the receiver refused.",
     ""},
    {"clock", RunClock, "show the instance's business time, or move a test instance's clock",
     "clock show\nclock advance 2d\nclock advance PT36H\nclock advance --to 2026-10-01T08:00:00+08:00",
     "show | advance LENGTH | advance --to TIME [--json]\n  " TARGET_USAGE
     "\n  LENGTH  2d, 36h, 1d12h30m, or ISO 8601: P2D, PT36H",
     "show,advance"},
    {"verify", RunVerify, "check the ledger, entry by entry, and against the custodian", "verify\nverify --json",
     TARGET_USAGE
     " [--json]\n  Ends with 0 where every check holds, with 1 where one fails, with 4 for others than the operator.",
     ""},
    {"import", RunImport, "send a CSV of resources (--dry-run first)",
     "import machines.csv --dry-run\nimport machines.csv --publish\nimport erp.csv --map erp.yaml --skip-invalid",
     "FILE.csv [--map MAP.yaml] [--dry-run] [--publish] [--skip-invalid] [--json]\n  " TARGET_USAGE "\n"
     "  --map MAP.yaml  the file has columns of its own; the map says which is which (deploy/local/maps/README.md)\n"
     "  --dry-run       check it only: what would be made, changed and refused\n"
     "  --publish       publish what has a price, a calendar and a process\n"
     "  --skip-invalid  leave refused rows out; otherwise one refused row stops the file",
     ""},
    {"serve", RunServe,
     "run roles: all, or gateway, identity, listing, operations, escrow, credit, matching, notifications",
     "serve --config /etc/millrace/millrace.conf\nserve --role=gateway,matching --config /etc/millrace/edge.conf",
     "[--role=ROLE,…] [--config FILE] [--key=value]…\n  `millrace config show` lists the settings.", ""},
    {"certificates", RunCertificates, "make or renew the certificates of roles that run apart",
     "certificates /etc/millrace/certificates\ncertificates /etc/millrace/certificates edge=gateway,matching --days 90",
     "FOLDER [NAME=ROLE,ROLE…]… [--days N]\n"
     "  Makes an authority (ca.pem, ca.key) and for each role ROLE.pem and ROLE.key; what is good is left alone.\n"
     "  NAME=ROLE,ROLE  a pair for one process that is several roles\n"
     "  --days N        how long a new pair lasts, 365 unless given",
     ""},
    {"migrate", RunMigrate, "bring a database up to date", "migrate --config /etc/millrace/millrace.conf",
     "[--config FILE] [--database-url=URL]\n  The address may stand in the file or in MILLRACE_DATABASE_URL.", ""},
    {"doctor", RunDoctor, "check what an instance needs on this machine; each failing line says what mends it",
     "doctor --config /etc/millrace/millrace.conf\ndoctor --instance /var/lib/millrace/dev\ndoctor --json",
     "[--config FILE] [--key=value]… [--instance FOLDER] [--json]\n"
     "  Settings come from where serve takes them. With --instance, or where none is set and a millrace dev runs, from "
     "that.\n"
     "  Ends with 1 if a check fails.",
     ""},
    {"config", ShowConfig, "`config show`: every setting, its value and where that comes from",
     "config show\nconfig show --config /etc/millrace/millrace.conf --json",
     "show [--config FILE] [--key=value]… [--json]", "show"},
    {"completion", RunCompletion, "print the completion of a shell",
     "completion bash > /etc/bash_completion.d/millrace\nmillrace completion fish | source", "bash|zsh|fish",
     "bash,zsh,fish"},
};

// A verb beside those of the contract.
constexpr Command kTail = {
    "events tail",
    RunTail,
    "print your organization's events as they happen",
    "events tail --type booking,escrow\nevents tail --since 2h --json",
    "[--type TYPE,…] [--since WHEN] [--limit N] [--json]\n  " TARGET_USAGE
    "\n"
    "  --type TYPE,…  only these types or kinds: booking.confirmed, booking\n"
    "  --since WHEN   begin there: evt_…, a seq, a time, or 2h ago by the instance's clock; otherwise now\n"
    "  --limit N      end after so many events\n"
    "  --json         each event whole, a JSON line",
    ""};

#undef TARGET_USAGE

int Help() {
  std::printf("millrace " MILLRACE_VERSION ": an exchange for manufacturing capacity\n\nExamples\n");
  std::printf(
      "  millrace dev --demo                            everything on this machine, and one whole trade\n"
      "  millrace listings list --state PUBLISHED       as a table; tab-separated behind a pipe\n"
      "  millrace bookings get bkg_… --json\n"
      "  millrace events tail --type booking\n\nCommands\n");
  for (const Command& command : kCommands) std::printf("  millrace %-11s %s\n", command.name, command.what);
  std::printf(
      "\n`millrace COMMAND --help` tells more. Resources (`millrace NOUN --help` shows the verbs, `millrace NOUN VERB\n"
      "--help` the fields; `millrace whoami` shows which instance is asked and as whom):\n ");
  std::string last;
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun != last && !FindCommand(command.noun)) std::printf(" %s", command.noun.c_str());
    last = command.noun;
  }
  std::printf("\n\nEnds with 0 done, 1 refused or failed, 2 wrong usage, 4 not permitted.\n");
  return kDone;
}

int HelpOf(const Command& command) {
  std::printf("millrace %s  %s\n\nExamples\n", command.name, command.what);
  std::string examples = command.examples;
  for (size_t begin = 0; begin < examples.size();) {
    size_t end = std::min(examples.find('\n', begin), examples.size());
    std::string line = examples.substr(begin, end - begin);
    std::printf("  %s%s\n", line.starts_with("millrace ") ? "" : "millrace ", line.c_str());
    begin = end + 1;
  }
  std::printf("\nUsage\n  millrace %s %s\n", command.name, command.usage);
  return kDone;
}

bool AsksForHelp(const std::string& word) { return word == "--help" || word == "-h"; }

int RunNoun(std::vector<std::string> arguments) {
  bool tail = arguments[0] == "events" && arguments.size() > 1 && arguments[1] == "tail";
  if (std::ranges::any_of(arguments, AsksForHelp)) {
    std::erase_if(arguments, AsksForHelp);
    if (tail) return HelpOf(kTail);
    const ResourceCommand* verb = arguments.size() > 1 ? FindResource(arguments[0], arguments[1]) : nullptr;
    if (verb) {
      PrintFields(*verb, stdout);
    } else {
      PrintVerbs(arguments[0], stdout);
    }
    return kDone;
  }
  if (tail) {
    arguments.erase(arguments.begin(), arguments.begin() + 2);
    return RunTail(std::move(arguments));
  }
  std::optional<Target> target = FindTarget(&arguments);
  return target ? RunResource(target->Client(), arguments) : kMisused;
}

}  // namespace

std::span<const Command> Commands() { return kCommands; }

const Command* FindCommand(std::string_view name) {
  auto found = std::ranges::find_if(kCommands, [&](const Command& command) { return name == command.name; });
  return found == std::end(kCommands) ? nullptr : found;
}

int RunCommand(std::vector<std::string> arguments) {
  if (!arguments.empty() && arguments[0] == "complete") {
    arguments.erase(arguments.begin());
    return RunComplete(std::move(arguments));
  }
  if (!arguments.empty() && arguments[0] == "help") {  // `help dev` is `dev --help`
    arguments.erase(arguments.begin());
    arguments.push_back("--help");
  }
  if (arguments.empty() || AsksForHelp(arguments[0])) return Help();
  if (arguments[0] == "--version") {
    std::printf("millrace " MILLRACE_VERSION "\n");
    return kDone;
  }
  if (const Command* command = FindCommand(arguments[0])) {
    arguments.erase(arguments.begin());
    if (std::ranges::any_of(arguments, AsksForHelp)) return HelpOf(*command);
    return command->run(std::move(arguments));
  }
  if (IsNoun(arguments[0])) return RunNoun(std::move(arguments));
  return Misused("there is no command " + arguments[0] + "; `millrace help` lists them");
}

}  // namespace millrace
