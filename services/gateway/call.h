// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "common/base/call_context.h"

namespace millrace::gateway {

// The context of a call from outside, by whatever transport, as far as the caller's own words go: a request id, the
// trace that it belongs to, the language of its answers, a deadline of limits::kCallDeadline. Who calls comes later.
CallContext BeginCall(std::string_view traceparent, std::string_view tracestate, std::string_view accept_language);

}  // namespace millrace::gateway
