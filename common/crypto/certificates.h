// SPDX-License-Identifier: Apache-2.0
// X.509 certificates of the instance's own authority, by which its processes know each other. EC P-256, PEM.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace::crypto {

struct KeyPair {
  std::string certificate, key;  // PEM; the key is PKCS #8, not encrypted
};

// From an hour ago, for clocks that differ, to `until`.
struct Validity {
  Time from, until;
  static Validity For(std::chrono::days days);
};

// An authority that signs itself and may sign no other authority. Errors: INTERNAL, with OpenSSL's reason.
Result<KeyPair> MakeAuthority(const std::string& name, Validity validity);
// A pair for a server and a client with these DNS names, signed by `authority`. Errors: INTERNAL; also if `dns_names`
// is empty.
Result<KeyPair> IssueCertificate(const KeyPair& authority, const std::vector<std::string>& dns_names,
                                 Validity validity);

struct CertificateFacts {
  std::vector<std::string> dns_names;
  Validity validity;
};
// Of the first certificate of a PEM text. Errors: INTERNAL if it holds none.
Result<CertificateFacts> ReadCertificate(const std::string& pem);
// That `pair` is a key with its certificate, and that `authority` (PEM) signed it and is an authority. Times are not
// looked at. Errors: INTERNAL, with a sentence that says what is wrong.
Result<void> CheckPair(const KeyPair& pair, const std::string& authority);

// One file pair to be: <folder>/<file>.pem and .key for a process that serves these names.
struct WantedCertificate {
  std::string file;
  std::vector<std::string> dns_names;
};
struct WrittenCertificates {
  bool authority_made = false;
  std::vector<std::string> issued, kept;  // files
};
// Brings a folder up to date: ca.pem with ca.key, and each wanted pair. What is good and stays so for 30 days is left
// as it is; the rest is made anew, each file replaced at once. Keys have mode 0600. The authority lasts ten years and
// is never replaced while it is good: a new one would cut off every process that knows the old. Errors: INTERNAL, with
// the file's name.
Result<WrittenCertificates> WriteCertificates(const std::string& folder, const std::vector<WantedCertificate>& wanted,
                                              std::chrono::days lasting);

}  // namespace millrace::crypto
