// SPDX-License-Identifier: Apache-2.0
// What a caller may read of the feed; row-level security decides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/call_context.h"
#include "common/postgres/database.h"
#include "millrace/notifications/v1/notifications.pb.h"

namespace millrace::notifications {

struct Selection {
  std::optional<int64_t> from;  // newest first: only those before it; else: only those after it (0 if there is none)
  bool newest_first = false;
  int rows = 0;
  std::vector<std::string> types;  // types or kinds; all if empty
  std::string subject;             // all if empty
};

// That an event is there, and whom it concerns.
struct News {
  int64_t seq = 0;
  std::string type;
  std::vector<Uuid> parties;
};

struct Start {
  int64_t after = 0, head = 0;
  bool reset = false;
};

// Errors: UNAVAILABLE, INTERNAL.
Task<Result<std::optional<v1::FeedEvent>>> ReadEvent(postgres::Database& reader, CallContext context, Uuid id);
Task<Result<std::vector<v1::FeedEvent>>> ListFeed(postgres::Database& reader, CallContext context, Selection selection);
// Where a wait starts that names `after`, or `after_id` (nil: none), or neither.
Task<Result<Start>> StartOfWait(postgres::Database& reader, CallContext context, std::optional<int64_t> after,
                                Uuid after_id);

// For whoever follows the whole feed. Errors: UNAVAILABLE, INTERNAL.
Task<Result<int64_t>> ReadHead(postgres::Database& worker);
Task<Result<std::vector<News>>> ReadNews(postgres::Database& worker, int64_t after, int limit);

}  // namespace millrace::notifications
