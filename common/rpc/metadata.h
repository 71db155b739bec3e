// SPDX-License-Identifier: Apache-2.0
// What calls carry as metadata and headers of our own.
#pragma once

#include <string>
#include <string_view>

namespace millrace::rpc {

struct MetadataPair {
  std::string name, value;
};

// Of a stream between processes: the shared secret, and the wanted service's name.
inline constexpr const char* kTokenMetadata = "millrace-token";
inline constexpr const char* kServiceMetadata = "millrace-service";

// In CallContext::headers: what an idempotency key stands for where that is not the whole request. The gateway sets it
// for patches, whose request depends on what they were merged into.
inline constexpr std::string_view kFingerprintHeader = "millrace-fingerprint";

}  // namespace millrace::rpc
