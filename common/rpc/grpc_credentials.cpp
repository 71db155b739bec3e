// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <map>
#include <mutex>
#include <tuple>

#include "common/rpc/grpc.h"

namespace millrace::rpc {
namespace {

namespace tls = grpc::experimental;
constexpr unsigned kReadAgainSeconds = 1;

// One watcher, which has a thread, for all channels and servers of the same files.
std::shared_ptr<tls::CertificateProviderInterface> Watch(const std::string& key, const std::string& certificate,
                                                         const std::string& ca) {
  static std::mutex mutex;
  static std::map<std::tuple<std::string, std::string, std::string>, std::weak_ptr<tls::CertificateProviderInterface>>
      watchers;
  std::lock_guard lock(mutex);
  auto& entry = watchers[{key, certificate, ca}];
  auto watcher = entry.lock();
  if (!watcher) {
    watcher = std::make_shared<tls::FileWatcherCertificateProvider>(key, certificate, ca, kReadAgainSeconds);
    entry = watcher;
  }
  return watcher;
}

}  // namespace

std::shared_ptr<grpc::ChannelCredentials> ClientCredentials(const Access& access) {
  if (!access.Certified()) return grpc::InsecureChannelCredentials();
  tls::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(Watch(access.key, access.certificate, access.ca));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_verify_server_certs(true);
  options.set_certificate_verifier(std::make_shared<tls::HostNameCertificateVerifier>());
  // The name was verified in the handshake, and every call of a channel is for the same.
  options.set_check_call_host(false);
  return tls::TlsCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> MutualServerCredentials(const Access& access) {
  if (!access.Certified()) return grpc::InsecureServerCredentials();
  tls::TlsServerCredentialsOptions options(Watch(access.key, access.certificate, access.ca));
  options.watch_root_certs();
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return tls::TlsServerCredentials(options);
}

std::shared_ptr<grpc::ServerCredentials> PublicServerCredentials(const std::string& certificate,
                                                                 const std::string& key) {
  if (certificate.empty()) return grpc::InsecureServerCredentials();
  tls::TlsServerCredentialsOptions options(Watch(key, certificate, ""));
  options.watch_identity_key_cert_pairs();
  options.set_cert_request_type(GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  return tls::TlsServerCredentials(options);
}

}  // namespace millrace::rpc
