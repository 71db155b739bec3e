// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/settings.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "common/base/address.h"
#include "common/base/result.h"
#include "common/base/words.h"

namespace millrace::runtime {
namespace {

enum class Kind { kText, kBool, kInt, kUrl, kAddress, kCidrs, kDocuments };

// As in millrace.identity.v1.Document.
constexpr std::string_view kDocumentKinds[] = {"BUSINESS_LICENSE", "ID_OF_LEGAL_REPRESENTATIVE", "AUTHORIZATION_LETTER",
                                               "CERTIFICATE", "OTHER"};

struct Checked {
  SettingInfo info;
  Kind kind;
};

const std::vector<Checked>& Table() {
  static const std::vector<Checked> table = {
      {{"role", "all",
        "all, or services by comma: gateway, identity, listing, matching, operations, escrow, credit, notifications",
        false},
       Kind::kText},
      {{"http_address", "127.0.0.1:8080", "where the gateway listens; port 0 takes any free one", false},
       Kind::kAddress},
      {{"tls_certificate", "", "PEM file with the gateway's certificate and its chain; empty: plain HTTP", false},
       Kind::kText},
      {{"tls_key", "", "PEM file with the certificate's key; both files are read again when they change", false},
       Kind::kText},
      {{"http_connections_per_peer", "512", "connections that one address (IPv6: one /64) may have open", false},
       Kind::kInt},
      {{"public_url", "",
        "https://… under which clients reach the gateway: the OAuth issuer; empty: what each request's Host says",
        false},
       Kind::kText},
      {{"grpc_address", "", "where the gateway listens for gRPC; empty: nowhere", false}, Kind::kAddress},
      {{"database_url", "", "PostgreSQL: postgresql://… or key=value …", true}, Kind::kText},
      {{"redis_url", "", "Redis: redis://host:port or unix:/path; empty: none, consumers poll each second", false},
       Kind::kText},
      {{"data_folder", "", "where attachments and documents are kept", false}, Kind::kText},
      {{"log_file", "", "log lines go here instead of standard error", false}, Kind::kText},
      {{"internal_token", "",
        "secrets of API keys derive from it, and it seals those of webhooks; roles that run apart without certificates "
        "show it each other",
        true},
       Kind::kText},
      {{"internal_certificate", "", "PEM file: this process's certificate, where roles run apart", false}, Kind::kText},
      {{"internal_key", "", "PEM file: the key of internal_certificate", false}, Kind::kText},
      {{"internal_ca", "", "PEM file: the authority that signed every role's certificate", false}, Kind::kText},
      {{"operator_key", "", "API key of the built-in operator", true}, Kind::kText},
      {{"regulator_key", "", "API key of the built-in regulator", true}, Kind::kText},
      {{"test_clock", "false", "a test instance: its clock can be moved", false}, Kind::kBool},
      {{"verification_documents", "",
        "kinds of documents by comma that an organization must have sent before it can be verified: BUSINESS_LICENSE, "
        "ID_OF_LEGAL_REPRESENTATIVE, AUTHORIZATION_LETTER, CERTIFICATE, OTHER; empty: none",
        false},
       Kind::kDocuments},
      {{"custodian_url", "", "the custodian's API", false}, Kind::kUrl},
      {{"custodian_key", "", "bearer token sent to the custodian", true}, Kind::kText},
      {{"custodian_secret", "", "whsec_… secret that signs the custodian's notices", true}, Kind::kText},
      {{"custodian_account", "", "account number that buyers transfer to", false}, Kind::kText},
      {{"fee_basis_points", "300", "the operator's part of what is captured", false}, Kind::kInt},
      {{"drain_seconds", "20", "how long requests in flight may take when the process ends", false}, Kind::kInt},
      {{"webhook_allow_cidrs", "",
        "address blocks by comma that webhooks may call though they are not public: 10.20.0.0/16", false},
       Kind::kCidrs},
      {{"admin_address", "127.0.0.1:9464",
        "the process's own listener: /metrics, /livez, /readyz, /version; empty: none", false},
       Kind::kAddress},
      {{"otlp_endpoint", "", "collector of traces, OTLP/HTTP: http://127.0.0.1:4318; empty: none are kept", false},
       Kind::kUrl},
      {{"rate_limit_requests", "600", "requests that a key may send in a row, and in each window", false}, Kind::kInt},
      {{"rate_limit_window", "60", "seconds in which a used quota comes back", false}, Kind::kInt},
      {{"ready_file", "", "written with the bound HTTP port once the process is ready", false}, Kind::kText},
      {{"identity_address", "", "host:port of identity when it runs apart", false}, Kind::kAddress},
      {{"listing_address", "", "host:port of listing when it runs apart", false}, Kind::kAddress},
      {{"matching_address", "", "host:port of matching when it runs apart", false}, Kind::kAddress},
      {{"operations_address", "", "host:port of operations when it runs apart", false}, Kind::kAddress},
      {{"escrow_address", "", "host:port of escrow when it runs apart", false}, Kind::kAddress},
      {{"credit_address", "", "host:port of credit when it runs apart", false}, Kind::kAddress},
      {{"notifications_address", "", "host:port of notifications when it runs apart", false}, Kind::kAddress},
  };
  return table;
}

const Checked* Find(std::string_view key) {
  for (const Checked& row : Table()) {
    if (row.info.key == key) return &row;
  }
  return nullptr;
}

bool IsNumber(const std::string& text) {
  return !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == text.npos;
}

// Why a value does not fit, in words; empty if it does.
std::string Fault(const Checked& row, const std::string& value) {
  if (value.empty()) return {};
  switch (row.kind) {
    case Kind::kBool:
      return value == "true" || value == "false" ? "" : "must be true or false";
    case Kind::kInt:
      return IsNumber(value) ? "" : "must be a whole number";
    case Kind::kUrl:
      return value.starts_with("http://") || value.starts_with("https://") ? "" : "must start with http:// or https://";
    case Kind::kAddress: {
      size_t colon = value.rfind(':');
      bool good = colon != value.npos && colon > 0 && IsNumber(value.substr(colon + 1)) &&
                  std::stoi(value.substr(colon + 1)) < 65536;
      return good ? "" : "must be host:port";
    }
    case Kind::kCidrs:
      return ParseCidrs(value) ? "" : "must be address blocks by comma, such as 10.20.0.0/16";
    case Kind::kDocuments:
      for (const std::string& word : SplitWords(value)) {
        if (std::ranges::find(kDocumentKinds, word) == std::end(kDocumentKinds))
          return word + " is no kind of document; kinds stand by comma, without blanks";
      }
      return {};
    case Kind::kText:
      return {};
  }
  return {};
}

std::string Trim(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r");
  if (begin == text.npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1));
}

std::string EnvironmentName(std::string_view key) {
  std::string name = "MILLRACE_";
  for (char c : key) name += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return name;
}

// A database's URL is one only if it names a password.
bool HoldsSecret(std::string_view key, std::string_view value) {
  if (key != "database_url") return true;
  size_t scheme = value.find("://");
  if (scheme == value.npos) return value.find("password") != value.npos;
  std::string_view authority = value.substr(scheme + 3, value.find('/', scheme + 3) - scheme - 3);
  size_t at = authority.rfind('@');
  bool named = at != authority.npos && authority.substr(0, at).find(':') != authority.npos;
  return named || value.find("password") != value.npos;
}

// MILLRACE_X_FILE names the file that a secret stands in, as container platforms hand them over.
void ReadSecretFiles(Settings* settings, std::vector<std::string>* faults) {
  for (const Checked& row : Table()) {
    std::string name = EnvironmentName(row.info.key), path_name = name + "_FILE";
    const char* path = row.info.secret ? std::getenv(path_name.c_str()) : nullptr;
    if (!path) continue;
    std::ifstream in(path);
    std::string value;
    if (std::getenv(name.c_str())) {
      faults->push_back(name + " and " + path_name + ": set one of them");
    } else if (!in || !std::getline(in, value)) {
      faults->push_back(path_name + ": " + path + " cannot be read, or is empty");
    } else {
      settings->Set(row.info.key, Trim(value), "file " + std::string(path) + " of " + path_name);
    }
  }
}

}  // namespace

const std::vector<SettingInfo>& AllSettings() {
  static const std::vector<SettingInfo> all = [] {
    std::vector<SettingInfo> infos;
    for (const Checked& row : Table()) infos.push_back(row.info);
    return infos;
  }();
  return all;
}

Settings::Settings() {
  for (const Checked& row : Table()) values_[row.info.key] = {row.info.default_value, "default"};
}

const std::string& Settings::Get(std::string_view key) const { return values_.find(key)->second.value; }
const std::string& Settings::Origin(std::string_view key) const { return values_.find(key)->second.origin; }
int64_t Settings::Int(std::string_view key) const { return std::strtoll(Get(key).c_str(), nullptr, 10); }
void Settings::Set(std::string_view key, std::string value, std::string origin) {
  values_.find(key)->second = {std::move(value), std::move(origin)};
}

Settings Settings::Load(const std::vector<std::string>& flags, std::vector<std::string>* faults) {
  Settings settings;
  std::map<std::string, std::string> given;
  std::string file;
  for (size_t i = 0; i < flags.size(); ++i) {
    std::string flag = flags[i];
    if (!flag.starts_with("--")) {
      faults->push_back(flag + ": expected --name=value");
      continue;
    }
    size_t equals = flag.find('=');
    std::string name = flag.substr(2, equals == flag.npos ? flag.npos : equals - 2), value;
    if (equals != flag.npos) {
      value = flag.substr(equals + 1);
    } else if (i + 1 < flags.size() && !flags[i + 1].starts_with("--")) {
      value = flags[++i];
    } else {
      faults->push_back(flag + ": needs a value");
      continue;
    }
    for (char& c : name) c = c == '-' ? '_' : c;
    if (name == "config") {
      file = value;
    } else if (!Find(name)) {
      faults->push_back(flag.substr(0, equals) + ": unknown; `millrace config show` lists all");
    } else {
      given[name] = value;
    }
  }
  if (const char* from_environment = std::getenv("MILLRACE_CONFIG"); file.empty() && from_environment)
    file = from_environment;
  if (!file.empty()) {
    std::ifstream in(file);
    if (!in) faults->push_back(file + ": cannot be read");
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      std::string text = Trim(line);
      if (text.empty() || text[0] == '#') continue;
      size_t equals = text.find('=');
      std::string key = Trim(std::string_view(text).substr(0, equals));
      if (equals == text.npos || !Find(key)) {
        faults->push_back(file + ":" + std::to_string(number) + ": expected key = value with a known key");
        continue;
      }
      settings.Set(key, Trim(std::string_view(text).substr(equals + 1)), "file " + file);
    }
  }
  for (const Checked& row : Table()) {
    if (const char* value = std::getenv(EnvironmentName(row.info.key).c_str())) {
      settings.Set(row.info.key, value, "environment " + EnvironmentName(row.info.key));
    }
  }
  ReadSecretFiles(&settings, faults);
  for (const auto& [key, value] : given) settings.Set(key, value, "flag");
  for (const auto& [key, value] : given) {
    if (Find(key)->info.secret && HoldsSecret(key, value) && !settings.Is("test_clock")) {
      faults->push_back(key + " (flag): every process of the machine can read a command line; set " +
                        EnvironmentName(key) + " or " + EnvironmentName(key) + "_FILE");
    }
  }
  for (const Checked& row : Table()) {
    std::string fault = Fault(row, settings.Get(row.info.key));
    if (!fault.empty()) {
      faults->push_back(std::string(row.info.key) + " (" + settings.Origin(row.info.key) + "): " + fault);
    }
  }
  return settings;
}

}  // namespace millrace::runtime
