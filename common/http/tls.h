// SPDX-License-Identifier: Apache-2.0
// Contexts of TLS (OpenSSL), 1.2 and 1.3 only. Stays within common/http.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "common/base/result.h"

namespace millrace::http {

// What connections are made with. Each connection keeps the one that it began with.
using TlsContext = std::shared_ptr<SSL_CTX>;

// For a client that verifies the server's chain against the PEM file, or against the system's authorities if it is
// empty. Shared by all callers, from any thread; a file that changed is read again. Errors: INTERNAL with a cause that
// names the file.
Result<TlsContext> ClientTls(const std::string& ca_file);

// What a server answers with. Connections that began before a change keep the old certificate.
class ServerTls {
 public:
  // PEM files: the certificate with its chain, and its private key.
  ServerTls(std::string certificate, std::string key) : certificate_(std::move(certificate)), key_(std::move(key)) {}
  // Reads both. Errors: INTERNAL with a cause that names the file; the old pair stays.
  Result<void> Load();
  // Reads both again if one of the files is another than at the last look; true if the pair was taken over. The same
  // errors.
  Result<bool> LoadIfChanged();
  const TlsContext& context() const { return context_; }

 private:
  std::string Stamp() const;  // what tells a file from its successor

  std::string certificate_, key_, stamp_;
  TlsContext context_;
};

// A server's side of one connection over a socket that the caller owns; does not block. null: no memory.
struct TlsFree {
  void operator()(SSL* tls) const { SSL_free(tls); }
};
using TlsSession = std::unique_ptr<SSL, TlsFree>;
TlsSession AcceptOver(const TlsContext& context, int socket);

// What OpenSSL has noted on this thread, in words; takes it off.
std::string TlsFault();

}  // namespace millrace::http
