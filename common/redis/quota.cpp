// SPDX-License-Identifier: Apache-2.0
#include "common/redis/quota.h"

#include "common/redis/link.h"

namespace millrace::redis {
namespace {

constexpr milliseconds kPatience{100};
constexpr int kPendingMax = 1000;

// The key holds the theoretical arrival time: when the quota is whole again, in microseconds.
constexpr char kScript[] = R"(
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local wanted, quota, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local step = window / quota
local whole = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
local granted = math.max(math.min(wanted, math.floor((now + window - whole) / step + 0.000001)), 0)
if granted > 0 then
  whole = whole + granted * step
  redis.call('SET', KEYS[1], string.format('%.3f', whole), 'PX', math.ceil((whole - now) / 1000) + 1000)
end
return {granted, math.ceil(whole - now)}
)";

}  // namespace

QuotaStore::QuotaStore(Executor executor, std::string url) {
  Address address = ParseUrl(url);
  if (address.valid()) link_ = std::make_shared<Link>(std::move(executor), std::move(address), [](bool) {});
}

QuotaStore::~QuotaStore() { Stop(); }

void QuotaStore::Start() {
  if (link_) link_->Start();
}

void QuotaStore::Stop() {
  if (link_) link_->Stop();
  link_ = nullptr;
}

Task<std::optional<QuotaLease>> QuotaStore::Take(std::string key, int64_t wanted, int64_t quota,
                                                 std::chrono::microseconds window) {
  std::shared_ptr<Link> link = link_;
  if (!link || !link->ready() || link->pending() >= kPendingMax) co_return std::nullopt;
  struct Asked {
    explicit Asked(Executor executor) : answered(std::move(executor)) {}
    Wakeup answered;
    std::optional<QuotaLease> lease;
  };
  Executor executor = co_await CurrentExecutor();
  auto asked = std::make_shared<Asked>(executor);
  std::vector<std::string> words = {"EVAL",
                                    kScript,
                                    "1",
                                    std::move(key),
                                    std::to_string(wanted),
                                    std::to_string(quota),
                                    std::to_string(window.count())};
  bool sent = link->Send(words, kAnswer, [asked](redisReply* reply) {
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[1]->type == REDIS_REPLY_INTEGER) {
      asked->lease = QuotaLease{reply->element[0]->integer, std::chrono::microseconds(reply->element[1]->integer)};
    }
    asked->answered.Signal();
  });
  if (!sent) co_return std::nullopt;
  co_await asked->answered.Wait(kPatience);
  co_return asked->lease;
}

}  // namespace millrace::redis
