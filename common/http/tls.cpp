// SPDX-License-Identifier: Apache-2.0
#include "common/http/tls.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <mutex>

namespace millrace::http {
namespace {

using FileTime = std::filesystem::file_time_type;

TlsContext NewContext(const SSL_METHOD* method) {
  TlsContext context(SSL_CTX_new(method), SSL_CTX_free);
  if (!context) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // The suites of TLS 1.3 are all sound; of TLS 1.2 only those with forward secrecy and authenticated encryption.
  SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  return context;
}

// HTTP/1.1 is all that is spoken here: a client that offers only other protocols is told so in the handshake.
int ChooseProtocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered,
                   unsigned int offered_length, void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  int found = SSL_select_next_proto(&chosen, out_length, kOurs, sizeof kOurs - 1, offered, offered_length);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL: a peer that left would end the process.
int Send(BIO* bio, const char* bytes, int count) {
  BIO_clear_retry_flags(bio);
  ssize_t sent = send(static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))), bytes,
                      static_cast<size_t>(count), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int Receive(BIO* bio, char* bytes, int space) {
  BIO_clear_retry_flags(bio);
  ssize_t got = recv(static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))), bytes, static_cast<size_t>(space),
                     MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (got == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return static_cast<int>(got);
}

long Control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* SocketMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without signals");
    BIO_meth_set_write(made, Send);
    BIO_meth_set_read(made, Receive);
    BIO_meth_set_ctrl(made, Control);
    return made;
  }();
  return method;
}

std::string FileStamp(const std::string& path) {
  struct stat found{};
  if (stat(path.c_str(), &found) != 0) return "missing";
  return std::to_string(found.st_ino) + "/" + std::to_string(found.st_size) + "/" +
         std::to_string(found.st_mtim.tv_sec) + "." + std::to_string(found.st_mtim.tv_nsec);
}

}  // namespace

std::string ServerTls::Stamp() const { return FileStamp(certificate_) + " " + FileStamp(key_); }

Result<void> ServerTls::Load() {
  stamp_ = Stamp();
  ERR_clear_error();
  TlsContext context = NewContext(TLS_server_method());
  if (!context) return Fail(Error::Internal("no TLS context: " + TlsFault()));
  // An idle connection then keeps no buffers, which are 34 KiB.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_alpn_select_cb(context.get(), ChooseProtocol, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate_.c_str()) != 1)
    return Fail(Error::Internal("cannot use the certificate " + certificate_ + ": " + TlsFault()));
  if (SSL_CTX_use_PrivateKey_file(context.get(), key_.c_str(), SSL_FILETYPE_PEM) != 1)
    return Fail(Error::Internal("cannot use the key " + key_ + ": " + TlsFault()));
  if (SSL_CTX_check_private_key(context.get()) != 1)
    return Fail(Error::Internal("the key " + key_ + " is not that of " + certificate_ + ": " + TlsFault()));
  context_ = std::move(context);
  return {};
}

Result<bool> ServerTls::LoadIfChanged() {
  if (Stamp() == stamp_) return false;
  MILLRACE_CHECK(Load());
  return true;
}

TlsSession AcceptOver(const TlsContext& context, int socket) {
  TlsSession session(SSL_new(context.get()));
  BIO* bio = session ? BIO_new(SocketMethod()) : nullptr;
  if (!bio) return nullptr;
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(socket)));
  BIO_set_init(bio, 1);
  SSL_set_bio(session.get(), bio, bio);
  SSL_set_accept_state(session.get());
  return session;
}

std::string TlsFault() {
  std::string out;
  while (unsigned long code = ERR_get_error()) {
    char text[256];
    ERR_error_string_n(code, text, sizeof text);
    out += (out.empty() ? "" : "; ") + std::string(text);
  }
  return out;
}

Result<TlsContext> ClientTls(const std::string& ca_file) {
  struct Kept {
    TlsContext context;
    FileTime changed;
  };
  static std::mutex mutex;
  static std::map<std::string, Kept> all;  // a few: what the settings name
  std::lock_guard lock(mutex);
  std::error_code unknown;
  FileTime changed = ca_file.empty() ? FileTime() : std::filesystem::last_write_time(ca_file, unknown);
  auto found = all.find(ca_file);
  if (found != all.end() && found->second.changed == changed && !unknown) return found->second.context;
  ERR_clear_error();
  TlsContext context = NewContext(TLS_client_method());
  if (!context) return Fail(Error::Internal("no TLS context: " + TlsFault()));
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context.get())
                               : SSL_CTX_load_verify_locations(context.get(), ca_file.c_str(), nullptr);
  if (loaded != 1) return Fail(Error::Internal("cannot read the authorities of " + ca_file + ": " + TlsFault()));
  all[ca_file] = {context, changed};
  return context;
}

}  // namespace millrace::http
