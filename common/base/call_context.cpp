// SPDX-License-Identifier: Apache-2.0
#include "common/base/call_context.h"

namespace millrace {

CallContext CallContext::ForService(std::string_view service, std::string_view traceparent) {
  CallContext context;
  context.actor = "service:" + std::string(service);
  context.roles.insert("service");
  context.organization_verified = true;
  context.request_id = FormatId("req", Uuid::New());
  context.traceparent = traceparent;
  context.deadline = WallNow() + std::chrono::seconds(5);
  return context;
}

}  // namespace millrace
