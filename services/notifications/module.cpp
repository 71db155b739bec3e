// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/module.h"

#include "services/notifications/app/feed.h"

namespace millrace {
std::span<const EmbeddedFile> NotificationsMigrations();
}

namespace millrace::notifications {
namespace {

// Every service that writes facts which concern organizations.
constexpr const char* kSources[] = {"identity", "listing", "matching", "operations", "escrow", "credit"};

class NotificationsModule : public runtime::Module {
 public:
  explicit NotificationsModule(runtime::Environment& environment)
      : core_("notifications", environment),
        writer_(environment.executor, core_.worker(), store_),
        feed_(environment.executor, core_.worker(), core_.reader(), writer_) {
    writer_.OnCommit([this] { core_.Committed(); });
    for (const char* source : kSources) core_.Consume(source, feed_);
    On("GetEvent", &Feed::GetEvent);
    On("ListEvents", &Feed::ListEvents);
    On("WaitFeed", &Feed::WaitFeed);
    core_.tasks().Handle(kPruneTask, [this](tasks::DueTask task) { return feed_.Prune(std::move(task)); });
  }

  rpc::Service& service() override { return core_.service(); }

  Task<Result<void>> Start() override {
    Result<void> scheduled = co_await feed_.SchedulePruning();
    if (scheduled) core_.Start();
    co_return std::move(scheduled);
  }

  void Stop() override {
    feed_.Stop();
    core_.Stop();
  }

 private:
  template <class Request, class Response>
  void On(const char* method, Task<Result<Response>> (Feed::*use_case)(CallContext, Request)) {
    core_.service().On<Request, Response>(std::string("millrace.notifications.v1.Notifications.") + method,
                                          [this, use_case](CallContext context, Request request) {
                                            return (feed_.*use_case)(std::move(context), std::move(request));
                                          });
  }

  runtime::ServiceCore core_;
  FeedStore store_;
  postgres::Writer<FeedSet> writer_;
  Feed feed_;
};

}  // namespace

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment) {
  return std::make_unique<NotificationsModule>(environment);
}

std::span<const EmbeddedFile> Migrations() { return NotificationsMigrations(); }

}  // namespace millrace::notifications
