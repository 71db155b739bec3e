// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/certificates.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "common/crypto/crypto.h"
#include "common/crypto/openssl.h"

namespace millrace::crypto {
namespace {

constexpr std::chrono::days kRenewBefore{30};
constexpr std::chrono::days kAuthorityLasts{3650};

using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free_all>>;

// `what` and OpenSSL's own words; empties its queue, which is the thread's.
Error Refused(const std::string& what) {
  char text[256] = "";
  unsigned long code = ERR_get_error();
  if (code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return Error::Internal(what + (code != 0 ? std::string(": ") + text : ""));
}

Memory Reader(const std::string& text) { return Memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string TextOf(const Memory& memory) {
  char* data = nullptr;
  long size = BIO_get_mem_data(memory.get(), &data);
  return std::string(data, static_cast<size_t>(size));
}

Certificate ParseCertificate(const std::string& pem) {
  return Certificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, nullptr, nullptr));
}
// The callback keeps OpenSSL from asking the terminal for a pass phrase.
Key ParseKey(const std::string& pem) {
  auto no_phrase = [](char*, int, int, void*) { return 0; };
  return Key(PEM_read_bio_PrivateKey(Reader(pem).get(), nullptr, no_phrase, nullptr));
}

Result<KeyPair> ToPem(X509* certificate, EVP_PKEY* key) {
  Memory certificate_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(certificate_text.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return Fail(Refused("a certificate cannot be written"));
  }
  return KeyPair{TextOf(certificate_text), TextOf(key_text)};
}

bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
      X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

std::time_t Seconds(Time time) { return static_cast<std::time_t>(Micros(time) / 1000000); }

// A certificate for `key` without extensions; 128 random bits are its number.
Certificate Begin(EVP_PKEY* key, const std::string& name, Validity validity) {
  Certificate certificate(X509_new());
  std::string number = RandomBytes(16);
  number[0] = static_cast<char>((number[0] & 0x3F) | 0x40);  // positive, and never short
  std::unique_ptr<BIGNUM, Freed<BN_free>> serial(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(number.data()), static_cast<int>(number.size()), nullptr));
  X509_NAME* subject = certificate ? X509_get_subject_name(certificate.get()) : nullptr;
  const auto* text = reinterpret_cast<const unsigned char*>(name.data());
  bool good = subject && serial && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
              BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())) &&
              X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                                         reinterpret_cast<const unsigned char*>("Millrace"), -1, -1, 0) == 1 &&
              X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, text,
                                         static_cast<int>(std::min<size_t>(name.size(), 64)), -1, 0) == 1 &&
              ASN1_TIME_set(X509_getm_notBefore(certificate.get()), Seconds(validity.from)) &&
              ASN1_TIME_set(X509_getm_notAfter(certificate.get()), Seconds(validity.until)) &&
              X509_set_pubkey(certificate.get(), key) == 1;
  return good ? std::move(certificate) : nullptr;
}

Time TimeOf(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return FromMicros(static_cast<int64_t>(timegm(&parts)) * 1000000);
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return in ? text.str() : "";
}

// The whole file at once or the old one.
Result<void> ReplaceFile(const std::string& path, const std::string& text, mode_t mode) {
  std::string aside = path + ".new";
  int file = open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  bool good = file >= 0 && fchmod(file, mode) == 0 &&
              write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(file) == 0;
  if (file >= 0) close(file);
  if (!good || rename(aside.c_str(), path.c_str()) != 0) return Fail(Error::Internal(path + " cannot be written"));
  return {};
}

// The key first: a reader that watches both takes the pair when the certificate changes too.
Result<void> WritePair(const std::string& path, const KeyPair& pair) {
  MILLRACE_CHECK(ReplaceFile(path + ".key", pair.key, 0600));
  return ReplaceFile(path + ".pem", pair.certificate, 0644);
}

KeyPair ReadPair(const std::string& path) { return {ReadFile(path + ".pem"), ReadFile(path + ".key")}; }

bool Lasts(const CertificateFacts& facts) { return facts.validity.until > WallNow() + kRenewBefore; }

bool StaysGood(const KeyPair& pair, const std::string& authority, std::vector<std::string> dns_names) {
  Result<CertificateFacts> facts = ReadCertificate(pair.certificate);
  if (!facts || !Lasts(*facts) || !CheckPair(pair, authority)) return false;
  std::ranges::sort(dns_names);
  std::ranges::sort(facts->dns_names);
  return facts->dns_names == dns_names;
}

}  // namespace

Validity Validity::For(std::chrono::days days) {
  Time now = WallNow();
  return {now - std::chrono::hours(1), now + days};
}

Result<KeyPair> MakeAuthority(const std::string& name, Validity validity) {
  Key key(EVP_EC_gen("P-256"));
  Certificate certificate = key ? Begin(key.get(), name, validity) : nullptr;
  bool good = certificate && X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get())) == 1 &&
              AddExtension(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
              AddExtension(certificate.get(), certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign") &&
              AddExtension(certificate.get(), certificate.get(), NID_subject_key_identifier, "hash") &&
              X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0;
  if (!good) return Fail(Refused("an authority cannot be made"));
  return ToPem(certificate.get(), key.get());
}

Result<KeyPair> IssueCertificate(const KeyPair& authority, const std::vector<std::string>& dns_names,
                                 Validity validity) {
  if (dns_names.empty()) return Fail(Error::Internal("a certificate needs a name"));
  Certificate issuer = ParseCertificate(authority.certificate);
  Key issuer_key = ParseKey(authority.key);
  if (!issuer || !issuer_key) return Fail(Refused("the authority cannot be read"));
  Key key(EVP_EC_gen("P-256"));
  Certificate certificate = key ? Begin(key.get(), dns_names[0], validity) : nullptr;
  std::string names;
  for (const std::string& name : dns_names) {
    if (name.empty() || name.find_first_of(", \t\n:") != name.npos) {
      return Fail(Error::Internal("\"" + name + "\" is no DNS name"));
    }
    names += (names.empty() ? "DNS:" : ",DNS:") + name;
  }
  X509* made = certificate.get();
  bool good = made && X509_set_issuer_name(made, X509_get_subject_name(issuer.get())) == 1 &&
              AddExtension(made, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") &&
              AddExtension(made, issuer.get(), NID_key_usage, "critical,digitalSignature") &&
              AddExtension(made, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
              AddExtension(made, issuer.get(), NID_subject_alt_name, names) &&
              AddExtension(made, issuer.get(), NID_subject_key_identifier, "hash") &&
              AddExtension(made, issuer.get(), NID_authority_key_identifier, "keyid:always") &&
              X509_sign(made, issuer_key.get(), EVP_sha256()) > 0;
  if (!good) return Fail(Refused("a certificate cannot be made"));
  return ToPem(made, key.get());
}

Result<CertificateFacts> ReadCertificate(const std::string& pem) {
  Certificate certificate = ParseCertificate(pem);
  if (!certificate) return Fail(Refused("there is no certificate"));
  CertificateFacts facts;
  facts.validity = {TimeOf(X509_get0_notBefore(certificate.get())), TimeOf(X509_get0_notAfter(certificate.get()))};
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_DNS) continue;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    facts.dns_names.emplace_back(text, static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(names);
  return facts;
}

Result<void> CheckPair(const KeyPair& pair, const std::string& authority) {
  Certificate certificate = ParseCertificate(pair.certificate), issuer = ParseCertificate(authority);
  Key key = ParseKey(pair.key);
  if (!certificate) return Fail(Refused("there is no certificate"));
  if (!key) return Fail(Refused("there is no key"));
  if (!issuer) return Fail(Refused("there is no certificate of the authority"));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return Fail(Refused("the key is not the certificate's"));
  }
  std::unique_ptr<X509_STORE, Freed<X509_STORE_free>> store(X509_STORE_new());
  std::unique_ptr<X509_STORE_CTX, Freed<X509_STORE_CTX_free>> check(X509_STORE_CTX_new());
  bool ready = store && check && X509_STORE_add_cert(store.get(), issuer.get()) == 1 &&
               X509_STORE_CTX_init(check.get(), store.get(), certificate.get(), nullptr) == 1;
  if (!ready) return Fail(Refused("the certificate cannot be checked"));
  X509_STORE_CTX_set_flags(check.get(), X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_X509_STRICT);
  if (X509_verify_cert(check.get()) != 1) {
    std::string why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(check.get()));
    ERR_clear_error();
    return Fail(Error::Internal("the authority did not sign the certificate: " + why));
  }
  return {};
}

Result<WrittenCertificates> WriteCertificates(const std::string& folder, const std::vector<WantedCertificate>& wanted,
                                              std::chrono::days lasting) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return Fail(Error::Internal(folder + " cannot be made: " + failed.message()));
  WrittenCertificates written;
  KeyPair authority = ReadPair(folder + "/ca");
  Result<CertificateFacts> facts = ReadCertificate(authority.certificate);
  if (!facts || !Lasts(*facts) || !CheckPair(authority, authority.certificate)) {
    MILLRACE_TRY(authority, MakeAuthority("Millrace internal authority", Validity::For(kAuthorityLasts)));
    MILLRACE_CHECK(WritePair(folder + "/ca", authority));
    written.authority_made = true;
  }
  for (const WantedCertificate& want : wanted) {
    std::string path = folder + "/" + want.file;
    if (StaysGood(ReadPair(path), authority.certificate, want.dns_names)) {
      written.kept.push_back(want.file);
      continue;
    }
    MILLRACE_TRY(KeyPair pair, IssueCertificate(authority, want.dns_names, Validity::For(lasting)));
    MILLRACE_CHECK(WritePair(path, pair));
    written.issued.push_back(want.file);
  }
  return written;
}

}  // namespace millrace::crypto
