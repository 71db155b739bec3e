// SPDX-License-Identifier: Apache-2.0
#include "tests/support/certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace millrace::test {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

Key NewKey() { return {EVP_EC_gen("P-256"), EVP_PKEY_free}; }

template <class Write>
std::string Pem(Write write) {
  std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), BIO_free);
  if (write(out.get()) != 1) throw std::runtime_error("cannot write PEM");
  char* text = nullptr;
  long size = BIO_get_mem_data(out.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

std::string PemOf(X509* certificate) {
  return Pem([=](BIO* out) { return PEM_write_bio_X509(out, certificate); });
}

void Extend(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (!extension) throw std::runtime_error("not an extension: " + value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void NameIt(X509_NAME* name, const std::string& text) {
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1, 0);
}

Certificate Unsigned(EVP_PKEY* key, const CertificateOptions& options, long serial) {
  Certificate certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), options.valid_from_seconds);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), options.valid_to_seconds);
  NameIt(X509_get_subject_name(certificate.get()), options.name);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

}  // namespace

struct Authority::State {
  Key key = NewKey();
  Certificate certificate{nullptr, X509_free};
  long serial = 1;
};

Authority::Authority(std::string name) : state_(std::make_unique<State>()) {
  CertificateOptions options;
  options.name = std::move(name);
  Certificate certificate = Unsigned(state_->key.get(), options, state_->serial);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  Extend(certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(certificate.get(), state_->key.get(), EVP_sha256());
  state_->certificate = std::move(certificate);
}

Authority::~Authority() = default;

std::string Authority::certificate() const { return PemOf(state_->certificate.get()); }

Authority::Pair Authority::Sign(const CertificateOptions& options) {
  Key key = NewKey();
  Certificate certificate = Unsigned(key.get(), options, ++state_->serial);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(state_->certificate.get()));
  std::string names;
  for (const std::string& name : options.alternatives) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) Extend(certificate.get(), NID_subject_alt_name, names);
  X509_sign(certificate.get(), state_->key.get(), EVP_sha256());
  std::string key_text =
      Pem([&](BIO* out) { return PEM_write_bio_PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
  return {PemOf(certificate.get()), std::move(key_text)};
}

}  // namespace millrace::test
