// SPDX-License-Identifier: Apache-2.0
// Authenticated encryption of small secrets at rest.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace::crypto {

// AES-256-GCM with a random nonce, for what must be read again at rest: nonce, ciphertext and tag in one. `key`: 32
// bytes. `bound_to` is not kept but must be the same on opening, so that a sealed text fits its own row alone.
std::string Seal(std::string_view key, std::string_view text, std::string_view bound_to);
// Nothing if the key or `bound_to` is another one, or a byte has changed.
std::optional<std::string> Unseal(std::string_view key, std::string_view sealed, std::string_view bound_to);

}  // namespace millrace::crypto
