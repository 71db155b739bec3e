// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/module.h"

#include <netdb.h>

#include "common/base/limits.h"
#include "services/notifications/app/dispatcher.h"
#include "services/notifications/app/feed.h"
#include "services/notifications/app/webhooks.h"
#include "services/notifications/store/envelope.h"

namespace millrace {
std::span<const EmbeddedFile> NotificationsMigrations();
}

namespace millrace::notifications {
namespace {

// The addresses of a name by the system's resolver; blocks.
std::vector<std::string> LookUp(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  std::vector<std::string> ips;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return ips;
  for (const addrinfo* one = found; one; one = one->ai_next) {
    char text[NI_MAXHOST];
    if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0)
      ips.push_back(text);
  }
  freeaddrinfo(found);
  return ips;
}

DispatcherOptions OptionsOf(const runtime::Settings& settings) {
  DispatcherOptions options;
  // Settings have checked it.
  options.allowed = ParseCidrs(settings.Get("webhook_allow_cidrs")).value_or(std::vector<Cidr>());
  return options;
}

class NotificationsModule : public runtime::Module {
 public:
  explicit NotificationsModule(runtime::Environment& environment)
      : core_("notifications", environment),
        writer_(environment.executor, core_.worker(), store_),
        feed_(environment.executor, core_.worker(), core_.reader(), writer_),
        webhook_writer_(environment.executor, core_.worker(), webhook_store_),
        names_(2, "names"),
        webhooks_(webhook_writer_, core_.reader(), SecretBox(environment.settings->Get("internal_token")),
                  OptionsOf(*environment.settings).allowed,
                  [this](std::string host) { return Resolve(std::move(host)); }),
        dispatcher_(environment.executor, core_.worker(), webhook_writer_,
                    SecretBox(environment.settings->Get("internal_token")), OptionsOf(*environment.settings)) {
    writer_.OnCommit([this] { Committed(); });
    webhook_writer_.OnCommit([this] { Committed(); });
    for (const char* source : kSources) core_.Consume(source, feed_);
    On(feed_, "GetEvent", &Feed::GetEvent);
    On(feed_, "ListEvents", &Feed::ListEvents);
    On(feed_, "WaitFeed", &Feed::WaitFeed);
    On(webhooks_, "CreateWebhookEndpoint", &Webhooks::Create);
    On(webhooks_, "GetWebhookEndpoint", &Webhooks::Get);
    On(webhooks_, "ListWebhookEndpoints", &Webhooks::List);
    On(webhooks_, "UpdateWebhookEndpoint", &Webhooks::Update);
    On(webhooks_, "DeleteWebhookEndpoint", &Webhooks::Delete);
    On(webhooks_, "RotateWebhookSecret", &Webhooks::RotateSecret);
    On(webhooks_, "PingWebhookEndpoint", &Webhooks::Ping);
    On(webhooks_, "EnableWebhookEndpoint", &Webhooks::Enable);
    On(webhooks_, "ReplayWebhookEndpoint", &Webhooks::Replay);
    On(webhooks_, "GetWebhookDelivery", &Webhooks::GetDelivery);
    On(webhooks_, "ListWebhookDeliveries", &Webhooks::ListDeliveriesOf);
    On(webhooks_, "ReplayWebhookDelivery", &Webhooks::ReplayDelivery);
    core_.tasks().Handle(kPruneTask, [this](tasks::DueTask task) { return Prune(std::move(task)); });
  }

  rpc::Service& service() override { return core_.service(); }

  Task<Result<void>> Start() override {
    Result<void> scheduled = co_await feed_.SchedulePruning();
    if (scheduled) {
      core_.Start();
      dispatcher_.Start();
    }
    co_return std::move(scheduled);
  }

  void Stop() override {
    feed_.Stop();
    dispatcher_.Stop();
    core_.Stop();
  }

 private:
  template <class App, class Request, class Response>
  void On(App& app, const char* method, Task<Result<Response>> (App::*use_case)(CallContext, Request)) {
    core_.service().On<Request, Response>(std::string("millrace.notifications.v1.Notifications.") + method,
                                          [&app, use_case](CallContext context, Request request) {
                                            return (app.*use_case)(std::move(context), std::move(request));
                                          });
  }

  void Committed() {
    core_.Committed();
    dispatcher_.Signal();
  }

  Task<Result<std::vector<std::string>>> Resolve(std::string host) {
    std::function<std::vector<std::string>()> work = [host] { return LookUp(host); };
    std::vector<std::string> ips = co_await RunOn(names_, std::move(work));
    co_return ips;
  }

  Task<Result<void>> Prune(tasks::DueTask task) {
    Result<int64_t> gone = limits::kRowsPerPrune;
    while (gone && *gone == limits::kRowsPerPrune) gone = co_await PruneDeliveries(core_.worker());
    Result<void> pruned = co_await feed_.Prune(std::move(task));
    co_return std::move(pruned);
  }

  runtime::ServiceCore core_;
  FeedStore store_;
  postgres::Writer<FeedSet> writer_;
  Feed feed_;
  WebhookStore webhook_store_;
  postgres::Writer<WebhookSet> webhook_writer_;
  ThreadPool names_;  // a slow name server holds up nothing else
  Webhooks webhooks_;
  Dispatcher dispatcher_;
};

}  // namespace

std::unique_ptr<runtime::Module> MakeModule(runtime::Environment& environment) {
  return std::make_unique<NotificationsModule>(environment);
}

std::span<const EmbeddedFile> Migrations() { return NotificationsMigrations(); }

}  // namespace millrace::notifications
