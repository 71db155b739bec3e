// SPDX-License-Identifier: Apache-2.0
#include "services/custodian_sandbox/notifier.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "common/crypto/crypto.h"
#include "common/http/http.h"
#include "common/telemetry/log.h"

namespace millrace::custodian {
namespace {

constexpr std::array<std::chrono::seconds, 6> kBackoff = {std::chrono::seconds(1),   std::chrono::seconds(5),
                                                          std::chrono::seconds(30),  std::chrono::seconds(120),
                                                          std::chrono::seconds(600), std::chrono::seconds(3600)};
constexpr std::chrono::seconds kAnswerWithin{5};
constexpr std::chrono::seconds kLease{15};  // longer than an attempt may take
constexpr std::chrono::milliseconds kPoll{250};
constexpr int kUnderWayMax = 16;

}  // namespace

struct Notifier::State {
  State(Executor e, Bank& b, std::string u, std::string s)
      : executor(e), bank(b), secret(std::move(s)), wakeup(e), ended(e) {
    size_t scheme = u.find("://");
    size_t slash = scheme == std::string::npos ? std::string::npos : u.find('/', scheme + 3);
    base = u.substr(0, slash);
    target = slash == std::string::npos ? "/" : u.substr(slash);
  }
  Executor executor;
  Bank& bank;
  std::string base, target, secret;
  Wakeup wakeup, ended;
  int under_way = 0;
  bool running = false, stopping = false;
};

Notifier::Notifier(Executor executor, Bank& bank, std::string url, std::string secret)
    : state_(std::make_shared<State>(std::move(executor), bank, std::move(url), std::move(secret))) {}

void Notifier::Start() {
  state_->running = true;
  Spawn(state_->executor, Run(state_), "notifier");
}

void Notifier::Signal() { state_->wakeup.Signal(); }

Task<void> Notifier::Stop() {
  auto state = state_;
  state->stopping = true;
  state->wakeup.Signal();
  while (state->running || state->under_way > 0) co_await state->ended.Wait(kPoll);
}

Task<void> Notifier::Run(std::shared_ptr<State> state) {
  while (!state->stopping) {
    Result<int> settled = co_await state->bank.SettlePending();
    (void)settled;  // tried again at the next poll, like all below
    int room = state->base.empty() ? 0 : kUnderWayMax - state->under_way;
    bool claimed = false;
    if (room > 0) {
      Result<std::vector<Notice>> notices = co_await state->bank.ClaimNotices(room, kLease);
      if (notices) {
        claimed = !notices->empty();
        for (Notice& notice : *notices) {
          ++state->under_way;
          Spawn(state->executor, Deliver(state, std::move(notice)), "notice");
        }
      }
    }
    if (!claimed) co_await state->wakeup.Wait(kPoll);
  }
  state->running = false;
  state->ended.Signal();
}

Task<void> Notifier::Deliver(std::shared_ptr<State> state, Notice notice) {
  std::string id = FormatId("ntc", notice.id);
  nlohmann::ordered_json body;
  body["notice_id"] = id;
  body["kind"] = notice.kind;
  body["transfer_id"] = notice.transfer;
  http::Request request;
  request.method = "POST";
  request.target = state->target;
  request.body = body.dump();
  int64_t now = Micros(WallNow()) / 1000000;
  request.fields.Set("Content-Type", "application/json");
  request.fields.Set("webhook-id", id);
  request.fields.Set("webhook-timestamp", std::to_string(now));
  request.fields.Set("webhook-signature", crypto::SignWebhook(state->secret, id, now, request.body));
  std::string base = state->base;
  Result<http::Response> answer = co_await http::Fetch(std::move(base), std::move(request), kAnswerWithin);
  Result<bool> noted;
  if (answer && answer->status / 100 == 2) {
    noted = co_await state->bank.NoticeDelivered(notice.id);
  } else {
    std::string failure = answer ? "status " + std::to_string(answer->status) : std::string(Name(answer.error().code));
    size_t step = std::min(static_cast<size_t>(std::max(notice.attempts - 1, 0)), kBackoff.size() - 1);
    telemetry::Log(telemetry::Level::kWarning, "custodian.notice_failed",
                   {{"notice", id}, {"attempt", notice.attempts}, {"failure", failure}});
    noted = co_await state->bank.NoticeFailed(notice.id, kBackoff[step], std::move(failure));
  }
  (void)noted;  // if the database is gone, the claim runs out and the notice is due again
  --state->under_way;
  state->ended.Signal();
}

}  // namespace millrace::custodian
