// SPDX-License-Identifier: Apache-2.0
// millrace-custodian: a bank for trying Millrace out. Real books, play money.
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "common/telemetry/log.h"
#include "services/custodian_sandbox/custodian.h"

namespace {

using millrace::Result;
using millrace::Task;
using millrace::custodian::Custodian;
using millrace::custodian::Options;
using millrace::telemetry::Level;
using millrace::telemetry::Log;

constexpr int kUsage = 2;

struct Flag {
  const char* name;
  const char* variable;
  std::string Options::* value;
  const char* what;
};
const Flag kFlags[] = {
    {"--address", "CUSTODIAN_ADDRESS", &Options::address, "host:port to listen on (127.0.0.1:8090)"},
    {"--database-url", "CUSTODIAN_DATABASE_URL", &Options::database_url,
     "PostgreSQL database of the bank's own; required"},
    {"--key", "CUSTODIAN_KEY", &Options::key, "bearer token that the customer sends; required"},
    {"--notice-url", "CUSTODIAN_NOTICE_URL", &Options::notice_url, "where notices go; without it they are kept"},
    {"--notice-secret", "CUSTODIAN_NOTICE_SECRET", &Options::notice_secret,
     "whsec_… that signs notices; required with a notice URL"},
    {"--account-number", "CUSTODIAN_ACCOUNT_NUMBER", &Options::account_number, "the customer's account"},
};

int Usage(FILE* to, int code) {
  std::fprintf(to, "millrace-custodian [--flag value | --flag=value]...\nA bank for trying Millrace out.\n\n");
  for (const Flag& flag : kFlags) std::fprintf(to, "  %-17s %-26s %s\n", flag.name, flag.variable, flag.what);
  return code;
}

// Flags before environment before defaults; every fault is said.
bool Read(int argc, char** argv, Options* options) {
  bool good = true;
  auto fault = [&](const std::string& text) {
    std::fprintf(stderr, "millrace-custodian: %s\n", text.c_str());
    good = false;
  };
  for (const Flag& flag : kFlags) {
    if (const char* value = std::getenv(flag.variable)) options->*flag.value = value;
  }
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    size_t equals = word.find('=');
    std::string name = word.substr(0, equals);
    const Flag* found = nullptr;
    for (const Flag& flag : kFlags) {
      if (name == flag.name) found = &flag;
    }
    if (!found) {
      fault("unknown flag " + name);
    } else if (equals != std::string::npos) {
      options->*found->value = word.substr(equals + 1);
    } else if (i + 1 < argc) {
      options->*found->value = argv[++i];
    } else {
      fault(name + " needs a value");
    }
  }
  if (options->database_url.empty()) fault("--database-url is required");
  if (options->key.empty()) fault("--key is required");
  if (options->account_number.empty() || options->account_number == "world") fault("--account-number is not valid");
  if (!options->notice_url.empty() && options->notice_secret.empty())
    fault("--notice-secret is required with --notice-url");
  if (!options->notice_url.empty() && !options->notice_url.starts_with("http://"))
    fault("--notice-url must start with http://");
  return good;
}

Task<void> Shut(Custodian& custodian, boost::asio::io_context& loop) {
  co_await custodian.Stop();
  loop.stop();
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--help") return Usage(stdout, 0);
  }
  Options options;
  if (!Read(argc, argv, &options)) return Usage(stderr, kUsage);
  std::signal(SIGPIPE, SIG_IGN);
  boost::asio::io_context loop(1);
  Custodian custodian(loop.get_executor(), options);
  Result<int> port = custodian.Start();
  if (!port) {
    Log(Level::kError, "custodian.cannot_start", {{"cause", port.error().cause}});
    return 1;
  }
  Log(Level::kInfo, "custodian.ready", {{"port", *port}, {"account_number", options.account_number}});
  boost::asio::signal_set signals(loop, SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code error, int) {
    if (error) return;
    Log(Level::kInfo, "custodian.draining");
    // A second signal ends at once.
    std::signal(SIGTERM, SIG_DFL);
    signals.clear(error);
    millrace::Spawn(loop.get_executor(), Shut(custodian, loop), "shut");
  });
  loop.run();
  Log(Level::kInfo, "custodian.stopped");
  return 0;
}
