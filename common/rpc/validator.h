// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "common/base/error.h"

namespace google::protobuf {
class Message;
}

namespace millrace::rpc {

// Every fault of a request against its fields' rules (millrace/type/options.proto), in field order, at most
// limits::kViolationsReported. Pointers are relative to the request: "#/listing/price_plan/steps/0/unit_price". Checked
// besides the rules: intervals end after they start (END_BEFORE_START), places lie on the earth, times and enum values
// exist, strings are valid UTF-8, unknown fields are not there. `internal`: the request comes from another service by
// an internal method, so output-only fields may be set; they are not looked at. Numbers without presence count as given
// unless they are required, and a required one may be 0 if its bounds say so.
std::vector<Violation> Validate(const google::protobuf::Message& request, bool internal = false);

}  // namespace millrace::rpc
