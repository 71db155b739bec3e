// SPDX-License-Identifier: Apache-2.0
// The feed: filled from the other services' logs, read and waited for by the organizations that an event concerns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/call_context.h"
#include "common/events/consumer.h"
#include "common/postgres/writer.h"
#include "common/tasks/tasks.h"
#include "millrace/notifications/v1/notifications.pb.h"
#include "services/notifications/app/watch.h"
#include "services/notifications/store/feed_set.h"

namespace millrace::notifications {

inline constexpr char kPruneTask[] = "prune_feed";

// Lives on the loop. As a sink it takes any source's log.
class Feed : public events::Sink {
 public:
  Feed(Executor executor, postgres::Database& worker, postgres::Database& reader, postgres::Writer<FeedSet>& writer);

  Task<Result<int64_t>> Position(std::string source) override;
  // Each event once, in order; wakes those who wait for them.
  Task<Result<void>> Apply(std::string source, std::vector<events::v1::Event> events) override;

  Task<Result<v1::FeedEvent>> GetEvent(CallContext context, v1::GetEventRequest request);
  Task<Result<v1::ListEventsResponse>> ListEvents(CallContext context, v1::ListEventsRequest request);
  Task<Result<v1::WaitFeedResponse>> WaitFeed(CallContext context, v1::WaitFeedRequest request);

  // Makes the pruning task due now; it makes itself due again each day. At start.
  Task<Result<void>> SchedulePruning();
  Task<Result<void>> Prune(tasks::DueTask task);
  // Ends all waits.
  void Stop();

 private:
  Task<Result<v1::WaitFeedResponse>> WaitFrom(CallContext context, v1::WaitFeedRequest request,
                                              std::shared_ptr<Watch::Waiter> waiter);

  Executor executor_;
  postgres::Database& reader_;
  postgres::Writer<FeedSet>& writer_;
  events::WriterSink<FeedSet> sink_;
  Watch watch_;
};

}  // namespace millrace::notifications
