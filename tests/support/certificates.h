// SPDX-License-Identifier: Apache-2.0
// Certificates for tests of TLS, made on the spot.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace millrace::test {

struct CertificateOptions {
  std::string name = "test";              // common name
  std::vector<std::string> alternatives;  // "DNS:localhost", "IP:127.0.0.1"
  int valid_from_seconds = -3600;         // from now
  int valid_to_seconds = 3600;
};

// A certificate authority, and what it signs. P-256 keys.
class Authority {
 public:
  explicit Authority(std::string name = "test authority");
  ~Authority();
  std::string certificate() const;  // PEM
  // A certificate and its key, PEM.
  struct Pair {
    std::string certificate, key;
  };
  Pair Sign(const CertificateOptions& options);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::test
