// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/apart.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>

#include "common/crypto/certificates.h"
#include "common/rpc/policy.h"
#include "services/millrace/arguments.h"
#include "services/millrace/serve.h"

namespace millrace {
namespace {

constexpr const char* kFiles[] = {"internal_certificate", "internal_key", "internal_ca"};

// Of "127.0.0.1:9101", "[::1]:9101", "localhost:9101".
bool IsLoopback(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]" || host == "::1") return true;
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos;
}

void CheckFiles(const runtime::Settings& settings, const std::set<std::string>& roles,
                std::vector<std::string>* faults) {
  std::string pems[3];
  bool readable = true;
  for (size_t i = 0; i < 3; ++i) {
    const std::string& path = settings.Get(kFiles[i]);
    pems[i] = path.empty() ? "" : ReadFile(path).value_or("");
    if (path.empty()) {
      faults->push_back(std::string(kFiles[i]) + ": needed with the other two of internal_certificate, internal_key, " +
                        "internal_ca; `millrace certificates FOLDER` makes them");
    } else if (pems[i].empty()) {
      faults->push_back(std::string(kFiles[i]) + ": " + path + " cannot be read");
    }
    readable = readable && !pems[i].empty();
  }
  if (!readable) return;
  Result<void> fits = crypto::CheckPair({pems[0], pems[1]}, pems[2]);
  if (!fits) return faults->push_back("internal_certificate: " + fits.error().cause);
  Result<crypto::CertificateFacts> facts = crypto::ReadCertificate(pems[0]);
  if (!facts) return faults->push_back("internal_certificate: " + facts.error().cause);
  if (facts->validity.until <= WallNow()) {
    faults->push_back("internal_certificate: it has expired; `millrace certificates FOLDER` makes a new one");
  }
  for (const std::string& role : roles) {
    std::string name = rpc::InternalName(role);
    if (std::ranges::find(facts->dns_names, name) != facts->dns_names.end()) continue;
    faults->push_back("internal_certificate: it does not name " + name + ", which the role " + role + " needs");
  }
}

// "money=escrow,credit" as a certificate; nothing if it is not of that form, or names no role.
std::optional<crypto::WantedCertificate> ReadTogether(const std::string& text, const std::vector<std::string>& roles) {
  size_t equals = text.find('=');
  if (equals == text.npos || equals == 0 || text.find('/') != text.npos) return std::nullopt;
  crypto::WantedCertificate wanted{text.substr(0, equals), {}};
  std::istringstream names(text.substr(equals + 1));
  for (std::string role; std::getline(names, role, ',');) {
    if (std::ranges::find(roles, role) == roles.end()) return std::nullopt;
    wanted.dns_names.push_back(rpc::InternalName(role));
  }
  if (wanted.dns_names.empty() || wanted.file == "ca") return std::nullopt;
  return wanted;
}

}  // namespace

rpc::Access AccessOf(const runtime::Settings& settings) {
  return {settings.Get("internal_token"), settings.Get("internal_certificate"), settings.Get("internal_key"),
          settings.Get("internal_ca")};
}

void CheckApart(const runtime::Settings& settings, const std::set<std::string>& roles,
                const std::vector<std::string>& services, std::vector<std::string>* faults) {
  bool any = std::ranges::any_of(kFiles, [&](const char* key) { return !settings.Get(key).empty(); });
  if (any) return CheckFiles(settings, roles, faults);
  for (const std::string& service : services) {
    std::string key = service + "_address";
    if (settings.Get(key).empty() || IsLoopback(settings.Get(key))) continue;
    faults->push_back(key + ": " + settings.Get(key) + " is not this machine alone, so roles need certificates: set " +
                      "internal_certificate, internal_key and internal_ca; `millrace certificates FOLDER` makes them");
    return;
  }
  bool needed_anyway = roles.contains("identity") || roles.contains("notifications");  // CheckNeeded says so
  if (settings.Get("internal_token").empty() && !needed_anyway) {
    faults->push_back("internal_token: needed by roles that run apart without certificates");
  }
}

int MakeCertificates(const std::string& folder, const std::vector<std::string>& together, int days) {
  std::vector<std::string> roles = ServiceNames();
  roles.emplace_back("gateway");
  std::vector<crypto::WantedCertificate> wanted;
  for (const std::string& role : roles) wanted.push_back({role, {rpc::InternalName(role)}});
  for (const std::string& text : together) {
    std::optional<crypto::WantedCertificate> one = ReadTogether(text, roles);
    if (!one) {
      std::fprintf(stderr, "millrace: %s: expected NAME=ROLE,ROLE… with known roles\n", text.c_str());
      return 2;
    }
    wanted.push_back(*std::move(one));
  }
  Result<crypto::WrittenCertificates> written = crypto::WriteCertificates(folder, wanted, std::chrono::days(days));
  if (!written) {
    std::fprintf(stderr, "millrace: %s\n", written.error().cause.c_str());
    return 1;
  }
  if (written->authority_made) std::printf("  %-14s made\n", "ca");
  for (const std::string& name : written->issued) std::printf("  %-14s issued\n", name.c_str());
  for (const std::string& name : written->kept) std::printf("  %-14s still good\n", name.c_str());
  std::printf(
      "Each process needs its own pair and the authority's certificate: --internal-certificate=%s/ROLE.pem\n"
      "--internal-key=%s/ROLE.key --internal-ca=%s/ca.pem. Keep ca.key off the servers; run this again within the "
      "last\n"
      "30 days of a pair to renew it. Running processes read replaced files again by themselves.\n",
      folder.c_str(), folder.c_str(), folder.c_str());
  return 0;
}

}  // namespace millrace
