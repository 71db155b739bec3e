// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/dev/dev.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "common/crypto/certificates.h"
#include "common/crypto/crypto.h"
#include "common/http/http.h"
#include "common/postgres/database.h"
#include "common/rpc/policy.h"
#include "services/millrace/client.h"
#include "services/millrace/demo.h"
#include "services/millrace/dev/child.h"
#include "services/millrace/sample.h"
#include "services/millrace/serve.h"

namespace millrace::dev {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::atomic<int> signals_seen = 0;

const std::string kPostgresBin = "/usr/lib/postgresql/15/bin/";
constexpr char kCustodianAccount[] = "6222-0000-MILLRACE-DEV";

// A child that is kept running.
struct Kept {
  Program program;
  pid_t pid = -1;
  std::optional<Clock::time_point> restart_at;
};

class Supervisor {
 public:
  explicit Supervisor(DevOptions options) : options_(std::move(options)) {}

  int Run() {
    began_ = Clock::now();
    bool up =
        Prepare() && StartPostgres() && StartRedis() && Migrated() && StartCustodian() && StartRoles() && LoadSample();
    if (up) {
      WriteInstance();
      PrintReady();
      if (options_.story) up = Demo(InstanceOf(), false) == 0;
      if (up) Watch();
    }
    StopAll();
    return up || signals_seen > 0 ? 0 : 1;
  }

 private:
  bool Fail(const std::string& sentence) {
    if (signals_seen == 0) std::fprintf(stderr, "millrace dev: %s\n", sentence.c_str());
    return false;
  }
  void Step(const char* what) {
    double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
    std::printf("  %5.1f s  %s\n", seconds, what);
    std::fflush(stdout);
  }
  std::string Path(const std::string& name) const { return options_.data + "/" + name; }
  std::string Log(const std::string& name) const { return Path("log/" + name + ".log"); }

  // Polls until `done` or 30 s, a signal, or the end of `pid`.
  template <class F>
  bool WaitFor(pid_t pid, F done) {
    for (auto end = Clock::now() + std::chrono::seconds(30); Clock::now() < end && signals_seen == 0;) {
      if (done()) return true;
      if (pid > 0 && HasEnded(pid)) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  bool Prepare() {
    std::error_code error;
    fs::create_directories(options_.data, error);
    if (!error) options_.data = fs::canonical(options_.data, error).string();
    if (error) return Fail(options_.data + " cannot be made: " + error.message() + "; choose another with --data");
    lock_ = open(Path("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_ < 0) return Fail(options_.data + " cannot be written to; choose another folder with --data");
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
      close(lock_);
      lock_ = -1;
      return Fail("another millrace dev runs on " + options_.data + "; stop it, or choose another folder with --data");
    }
    if (!AwaitPredecessor())
      return Fail("programs that an earlier millrace dev left on " + options_.data + " still run");
    // Only what dev made itself: the folder may be anybody's.
    for (const char* made :
         {"postgres", "run", "redis", "blobs", "documents", "log", "certificates", "keys.json", "dev.json"}) {
      if (options_.reset && !error) fs::remove_all(Path(made), error);
    }
    for (const char* folder : {"log", "redis", "blobs"}) {
      if (!error) fs::create_directories(Path(folder), error);
    }
    if (error) return Fail(options_.data + " cannot be prepared: " + error.message());
    if (options_.port != 0 && !IsFree(options_.port)) {
      return Fail("port " + std::to_string(options_.port) +
                  " is taken; choose another with --port, or 0 for any free one");
    }
    if (options_.port == 0) options_.port = ReservePort();
    return ReadKeys();
  }

  // A killed dev takes its programs along, but they need a moment to end. They have inherited this lock, so it is free
  // once the last one is gone; ours will hold it.
  bool AwaitPredecessor() {
    int held = open(Path("programs.lock").c_str(), O_RDWR | O_CREAT, 0600);
    return held >= 0 && WaitFor(0, [&] { return flock(held, LOCK_EX | LOCK_NB) == 0; });
  }

  // Secrets of this instance, made once.
  bool ReadKeys() {
    std::ifstream in(Path("keys.json"));
    keys_ = Json::parse(in, nullptr, false);
    if (keys_.is_object()) return true;
    keys_ = Json::object();
    auto key = [](const char* prefix) { return prefix + crypto::Base64Url(crypto::RandomBytes(24)); };
    keys_["operator_key"] = key("sk_test_");
    keys_["regulator_key"] = key("sk_test_");
    keys_["internal_token"] = key("it_");
    keys_["custodian_key"] = key("ck_");
    keys_["custodian_secret"] = "whsec_" + crypto::Base64(crypto::RandomBytes(32));
    umask(077);
    std::ofstream(Path("keys.json")) << keys_.dump(2) << "\n";
    umask(022);
    return true;
  }
  std::string Key(const char* name) const { return keys_.value(name, ""); }

  bool StartPostgres() {
    if (!options_.database_url.empty()) {
      database_url_ = options_.database_url;
      return true;
    }
    std::string cluster = Path("postgres"), sockets = Path("run");
    if (sockets.size() > 90)
      return Fail(options_.data + " is too long a path for Unix sockets; choose a shorter one with --data");
    std::error_code error;
    for (const std::string& folder : {cluster, sockets}) {
      fs::create_directories(folder, error);
      fs::permissions(folder, fs::perms::owner_all, error);
      if (error || !GiveToUnprivileged(folder)) return Fail(folder + " cannot be given to the user postgres");
    }
    if (access((kPostgresBin + "postgres").c_str(), X_OK) != 0) {
      return Fail("PostgreSQL 15 is missing; scripts/install brings it");
    }
    if (!fs::exists(cluster + "/PG_VERSION")) {
      Step("making a PostgreSQL data folder");
      Program initdb{
          "initdb",
          {kPostgresBin + "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D", cluster},
          {},
          Log("postgres"),
          true};
      if (RunToEnd(initdb) != 0) {
        return Fail(
            "initdb failed, see " + Log("postgres") +
            (geteuid() == 0 ? "; the user postgres must be able to enter " + options_.data + ", see --data" : ""));
      }
    }
    Program postgres{"postgres",
                     {kPostgresBin + "postgres", "-D", cluster, "-c", "listen_addresses=", "-c",
                      "unix_socket_directories=" + sockets, "-c", "max_connections=120", "-c", "shared_buffers=64MB"},
                     {},
                     Log("postgres"),
                     true,
                     SIGINT};
    pid_t pid = Keep(postgres);
    std::string server = "host=" + sockets + " user=postgres dbname=";
    if (!WaitFor(pid, [&] { return Ask(server + "postgres", "SELECT 1"); })) {
      return Fail("PostgreSQL did not start, see " + Log("postgres"));
    }
    for (const char* name : {"millrace", "custodian"}) {
      if (!Ask(server + name, "SELECT 1") && !Ask(server + "postgres", std::string("CREATE DATABASE ") + name)) {
        return Fail(std::string("database ") + name + " cannot be made, see " + Log("postgres"));
      }
    }
    database_url_ = server + "millrace";
    custodian_database_url_ = server + "custodian";
    Step("PostgreSQL is up");
    return true;
  }

  // Whether one statement outside a transaction succeeds.
  static bool Ask(const std::string& url, const std::string& sql) {
    postgres::DatabaseOptions options;
    options.url = url;
    options.connections = 1;
    postgres::Database database(options);
    return database.ExecuteAlone(sql).has_value();
  }

  bool StartRedis() {
    if (!options_.redis_url.empty()) {
      redis_url_ = options_.redis_url;
      return true;
    }
    std::string socket = Path("redis/redis.sock");
    Program redis{"redis",
                  {"/usr/bin/redis-server", "--port", "0", "--unixsocket", socket, "--dir", Path("redis"),
                   "--appendonly", "yes", "--save", "", "--daemonize", "no"},
                  {},
                  Log("redis")};
    std::error_code error;
    fs::remove(socket, error);
    pid_t pid = Keep(redis);
    if (!WaitFor(pid, [&] { return fs::exists(socket); })) return Fail("Redis did not start, see " + Log("redis"));
    redis_url_ = "unix:" + socket;
    Step("Redis is up");
    return true;
  }

  bool Migrated() {
    if (MigrateAll(database_url_, true) != 0) return Fail("the migrations failed");
    Step("the database is up to date");
    return true;
  }

  static std::string Self() { return fs::read_symlink("/proc/self/exe").string(); }

  bool StartCustodian() {
    if (custodian_database_url_.empty()) custodian_database_url_ = database_url_;
    int port = ReservePort();
    custodian_url_ = "http://127.0.0.1:" + std::to_string(port);
    Program custodian{"custodian",
                      {fs::path(Self()).parent_path().string() + "/millrace-custodian"},
                      {{"CUSTODIAN_ADDRESS", "127.0.0.1:" + std::to_string(port)},
                       {"CUSTODIAN_DATABASE_URL", custodian_database_url_},
                       {"CUSTODIAN_KEY", Key("custodian_key")},
                       {"CUSTODIAN_NOTICE_URL", Url() + "/v1/custodian/notices"},
                       {"CUSTODIAN_NOTICE_SECRET", Key("custodian_secret")},
                       {"CUSTODIAN_ACCOUNT_NUMBER", kCustodianAccount}},
                      Log("custodian")};
    pid_t pid = Keep(custodian);
    ApiClient bank(custodian_url_, Key("custodian_key"));
    if (!WaitFor(pid, [&] { return bank.Call("GET", "/sandbox/state").ok(); })) {
      return Fail("the custodian sandbox did not start, see " + Log("custodian"));
    }
    Step("the custodian sandbox is up");
    return true;
  }

  std::string Url() const { return "http://127.0.0.1:" + std::to_string(options_.port); }

  std::string GrpcAddress() const { return "127.0.0.1:" + std::to_string(grpc_port_); }

  Program Role(const std::string& role) {
    Program program{role, {Self(), "serve"}, {}, Log(role)};
    auto set = [&program](const std::string& key, const std::string& value) {
      std::string name = "MILLRACE_";
      for (char c : key) name += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
      program.environment[name] = value;
    };
    set("role", role);
    set("http_address", "127.0.0.1:" + std::to_string(options_.port));
    if (role == "all" || role == "gateway") set("grpc_address", GrpcAddress());
    set("database_url", database_url_);
    set("redis_url", redis_url_);
    set("data_folder", options_.data);
    set("test_clock", "true");
    // Whoever tries webhooks out has the receiver on this very machine.
    set("webhook_allow_cidrs", "127.0.0.0/8,::1/128");
    for (const char* key : {"internal_token", "operator_key", "regulator_key", "custodian_key", "custodian_secret"})
      set(key, Key(key));
    set("custodian_url", custodian_url_);
    set("custodian_account", kCustodianAccount);
    set("admin_address", "127.0.0.1:" + std::to_string(admin_ports_[role]));
    set("rate_limit_requests", "60000000");  // a newcomer's experiments, tests and benches are nobody's abuse
    for (const char* name : {"MILLRACE_OTLP_ENDPOINT", "MILLRACE_RATE_LIMIT_REQUESTS", "MILLRACE_RATE_LIMIT_WINDOW",
                             "MILLRACE_VERIFICATION_DOCUMENTS"}) {
      if (const char* value = std::getenv(name)) program.environment[name] = value;
    }
    set("ready_file", Ready(role));
    for (const auto& [service, address] : addresses_) set(service + "_address", address);
    if (options_.split) {
      set("internal_certificate", Path("certificates/" + role + ".pem"));
      set("internal_key", Path("certificates/" + role + ".key"));
      set("internal_ca", Path("certificates/ca.pem"));
    }
    program.environment["MILLRACE_CRASH_POINT"] = TakeCrashPoint(role);
    return program;
  }

  std::string Ready(const std::string& role) const { return Path("log/" + role + ".ready"); }

  // Where the role is to die once, in the life that begins now: fault tests write "ROLE POINT" into the file
  // crash_point.
  std::string TakeCrashPoint(const std::string& role) const {
    std::string wanted, point;
    if (!(std::ifstream(Path("crash_point")) >> wanted >> point) || wanted != role) return "";
    std::error_code error;
    fs::remove(Path("crash_point"), error);
    return point;
  }

  // A private authority, and a pair for each role; what is good stays.
  bool Certify(const std::vector<std::string>& roles) {
    std::vector<crypto::WantedCertificate> wanted;
    for (const std::string& role : roles) wanted.push_back({role, {rpc::InternalName(role)}});
    auto written = crypto::WriteCertificates(Path("certificates"), wanted, std::chrono::days(365));
    return written ? true : Fail(written.error().cause);
  }

  bool StartRoles() {
    grpc_port_ = ReservePort();
    std::vector<std::string> roles = {"all"};
    if (options_.split) {
      roles = ServiceNames();
      roles.push_back("gateway");
      for (const std::string& service : ServiceNames())
        addresses_[service] = "127.0.0.1:" + std::to_string(ReservePort());
      if (!Certify(roles)) return false;
    }
    std::error_code error;
    for (const std::string& role : roles) fs::remove(Ready(role), error);
    for (const std::string& role : roles) admin_ports_[role] = ReservePort();
    std::map<std::string, pid_t> pids;
    for (const std::string& role : roles) pids[role] = Keep(Role(role));
    for (const std::string& role : roles) {
      if (!WaitFor(pids[role], [&] { return fs::exists(Ready(role)); }))
        return Fail(role + " did not start, see " + Log(role));
    }
    ApiClient client(Url(), "");
    if (!WaitFor(0, [&] { return client.Call("GET", "/readyz").ok(); }))
      return Fail("the gateway did not get ready, see its log");
    Step(options_.split ? "every service is up, each in a process of its own" : "all services are up, in one process");
    return true;
  }

  bool LoadSample() {
    if (!options_.sample) return true;
    Result<std::string> report = LoadSampleCatalogue(ApiClient(Url(), Key("operator_key")));
    if (!report) return Fail("the sample catalogue was refused: " + report.error().cause);
    if (!report->empty()) Step(report->c_str());
    return true;
  }

  Instance InstanceOf() const {
    return {Url(), Key("operator_key"), Key("regulator_key"), custodian_url_, Key("custodian_key")};
  }

  void WriteInstance() {
    Json instance;
    instance["url"] = Url();
    instance["grpc_address"] = GrpcAddress();
    for (const char* key : {"operator_key", "regulator_key", "custodian_key"}) instance[key] = Key(key);
    instance["custodian_url"] = custodian_url_;
    instance["redis_socket"] = redis_url_.starts_with("unix:") ? redis_url_.substr(5) : "";
    instance["database_url"] = database_url_;
    for (const auto& [role, port] : admin_ports_) instance["admin"][role] = "http://127.0.0.1:" + std::to_string(port);
    for (const Kept& kept : kept_) instance["processes"][kept.program.name] = kept.pid;
    umask(077);
    std::ofstream(Path("dev.json.new")) << instance.dump(2) << "\n";
    umask(022);
    std::error_code error;
    fs::rename(Path("dev.json.new"), Path("dev.json"), error);
  }

  void PrintReady() {
    double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
    std::printf(
        "\nMillrace dev  (data in %s; a test instance, not for production)\n"
        "  API         %s/v1\n"
        "  gRPC        %s  (with reflection)\n"
        "  Operator    %s\n"
        "  Regulator   %s\n"
        "  Custodian   %s  (sandbox bank; key in %s)\n"
        "  Metrics     http://127.0.0.1:%d/metrics  (the gateway's; others in dev.json)\n"
        "  Logs        %s\n"
        "  Try next    millrace demo --instance %s\n"
        "  Stop        Ctrl-C          Start afresh: millrace dev --reset\n"
        "Ready in %.1f s\nReady\n",
        options_.data.c_str(), Url().c_str(), GrpcAddress().c_str(), Key("operator_key").c_str(),
        Key("regulator_key").c_str(), custodian_url_.c_str(), Path("keys.json").c_str(),
        admin_ports_[options_.split ? "gateway" : "all"], Path("log").c_str(), options_.data.c_str(), seconds);
    std::fflush(stdout);
  }

  pid_t Keep(Program program) {
    Kept kept;
    kept.pid = dev::Start(program);
    kept.program = std::move(program);
    kept_.push_back(std::move(kept));
    return kept_.back().pid;
  }

  // Starts again what ended by itself, a moment later.
  void Watch() {
    while (signals_seen == 0) {
      for (Kept& kept : kept_) {
        if (kept.pid > 0 && HasEnded(kept.pid)) {
          std::printf("%s ended; starting it again\n", kept.program.name.c_str());
          std::fflush(stdout);
          kept.pid = -1;
          kept.restart_at = Clock::now() + std::chrono::milliseconds(300);
        }
        if (kept.restart_at && Clock::now() >= *kept.restart_at) {
          kept.restart_at.reset();
          std::error_code error;
          fs::remove(Ready(kept.program.name), error);
          kept.program.environment["MILLRACE_CRASH_POINT"] = TakeCrashPoint(kept.program.name);
          kept.pid = dev::Start(kept.program);
          WriteInstance();
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    std::printf("\nStopping: requests in flight finish first\n");
    std::fflush(stdout);
  }

  // In reverse order of starting: roles, custodian, Redis, PostgreSQL. The gateway was started last and drains first.
  void StopAll() {
    while (!kept_.empty()) {
      Kept& kept = kept_.back();
      if (kept.pid > 0) End(kept.pid, kept.program.end_signal, 25);
      kept_.pop_back();
    }
    if (lock_ < 0) return;  // the folder is another's
    std::error_code error;
    fs::remove(Path("dev.json"), error);
    close(lock_);
  }

  DevOptions options_;
  Clock::time_point began_;
  int lock_ = -1, grpc_port_ = 0;
  Json keys_;
  std::string database_url_, custodian_database_url_, redis_url_, custodian_url_;
  std::map<std::string, std::string> addresses_;
  std::map<std::string, int> admin_ports_;
  std::vector<Kept> kept_;
};

}  // namespace

std::string DefaultData() { return geteuid() == 0 ? "/var/lib/millrace/dev" : ".millrace"; }

int Dev(const DevOptions& options) {
  struct sigaction action {};
  action.sa_handler = [](int) {
    if (++signals_seen > 1) _exit(130);
  };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return Supervisor(options).Run();
}

bool ReadInstance(const std::string& data, Instance* instance) {
  std::ifstream in(data + "/dev.json");
  Json json = Json::parse(in, nullptr, false);
  if (!json.is_object()) return false;
  *instance = {json.value("url", ""), json.value("operator_key", ""), json.value("regulator_key", ""),
               json.value("custodian_url", ""), json.value("custodian_key", "")};
  return true;
}

}  // namespace millrace::dev
