// SPDX-License-Identifier: Apache-2.0
// The call context and the reply's extras as metadata: pairs of names and values, whatever carries them.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/call_context.h"

namespace millrace::rpc {

struct MetadataPair {
  std::string name, value;
};
// The value of a name, if it is there.
using MetadataLookup = std::function<std::optional<std::string>(std::string_view name)>;

inline constexpr std::string_view kTokenMetadata = "millrace-token";
inline constexpr std::string_view kServiceMetadata = "millrace-service";

// In CallContext::headers: what an idempotency key stands for where that is not the whole request. The gateway sets it
// for patches, whose request depends on what they were merged into.
inline constexpr std::string_view kFingerprintHeader = "millrace-fingerprint";

// Everything but the deadline, which gRPC carries itself, and the fingerprint, which the other side computes. Values
// that are no printable ASCII travel under "<name>-bin".
std::vector<MetadataPair> WriteContext(const CallContext& context);
CallContext ReadContext(const MetadataLookup& lookup);
std::vector<MetadataPair> WriteReply(const ReplyInfo& reply);
void ReadReply(const MetadataLookup& lookup, ReplyInfo* reply);

}  // namespace millrace::rpc
