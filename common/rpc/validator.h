// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "common/base/error.h"

namespace google::protobuf {
class Message;
}

namespace millrace::rpc {

// Every fault of a request against its fields' rules (millrace/type/options.proto), in field order, at most
// limits::kViolationsReported. Pointers are relative to the request: "#/listing/price_plan/steps/0/unit_price". Checked besides the
// rules: intervals end after they start (END_BEFORE_START), strings are valid UTF-8, unknown fields are not there.
std::vector<Violation> Validate(const google::protobuf::Message& request);

}  // namespace millrace::rpc
