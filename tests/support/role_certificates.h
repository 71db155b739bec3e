// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "common/crypto/certificates.h"
#include "common/rpc/channel.h"
#include "common/rpc/policy.h"

namespace millrace::test {

// A private authority in a folder of its own, gone with this object.
class RoleCertificates {
 public:
  RoleCertificates() {
    char name[] = "/tmp/millrace-certificates-XXXXXX";
    if (mkdtemp(name)) folder_ = name;
  }
  ~RoleCertificates() { std::filesystem::remove_all(folder_); }
  RoleCertificates(const RoleCertificates&) = delete;
  RoleCertificates& operator=(const RoleCertificates&) = delete;
  const std::string& path() const { return folder_; }

  // The access of a process with these roles. An empty list: a certificate without a role's name.
  rpc::Access For(const std::vector<std::string>& roles, const std::string& token = {}) const {
    std::vector<std::string> names;
    std::string file = "role";
    for (const std::string& role : roles) {
      names.push_back(rpc::InternalName(role));
      file += "-" + role;
    }
    if (names.empty()) names.emplace_back("somebody.example.org");
    (void)crypto::WriteCertificates(folder_, {{file, names}}, std::chrono::days(365));
    return {token, folder_ + "/" + file + ".pem", folder_ + "/" + file + ".key", folder_ + "/ca.pem"};
  }

 private:
  std::string folder_;
};

}  // namespace millrace::test
