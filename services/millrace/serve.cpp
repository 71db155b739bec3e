// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/serve.h"

#include <unistd.h>

#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include "common/postgres/migrate.h"
#include "common/redis/wakeups.h"
#include "common/runtime/admin.h"
#include "common/runtime/exporter.h"
#include "common/runtime/module.h"
#include "common/runtime/probe.h"
#include "common/runtime/process.h"
#include "common/telemetry/log.h"
#include "services/credit/module.h"
#include "services/escrow/module.h"
#include "services/gateway/module.h"
#include "services/identity/module.h"
#include "services/listing/module.h"
#include "services/matching/module.h"
#include "services/millrace/apart.h"
#include "services/notifications/module.h"
#include "services/operations/module.h"

namespace millrace {
namespace {

struct ServiceRow {
  const char* name;
  std::unique_ptr<runtime::Module> (*make)(runtime::Environment&);
  std::span<const EmbeddedFile> (*migrations)();
};

// Matching and notifications come last: they read the others when they start.
constexpr ServiceRow kServices[] = {
    {"identity", identity::MakeModule, identity::Migrations},
    {"listing", listing::MakeModule, listing::Migrations},
    {"operations", operations::MakeModule, operations::Migrations},
    {"escrow", escrow::MakeModule, escrow::Migrations},
    {"credit", credit::MakeModule, credit::Migrations},
    {"matching", matching::MakeModule, matching::Migrations},
    {"notifications", notifications::MakeModule, notifications::Migrations},
};

// The roles and what connects them. Members are destroyed from the last to the first.
class Roles {
 public:
  Roles(const runtime::Settings& settings, runtime::Process& process, std::set<std::string> wanted)
      : settings_(settings), process_(process), wanted_(std::move(wanted)), compute_(1, "compute") {
    environment_.executor = process.executor();
    environment_.compute = &compute_;
    environment_.settings = &settings_;
    environment_.wakeups = &bus_;
    environment_.health = &health_;
    environment_.channel = [this](std::string_view service) -> rpc::Channel& {
      return ChannelTo(std::string(service));
    };
  }

  Task<void> Start() {
    Result<void> started = co_await StartAll();
    if (started) co_return;
    telemetry::Log(telemetry::Level::kError, "process.start_failed", {{"cause", started.error().cause}});
    std::fprintf(stderr, "millrace: cannot start: %s\n", started.error().cause.c_str());
    process_.Stop(1);
  }

  Task<void> Drain() {
    std::chrono::seconds grace(settings_.Int("drain_seconds"));
    health_.Drain();  // first: who balances load must stop sending it here
    if (gateway_) co_await gateway_->Drain();
    for (auto& probe : probes_) probe->Stop();
    for (auto& [name, server] : servers_) co_await server->Shutdown(grace);
    for (auto& [name, module] : modules_) module->Stop();
    if (redis_) redis_->Stop();
    // Background coroutines see that they are to end and leave their last statement.
    co_await Sleep(std::chrono::milliseconds(50));
    if (traces_) co_await traces_->Flush();
    if (admin_) co_await admin_->Drain();
    telemetry::Flush();
  }

 private:
  bool Wants(const std::string& role) const { return wanted_.contains("all") || wanted_.contains(role); }

  rpc::Channel& ChannelTo(const std::string& service) {
    std::unique_ptr<rpc::Channel>& channel = channels_[service];
    if (!channel) {
      auto local = modules_.find(service);
      channel = local != modules_.end() ? rpc::LocalChannel(local->second->service())
                                        : rpc::GrpcChannel(environment_.executor, settings_.Get(service + "_address"),
                                                           AccessOf(settings_), service);
    }
    return *channel;
  }

  Task<Result<void>> StartAll() {
    MILLRACE_CO_CHECK(StartTelemetry());
    StartRedis();
    for (const ServiceRow& row : kServices) {
      if (Wants(row.name)) modules_[row.name] = row.make(environment_);
    }
    if (!wanted_.contains("all")) {
      for (auto& [name, module] : modules_) {
        auto server = std::make_unique<rpc::GrpcServer>(environment_.executor, settings_.Get(name + "_address"),
                                                        AccessOf(settings_));
        server->Add(module->service());
        servers_[name] = std::move(server);
      }
    }
    for (const ServiceRow& row : kServices) {
      auto module = modules_.find(row.name);
      if (module == modules_.end()) continue;
      Result<void> started = co_await module->second->Start();
      if (!started) {
        Error error = std::move(started).error();
        error.cause = std::string(row.name) + ": " + std::string(Name(error.code)) + " " + error.cause;
        co_return std::unexpected<Error>(std::move(error));
      }
      telemetry::Log(telemetry::Level::kInfo, "service.started", {{"service", row.name}});
    }
    for (auto& [name, server] : servers_) {
      MILLRACE_CO_CHECK(server->Start());
      WatchDatabase(name);
    }
    int port = 0;
    if (Wants("gateway")) {
      gateway_ = gateway::MakeGateway(environment_);
      Result<int> bound = co_await gateway_->Start();
      MILLRACE_CO_TRY(port, std::move(bound));
    }
    health_.Started();
    telemetry::Log(telemetry::Level::kInfo, "process.ready", {{"http_port", port}});
    WriteReadyFile(port);
    co_return Result<void>();
  }

  // First of all, so that a start that hangs can be looked at.
  Result<void> StartTelemetry() {
    if (const std::string& address = settings_.Get("admin_address"); !address.empty()) {
      admin_ = std::make_unique<runtime::Admin>(environment_.executor, address, MILLRACE_VERSION, health_);
      MILLRACE_TRY(int port, admin_->Start());
      telemetry::Log(telemetry::Level::kInfo, "admin.listens", {{"port", port}});
    }
    if (const std::string& endpoint = settings_.Get("otlp_endpoint"); !endpoint.empty()) {
      runtime::TraceExporter::Attributes resource = {{"service.name", "millrace"},
                                                     {"service.namespace", "millrace"},
                                                     {"service.version", MILLRACE_VERSION},
                                                     {"service.instance.id", std::to_string(getpid())},
                                                     {"millrace.role", settings_.Get("role")}};
      if (!wanted_.contains("all")) resource[0].second = settings_.Get("role");
      traces_ = std::make_unique<runtime::TraceExporter>(environment_.executor, endpoint, std::move(resource));
      traces_->Start();
    }
    return {};
  }

  // A role's port says that it serves for as long as its database answers.
  void WatchDatabase(const std::string& service) {
    auto changed = [server = servers_[service].get(), service](bool healthy) {
      telemetry::Log(healthy ? telemetry::Level::kInfo : telemetry::Level::kError, "service.health",
                     {{"service", service}, {"serving", healthy ? "true" : "false"}});
      server->SetServing(service, healthy);
    };
    probes_.push_back(
        std::make_unique<runtime::Probe>(environment_.executor, ChannelTo(service), service, std::move(changed)));
    probes_.back()->Start();
  }

  void StartRedis() {
    if (settings_.Get("redis_url").empty()) return;
    redis_ = std::make_unique<redis::Wakeups>(environment_.executor, settings_.Get("redis_url"),
                                              [this](std::string source, int64_t seq) { bus_.Heard(source, seq); });
    bus_.forward = [this](std::string source, int64_t seq) { redis_->Announce(std::move(source), seq); };
    redis_->Start();
  }

  void WriteReadyFile(int port) {
    const std::string& path = settings_.Get("ready_file");
    if (path.empty()) return;
    std::string aside = path + ".new";
    if (FILE* file = std::fopen(aside.c_str(), "w")) {
      std::fprintf(file, "%d\n", port);
      std::fclose(file);
      std::rename(aside.c_str(), path.c_str());
    }
  }

  const runtime::Settings& settings_;
  runtime::Process& process_;
  std::set<std::string> wanted_;
  ThreadPool compute_;
  runtime::WakeupBus bus_;
  runtime::Health health_;
  runtime::Environment environment_;
  std::unique_ptr<runtime::Admin> admin_;
  std::unique_ptr<runtime::TraceExporter> traces_;
  std::unique_ptr<redis::Wakeups> redis_;
  std::map<std::string, std::unique_ptr<runtime::Module>> modules_;
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::map<std::string, std::unique_ptr<rpc::GrpcServer>> servers_;
  std::vector<std::unique_ptr<runtime::Probe>> probes_;  // they ask through channels_
  std::unique_ptr<gateway::Gateway> gateway_;
};

// The roles of the setting, or the reason why it cannot be.
std::set<std::string> ReadRoles(const runtime::Settings& settings, std::vector<std::string>* faults) {
  std::set<std::string> known = {"all", "gateway"}, roles;
  for (const std::string& name : ServiceNames()) known.insert(name);
  std::string text = settings.Get("role");
  while (!text.empty()) {
    size_t comma = std::min(text.find(','), text.size());
    std::string role = text.substr(0, comma);
    if (known.contains(role)) {
      roles.insert(role);
    } else {
      faults->push_back(
          "role: there is no role \"" + role + "\"; " +
          "choose from all, gateway, identity, listing, operations, escrow, credit, matching, notifications");
    }
    text.erase(0, comma + 1);
  }
  return roles;
}

// What these roles cannot run without.
void CheckNeeded(const runtime::Settings& settings, const std::set<std::string>& roles,
                 std::vector<std::string>* faults) {
  bool all = roles.contains("all");
  auto need = [&](const std::string& key) {
    if (settings.Get(key).empty())
      faults->push_back(key + ": needed by this role; `millrace config show` says how to set it");
  };
  if (all || roles.contains("identity") || roles.contains("notifications")) need("internal_token");
  if (all || roles.size() > roles.count("gateway")) need("database_url");
  if (all || roles.contains("identity")) {
    need("operator_key");
    need("regulator_key");
  }
  if (all || roles.contains("identity") || roles.contains("listing")) need("data_folder");
  if (all || roles.contains("escrow")) {
    for (const char* key : {"custodian_url", "custodian_key", "custodian_secret", "custodian_account"}) need(key);
  }
  if (!all) {
    for (const std::string& name : ServiceNames()) need(name + "_address");
    CheckApart(settings, roles, ServiceNames(), faults);
  }
}

}  // namespace

const std::vector<std::string>& ServiceNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const ServiceRow& row : kServices) all.push_back(row.name);
    return all;
  }();
  return names;
}

std::span<const EmbeddedFile> MigrationsOf(std::string_view service) {
  for (const ServiceRow& row : kServices) {
    if (row.name == service) return row.migrations();
  }
  return {};
}

int Serve(const runtime::Settings& settings) {
  std::vector<std::string> faults;
  std::set<std::string> wanted = ReadRoles(settings, &faults);
  if (faults.empty()) CheckNeeded(settings, wanted, &faults);
  if (!faults.empty()) {
    for (const std::string& fault : faults) std::fprintf(stderr, "millrace: %s\n", fault.c_str());
    return 2;
  }
  if (!settings.Get("log_file").empty() && !telemetry::LogToFile(settings.Get("log_file"))) {
    std::fprintf(stderr, "millrace: log_file: %s cannot be opened\n", settings.Get("log_file").c_str());
    return 2;
  }
  runtime::Process process;
  Roles roles(settings, process, std::move(wanted));
  return process.Run([&roles] { return roles.Start(); }, [&roles] { return roles.Drain(); });
}

int MigrateAll(const std::string& database_url, bool quiet) {
  postgres::Migrator migrator(database_url);
  for (const ServiceRow& row : kServices) {
    Result<postgres::MigrationReport> report = migrator.Apply(row.name, row.migrations());
    if (!report) {
      std::fprintf(stderr, "millrace: migration of %s failed: %s\n", row.name, report.error().cause.c_str());
      return 1;
    }
    if (!quiet) std::printf("  %-14s %2d applied, %2d there before\n", row.name, report->applied, report->present);
  }
  return 0;
}

}  // namespace millrace
