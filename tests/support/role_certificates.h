// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "common/crypto/certificates.h"
#include "common/rpc/channel.h"
#include "common/rpc/policy.h"
#include "tests/support/temporary_folder.h"

namespace millrace::test {

// A private authority in a folder of its own, gone with this object.
class RoleCertificates {
 public:
  const std::string& path() const { return folder_.path(); }

  // The access of a process with these roles. An empty list: a certificate without a role's name.
  rpc::Access For(const std::vector<std::string>& roles, const std::string& token = {}) const {
    std::vector<std::string> names;
    std::string file = "role";
    for (const std::string& role : roles) {
      names.push_back(rpc::InternalName(role));
      file += "-" + role;
    }
    if (names.empty()) names.emplace_back("somebody.example.org");
    (void)crypto::WriteCertificates(path(), {{file, names}}, std::chrono::days(365));
    return {token, path() + "/" + file + ".pem", path() + "/" + file + ".key", path() + "/ca.pem"};
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace millrace::test
