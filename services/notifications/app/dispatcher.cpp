// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/app/dispatcher.h"

#include <random>

#include "common/http/json.h"
#include "common/telemetry/log.h"
#include "services/notifications/store/webhook_reads.h"

namespace millrace::notifications {
namespace {

using domain::Verdict;

constexpr std::chrono::milliseconds kPoll{1000};
constexpr int kRecordTries = 5;

double Jitter() {
  static thread_local std::mt19937_64 generator{std::random_device()()};
  return std::uniform_real_distribution<double>(-1, 1)(generator);
}

std::string Shown(std::string first, const http::Fields& fields, std::string_view body) {
  std::string text = std::move(first) + "\n";
  for (const auto& [name, value] : fields.all()) text += name + ": " + value + "\n";
  text += "\n";
  text += body.substr(0, kExcerptBytes);
  return domain::Excerpt(text, kExcerptBytes);
}

void Disable(WebhookSet& set, EndpointRow& row, std::string reason) {
  if (row.state != "ENABLED") return;
  row.state = "DISABLED";
  row.disabled_reason = std::move(reason);
  row.disable_time = row.update_time = set.now;
  ++row.version;
  row.changed = true;
  set.events.push_back({"webhook_endpoint.disabled",
                        FormatId("whk", row.id),
                        row.version,
                        {row.organization},
                        v1::WebhookEndpoint::descriptor()->full_name(),
                        Present(row).SerializeAsString()});
}

void End(WebhookSet& set, DeliveryRow& row, std::string state, std::string failure) {
  row.state = std::move(state);
  row.failure = std::move(failure);
  row.end_time = set.wall;
  row.changed = true;
}

// What an attempt leaves behind. A success is one whoever holds the claim by now; anything else is for the holder to
// say.
void Settle(WebhookSet& set, DeliveryRow& row, int64_t fence, const domain::Judgement& judgement) {
  if (judgement.verdict == Verdict::kSucceeded) {
    if (row.state != "SUCCEEDED") End(set, row, "SUCCEEDED", "");
    return;
  }
  if (row.state != "PENDING" || row.fence != fence) return;
  auto endpoint = set.endpoints.find(row.endpoint);
  switch (judgement.verdict) {
    case Verdict::kAgain:
      row.due_at = set.wall + judgement.pause;
      row.changed = true;
      break;
    case Verdict::kGone:
      End(set, row, "FAILED", "gone");
      if (endpoint != set.endpoints.end()) Disable(set, endpoint->second, "GONE");
      break;
    case Verdict::kExhausted:
      End(set, row, "FAILED", "retries_exhausted");
      if (endpoint != set.endpoints.end()) Disable(set, endpoint->second, "RETRIES_EXHAUSTED");
      break;
    default:
      End(set, row, "FAILED", "refused");
  }
}

}  // namespace

// A delivery in hand, however its coroutine ends.
struct Dispatcher::Busy {
  Busy(std::shared_ptr<std::map<Uuid, int64_t>> all, Uuid endpoint) : counts(std::move(all)), id(endpoint) {
    ++(*counts)[id];
  }
  ~Busy() {
    if (--(*counts)[id] == 0) counts->erase(id);
  }
  Busy(const Busy&) = delete;
  std::shared_ptr<std::map<Uuid, int64_t>> counts;
  Uuid id;
};

Dispatcher::Dispatcher(Executor executor, postgres::Database& worker, postgres::Writer<WebhookSet>& writer,
                       SecretBox secrets, DispatcherOptions options)
    : executor_(executor),
      worker_(worker),
      writer_(writer),
      secrets_(std::move(secrets)),
      options_(std::move(options)),
      wakeup_(executor) {}

void Dispatcher::Start() { Spawn(executor_, Run(), "webhooks"); }

void Dispatcher::Stop() {
  stopped_ = true;
  wakeup_.Signal();
}

Task<void> Dispatcher::Run() {
  while (!stopped_) {
    InHand in_hand;
    int64_t running = 0;
    for (const auto& [endpoint, count] : *in_hand_) {
      in_hand.endpoints.push_back(endpoint);
      in_hand.counts.push_back(count);
      running += count;
    }
    int free = options_.at_once - static_cast<int>(running);
    if (free > 0) {
      int each = options_.at_once_per_endpoint;
      std::chrono::seconds lease = options_.lease;
      Result<std::vector<DueDelivery>> due = co_await ClaimDeliveries(worker_, std::move(in_hand), each, free, lease);
      if (due) {
        for (DueDelivery& one : *due) {
          auto busy = std::make_shared<Busy>(in_hand_, one.endpoint);
          Spawn(executor_, Deliver(std::move(one), std::move(busy)), "webhooks.delivery");
        }
      }
      Result<int64_t> given_up = co_await GiveUpDeliveries(worker_);
      (void)given_up;  // the next look does it
    }
    bool signal = co_await wakeup_.Wait(kPoll);
    (void)signal;
  }
}

Result<http::Request> Dispatcher::RequestOf(const DueDelivery& due, const domain::Url& url, Time now) const {
  std::optional<std::string> secret = secrets_.Open(due.endpoint, due.secret);
  if (!secret) return Fail(Error::Internal("a webhook secret cannot be read: has internal_token changed?"));
  http::Request request;
  request.method = "POST";
  request.target = url.target;
  request.body = http::WriteJson(Envelope(*due.event, due.organization));
  std::string id = FormatId("evt", due.event->id);
  int64_t seconds = Micros(now) / 1'000'000;
  std::string signature = crypto::SignWebhook(*secret, id, seconds, request.body);
  if (!due.old_secret.empty()) {
    if (auto old = secrets_.Open(due.endpoint, due.old_secret))
      signature += " " + crypto::SignWebhook(*old, id, seconds, request.body);
  }
  request.fields.Set("Content-Type", "application/json");
  request.fields.Set("User-Agent", "Millrace-Webhooks/1");
  request.fields.Set("webhook-id", id);
  request.fields.Set("webhook-timestamp", std::to_string(seconds));
  request.fields.Set("webhook-signature", std::move(signature));
  return request;
}

Task<Result<http::Response>> Dispatcher::Post(domain::Url url, http::Request request) {
  http::FetchOptions options;
  options.timeout = options_.timeout;
  options.ca_file = options_.ca_file;
  options.answer_bytes = kAnswerBytes;
  options.may_connect = [https = url.https, allowed = options_.allowed](const std::string& ip) {
    return domain::MayCall(https, ip, allowed);
  };
  std::string base = url.base;
  Result<http::Response> response = co_await http::Fetch(std::move(base), std::move(request), std::move(options));
  co_return std::move(response);
}

Task<void> Dispatcher::Deliver(DueDelivery due, std::shared_ptr<Busy> busy) {
  AttemptRow attempt;
  attempt.delivery = due.id;
  attempt.organization = due.organization;
  attempt.number = due.attempts;
  attempt.time = WallNow();
  std::optional<std::chrono::seconds> retry_after;
  Result<domain::Url> url = domain::ReadUrl(due.url, "#/url");
  Result<http::Request> request = Fail(ErrorCode::kInternal);
  if (url && due.event) request = RequestOf(due, *url, attempt.time);
  auto begin = std::chrono::steady_clock::now();
  Error failure(ErrorCode::kInternal);
  if (request) {
    attempt.request = Shown("POST " + request->target, request->fields, request->body);
    domain::Url to = *url;
    Result<http::Response> response = co_await Post(std::move(to), *std::move(request));
    if (response) {
      attempt.status = response->status;
      attempt.response = Shown(std::to_string(response->status), response->fields, response->body);
      retry_after = domain::ReadRetryAfter(response->fields.Get("Retry-After"), WallNow());
    } else {
      failure = std::move(response).error();
    }
  } else if (due.event) {
    failure = std::move(request).error();
    telemetry::Log(telemetry::Level::kError, "webhook.not_sent",
                   {{"delivery", FormatId("dlv", due.id)}, {"cause", failure.cause}});
  }
  auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  attempt.latency_ms = took.count();
  if (attempt.status == 0) attempt.error = Name(failure.code);
  domain::Judgement judgement =
      domain::Judge(due.trigger == "PING", due.attempts, attempt.status, retry_after, options_.schedule, Jitter());
  co_await Record(std::move(due), std::move(attempt), judgement);
  busy.reset();
  wakeup_.Signal();
}

Task<void> Dispatcher::Record(DueDelivery due, AttemptRow attempt, domain::Judgement judgement) {
  for (int i = 0; i < kRecordTries; ++i) {
    postgres::Command<WebhookSet> command;
    command.header.method = "deliver";
    command.need = [id = due.id](WebhookSet& set) { set.want_deliveries.insert(id); };
    command.decide = [due, attempt, judgement](WebhookSet& set) -> Result<std::string> {
      auto found = set.deliveries.find(due.id);
      if (found == set.deliveries.end()) return std::string();
      if (!due.event) {
        bool held = found->second.state == "PENDING" && found->second.fence == due.fence;
        if (held) End(set, found->second, "FAILED", "event_expired");
        return std::string();
      }
      set.attempts.push_back(attempt);
      Settle(set, found->second, due.fence, judgement);
      return std::string();
    };
    Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
    if (outcome) co_return;
    // Without a record the lease decides: it is sent again, under the same id.
    telemetry::Log(telemetry::Level::kWarning, "webhook.not_recorded",
                   {{"delivery", FormatId("dlv", due.id)}, {"cause", outcome.error().cause}});
    co_await Sleep(std::chrono::milliseconds(200));
  }
}

}  // namespace millrace::notifications
