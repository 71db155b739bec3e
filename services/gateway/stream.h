// SPDX-License-Identifier: Apache-2.0
// GET /v1/stream: the caller's feed as server-sent events.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "common/base/call_context.h"
#include "common/http/http.h"
#include "common/rpc/channel.h"
#include "millrace/notifications/v1/notifications.pb.h"

namespace millrace::gateway {

// Who a stream's credential is, and when that was asked.
struct StreamCaller {
  CallContext context;
  std::chrono::steady_clock::time_point asked;
};

// Where the feed comes from, and whether the caller still has its key; asked again before each wait.
struct Feed {
  rpc::Channel* notifications;
  std::function<Task<Result<StreamCaller>>()> caller;
};

// What a client asks for: Last-Event-ID, or the query parameters after_id, after_seq; types and topics, repeated or by
// comma. Errors: INVALID_QUERY and those of fields.
Result<notifications::v1::WaitFeedRequest> ReadStreamRequest(const http::Request& request);
// The answer's header and the stream, or the error of the first look into the feed.
Task<Result<http::Response>> OpenStream(Feed feed, notifications::v1::WaitFeedRequest request);

}  // namespace millrace::gateway
