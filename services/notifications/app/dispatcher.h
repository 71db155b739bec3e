// SPDX-License-Identifier: Apache-2.0
// Sends what is due to webhook endpoints.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/async/task.h"
#include "common/base/address.h"
#include "common/http/http.h"
#include "common/postgres/writer.h"
#include "services/notifications/app/secret_box.h"
#include "services/notifications/domain/webhook.h"
#include "services/notifications/store/webhook_set.h"

namespace millrace::notifications {

struct DispatcherOptions {
  domain::Schedule schedule = domain::StandardSchedule();
  std::chrono::milliseconds timeout{20'000};  // of one attempt
  std::chrono::seconds lease{30};             // longer than the timeout: until then a claim is nobody else's
  int at_once = 8;                            // in one process
  int at_once_per_endpoint = 2;
  std::vector<Cidr> allowed;  // addresses that may be called although they are not public, or by http
  std::string ca_file;        // authorities that https trusts; empty: the system's
};

inline constexpr size_t kExcerptBytes = 2048;
inline constexpr size_t kAnswerBytes = 1024 * 1024;

// Several processes may dispatch at once: a claim is one process's. A process that dies leaves its claims to their
// leases, and the receiver may get those events twice, under the same id. Lives on the loop.
class Dispatcher {
 public:
  Dispatcher(Executor executor, postgres::Database& worker, postgres::Writer<WebhookSet>& writer, SecretBox secrets,
             DispatcherOptions options);
  void Start();
  void Stop();
  // Something may be due.
  void Signal() { wakeup_.Signal(); }

 private:
  struct Busy;
  Task<void> Run();
  Task<void> Deliver(DueDelivery due, std::shared_ptr<Busy> busy);
  // The signed request; an error if the secret cannot be read.
  Result<http::Request> RequestOf(const DueDelivery& due, const domain::Url& url, Time now) const;
  Task<Result<http::Response>> Post(domain::Url url, http::Request request);
  Task<void> Record(DueDelivery due, AttemptRow attempt, domain::Judgement judgement);

  Executor executor_;
  postgres::Database& worker_;
  postgres::Writer<WebhookSet>& writer_;
  SecretBox secrets_;
  DispatcherOptions options_;
  Wakeup wakeup_;
  std::shared_ptr<std::map<Uuid, int64_t>> in_hand_ = std::make_shared<std::map<Uuid, int64_t>>();  // by endpoint
  bool stopped_ = false;
};

}  // namespace millrace::notifications
