// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/seal.h"

#include <openssl/evp.h>

#include <cstdlib>
#include <memory>

#include "common/crypto/crypto.h"
#include "common/crypto/openssl.h"

namespace millrace::crypto {
namespace {

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>>;
constexpr size_t kKeyBytes = 32, kNonceBytes = 12, kTagBytes = 16;

}  // namespace

std::string Seal(std::string_view key, std::string_view text, std::string_view bound_to) {
  std::string nonce = RandomBytes(kNonceBytes), out(text.size(), '\0'), tag(kTagBytes, '\0');
  Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0, rest = 0;
  bool done = key.size() == kKeyBytes && cipher &&
              EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Raw(key), Raw(nonce)) == 1 &&
              EVP_EncryptUpdate(cipher.get(), nullptr, &size, Raw(bound_to), static_cast<int>(bound_to.size())) == 1 &&
              EVP_EncryptUpdate(cipher.get(), Raw(out), &size, Raw(text), static_cast<int>(text.size())) == 1 &&
              EVP_EncryptFinal_ex(cipher.get(), Raw(out) + size, &rest) == 1 &&
              EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, tag.data()) == 1;
  if (!done) std::abort();
  return nonce + out + tag;
}

std::optional<std::string> Unseal(std::string_view key, std::string_view sealed, std::string_view bound_to) {
  if (key.size() != kKeyBytes || sealed.size() < kNonceBytes + kTagBytes) return std::nullopt;
  std::string nonce(sealed.substr(0, kNonceBytes)), tag(sealed.substr(sealed.size() - kTagBytes));
  std::string_view text = sealed.substr(kNonceBytes, sealed.size() - kNonceBytes - kTagBytes);
  std::string out(text.size(), '\0');
  Cipher cipher(EVP_CIPHER_CTX_new());
  int size = 0, rest = 0;
  bool done = cipher && EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Raw(key), Raw(nonce)) == 1 &&
              EVP_DecryptUpdate(cipher.get(), nullptr, &size, Raw(bound_to), static_cast<int>(bound_to.size())) == 1 &&
              EVP_DecryptUpdate(cipher.get(), Raw(out), &size, Raw(text), static_cast<int>(text.size())) == 1 &&
              EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
              EVP_DecryptFinal_ex(cipher.get(), Raw(out) + size, &rest) == 1;
  if (!done) return std::nullopt;
  return out;
}

}  // namespace millrace::crypto
