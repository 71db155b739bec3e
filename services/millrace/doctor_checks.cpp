// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "common/http/http.h"
#include "common/postgres/database.h"
#include "common/redis/address.h"
#include "services/millrace/dev/child.h"
#include "services/millrace/doctor.h"
#include "services/millrace/serve.h"

namespace millrace {
namespace {

using State = Finding::State;

constexpr int64_t kOldestPostgres = 150000;  // server_version_num
constexpr int kOldestRedis = 6;
// Business time is the database's: a machine that differs tells people wrong deadlines.
constexpr int64_t kSkewMicrosMax = 2'000'000;
constexpr uint64_t kFreeBytesMin = 1024ull * 1024 * 1024;
constexpr double kFreePartMin = 0.05;
constexpr std::chrono::seconds kPatience{5};

constexpr postgres::Statement kServer = {
    "doctor_server",
    "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), "
    "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint, current_setting('synchronous_commit')"};
constexpr postgres::Statement kSchema = {"doctor_schema", "SELECT to_regclass($1 || '.schema_migration') IS NOT NULL"};

std::string RestartDev(const Patient& patient) {
  return "restart it: Ctrl-C, then millrace dev --data " + patient.dev_folder + "; log: " + patient.dev_folder + "/log";
}

// A setting that is empty, in words.
Finding NotSet(const char* name, const char* key) {
  std::string variable = "MILLRACE_" + std::string(key);
  for (char& c : variable) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return {name, State::kFailed, std::string(key) + " is not set",
          "export " + variable + "=… , or set it in the --config file"};
}

Finding ClockSkew(int64_t database_micros, int64_t round_trip) {
  int64_t skew = Micros(WallNow()) - round_trip / 2 - database_micros;
  char text[80];
  std::snprintf(text, sizeof text, "this machine is %.3f s %s the database", std::abs(skew) / 1e6,
                skew >= 0 ? "ahead of" : "behind");
  bool good = std::abs(skew) <= kSkewMicrosMax;
  return {"clock", good ? State::kOk : State::kFailed, text, good ? "" : "timedatectl set-ntp true"};
}

// The names of migrations that the database has of a service; none if it has no such schema.
std::set<std::string> AppliedTo(postgres::Transaction& tx, const std::string& service) {
  std::set<std::string> applied;
  if (!tx.Execute(kSchema, postgres::Params().Text(service))[0].Bool(0)) return applied;
  for (postgres::Row row : tx.ExecuteText("SELECT name FROM " + service + ".schema_migration"))
    applied.insert(row.Text(0));
  return applied;
}

Finding Migrations(postgres::Transaction& tx, const Patient& patient) {
  std::string missing, newer;
  size_t present = 0;
  for (const std::string& service : ServiceNames()) {
    std::set<std::string> applied = AppliedTo(tx, service);
    std::set<std::string> known = {"V001__machinery.sql"};
    for (const EmbeddedFile& file : MigrationsOf(service)) known.insert(std::string(file.name));
    for (const std::string& name : known) {
      present += applied.contains(name);
      if (!applied.contains(name)) missing += " " + service + "/" + name;
    }
    for (const std::string& name : applied) {
      if (!known.contains(name)) newer += " " + service + "/" + name;
    }
  }
  if (!newer.empty()) {
    return {"migrations", State::kFailed, "the database is newer than this program:" + newer,
            "install the version of millrace that wrote it"};
  }
  if (!missing.empty()) {
    std::string how = patient.dev_folder.empty() ? "millrace migrate " + patient.settings_word : RestartDev(patient);
    return {"migrations", State::kFailed, "not applied:" + missing, how};
  }
  return {"migrations", State::kOk, std::to_string(present) + " applied, none missing", ""};
}

// One line of an answer of Redis, or why there is none.
Result<std::string> AskRedis(int socket, const std::string& words) {
  std::string text = words + "\r\n", answer;
  if (send(socket, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) {
    return Fail(Error::Internal(std::strerror(errno)));
  }
  char piece[4096];
  while (answer.find("\r\n") == answer.npos || (answer[0] == '$' && answer.find("redis_version") == answer.npos)) {
    ssize_t got = recv(socket, piece, sizeof piece, 0);
    if (got <= 0) return Fail(Error::Internal(got == 0 ? "it hung up" : std::strerror(errno)));
    answer.append(piece, static_cast<size_t>(got));
  }
  if (answer[0] == '-') return Fail(Error::Internal(answer.substr(1, answer.find("\r\n") - 1)));
  return answer;
}

// A connected socket for a redis_url; -1 with `why`.
int ConnectRedis(const std::string& url, std::string* why) {
  timeval patience{kPatience.count(), 0};
  auto connected = [&](int family, const sockaddr* address, socklen_t size) {
    int made = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(made, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(made, address, size) == 0) return made;
    *why = std::strerror(errno);
    close(made);
    return -1;
  };
  redis::Address place = redis::ParseUrl(url);
  if (!place.valid()) return *why = "redis_url must be unix:/path or redis://host:port", -1;
  if (!place.path.empty()) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (place.path.size() >= sizeof address.sun_path) return *why = "the path is too long", -1;
    std::memcpy(address.sun_path, place.path.c_str(), place.path.size() + 1);
    return connected(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (int failed = getaddrinfo(place.host.c_str(), place.port.c_str(), &hints, &found); failed != 0) {
    return *why = gai_strerror(failed), -1;
  }
  int made = -1;
  for (addrinfo* one = found; one && made < 0; one = one->ai_next)
    made = connected(one->ai_family, one->ai_addr, one->ai_addrlen);
  freeaddrinfo(found);
  return made;
}

Finding Space(const char* name, const std::string& folder) {
  struct statvfs disk{};
  if (statvfs(folder.c_str(), &disk) != 0) {
    return {name, State::kFailed, folder + ": " + std::strerror(errno), "mkdir -p " + folder};
  }
  uint64_t free_bytes = uint64_t{disk.f_bavail} * disk.f_frsize;
  double part = disk.f_blocks == 0 ? 1 : static_cast<double>(disk.f_bavail) / static_cast<double>(disk.f_blocks);
  char text[64];
  std::snprintf(text, sizeof text, ": %.1f GiB free, %.0f %%", static_cast<double>(free_bytes) / (1 << 30), part * 100);
  if (free_bytes < kFreeBytesMin || part < kFreePartMin) {
    return {name, State::kFailed, folder + text, "du -xh --max-depth=2 " + folder + " | sort -h | tail"};
  }
  if (access(folder.c_str(), W_OK) != 0) {
    return {name, State::kFailed, folder + " cannot be written to", "chown $(id -un) " + folder};
  }
  return {name, State::kOk, folder + text, ""};
}

}  // namespace

std::vector<Finding> CheckDatabase(const Patient& patient) {
  const std::string& url = patient.settings.Get("database_url");
  if (url.empty()) return {NotSet("database", "database_url")};
  postgres::DatabaseOptions options;
  options.url = url;
  options.connections = 1;
  postgres::Database database(options);
  std::vector<Finding> findings;
  Result<void> asked = database.RunHere([&](postgres::Transaction& tx) {
    auto began = std::chrono::steady_clock::now();
    postgres::Rows rows = tx.Execute(kServer);
    auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began).count();
    bool old = rows[0].Int(0) < kOldestPostgres, lax = rows[0].Text(3) == "off";
    Finding server{"database", old || lax ? State::kFailed : State::kOk, "PostgreSQL " + rows[0].Text(1), ""};
    if (lax) server.detail += ", synchronous_commit is off: a crash loses answered commands";
    if (lax) server.fix = "psql -c \"ALTER SYSTEM SET synchronous_commit = on\" -c \"SELECT pg_reload_conf()\"";
    if (old) server.fix = "apt-get install postgresql-15, then pg_upgradecluster";
    findings.push_back(server);
    findings.push_back(ClockSkew(rows[0].Int(2), took));
    findings.push_back(Migrations(tx, patient));
  });
  if (!asked) {
    bool local = patient.dev_folder.empty();
    std::string fix = local ? "systemctl start postgresql; pg_isready" : RestartDev(patient);
    findings.push_back({"database", State::kFailed, "cannot be asked: " + asked.error().cause, fix});
  }
  return findings;
}

std::vector<Finding> CheckRedis(const Patient& patient) {
  const std::string& url = patient.settings.Get("redis_url");
  if (url.empty()) return {{"redis", State::kSkipped, "redis_url is not set: consumers look each second instead", ""}};
  std::string fix = patient.dev_folder.empty() ? "systemctl start redis-server" : RestartDev(patient);
  std::string why;
  int socket = ConnectRedis(url, &why);
  if (socket < 0) return {{"redis", State::kFailed, "cannot be reached: " + why, fix}};
  Result<std::string> info = AskRedis(socket, "INFO server");
  close(socket);
  if (!info) return {{"redis", State::kFailed, "does not answer: " + info.error().cause, fix}};
  size_t at = info->find("redis_version:") + std::strlen("redis_version:");
  std::string version = info->substr(at, info->find("\r\n", at) - at);
  if (std::atoi(version.c_str()) < kOldestRedis) {
    return {{"redis", State::kFailed, "Redis " + version + " is too old", "apt-get install redis-server"}};
  }
  return {{"redis", State::kOk, "Redis " + version, ""}};
}

std::vector<Finding> CheckCustodian(const Patient& patient) {
  const std::string& url = patient.settings.Get("custodian_url");
  if (url.empty()) return {NotSet("custodian", "custodian_url")};
  http::Request request;
  request.method = "GET";
  request.target = "/v1/account";
  request.fields.Set("Authorization", "Bearer " + patient.settings.Get("custodian_key"));
  Result<http::Response> answer = http::FetchBlocking(url, request, kPatience);
  std::string fix = patient.dev_folder.empty() ? "curl -i " + url + "/v1/account" : RestartDev(patient);
  if (!answer) return {{"custodian", State::kFailed, url + " cannot be reached: " + answer.error().cause, fix}};
  if (answer->status == 401 || answer->status == 403) {
    return {{"custodian", State::kFailed, url + " refuses custodian_key",
             "ask the custodian for a key, and set MILLRACE_CUSTODIAN_KEY"}};
  }
  if (answer->status != 200) {
    return {{"custodian", State::kFailed, url + " answers " + std::to_string(answer->status), fix}};
  }
  return {{"custodian", State::kOk, url + " knows this instance", ""}};
}

std::vector<Finding> CheckDisk(const Patient& patient) {
  const std::string& folder = patient.settings.Get("data_folder");
  if (folder.empty()) return {NotSet("disk", "data_folder")};
  return {Space("disk", folder)};
}

std::vector<Finding> CheckPort(const Patient& patient) {
  const std::string& address = patient.settings.Get("http_address");
  int port = std::atoi(address.substr(std::min(address.rfind(':'), address.size() - 1) + 1).c_str());
  http::Request request;
  request.method = "GET";
  request.target = "/readyz";
  std::string host = address.substr(0, address.rfind(':'));
  if (host == "0.0.0.0" || host == "[::]") host = "127.0.0.1";
  Result<http::Response> answer =
      http::FetchBlocking("http://" + host + ":" + std::to_string(port), request, kPatience);
  if (answer && answer->status == 200)
    return {{"port", State::kOk, address + ": a millrace serves there and is ready", ""}};
  if (answer && answer->status == 503) {
    std::string fix = patient.dev_folder.empty() ? "see log_file, or journalctl -u millrace"
                                                 : "tail " + patient.dev_folder + "/log/*.log";
    return {{"port", State::kFailed, address + ": a millrace serves there and is not ready", fix}};
  }
  if (port != 0 && !dev::IsFree(port)) {
    return {{"port", State::kFailed, address + " is taken by another program",
             "ss -ltnp 'sport = :" + std::to_string(port) + "'"}};
  }
  return {{"port", State::kOk, address + " is free", ""}};
}

}  // namespace millrace
