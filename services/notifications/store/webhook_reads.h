// SPDX-License-Identifier: Apache-2.0
// What a caller may read of webhooks; row-level security decides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/call_context.h"
#include "common/postgres/database.h"
#include "millrace/notifications/v1/notifications.pb.h"
#include "services/notifications/store/webhook_set.h"

namespace millrace::notifications {

// The contract's messages of rows. An endpoint's secret is not in it.
v1::WebhookEndpoint Present(const EndpointRow& row);
v1::WebhookDelivery Present(const DeliveryRow& row);

struct DeliverySelection {
  std::optional<int64_t> before;  // only those made before that one
  int rows = 0;
  Uuid id, endpoint, event;  // nil: any
  std::string state;         // empty: any
};

// A delivery and its place in lists.
struct FoundDelivery {
  int64_t n = 0;
  v1::WebhookDelivery message;
};

// Newest first. Errors: UNAVAILABLE, INTERNAL.
Task<Result<std::vector<v1::WebhookEndpoint>>> ListEndpoints(postgres::Database& reader, CallContext context,
                                                             Uuid after, int rows, Uuid id);
// `texts`: with what was sent and answered.
Task<Result<std::vector<FoundDelivery>>> ListDeliveries(postgres::Database& reader, CallContext context,
                                                        DeliverySelection selection, bool texts);

}  // namespace millrace::notifications
