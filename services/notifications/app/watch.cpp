// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/app/watch.h"

#include <algorithm>

namespace millrace::notifications {
namespace {

// Another process may have taken events in: look this often.
constexpr std::chrono::milliseconds kLookEvery{1000};
constexpr int kNewsPerLook = 1000;
constexpr size_t kRemembered = 10'000;  // about 1 MB

}  // namespace

bool Watch::Waiter::Wants(const News& news) const {
  if (!all && std::ranges::find(news.parties, organization) == news.parties.end()) return false;
  if (types.empty()) return true;
  std::string_view type = news.type, kind = type.substr(0, type.find('.'));
  return std::ranges::any_of(types, [&](const std::string& wanted) { return wanted == type || wanted == kind; });
}

Watch::Watch(Executor executor, postgres::Database& worker)
    : executor_(executor), worker_(worker), wakeup_(std::move(executor)) {}

std::unique_ptr<Watch::Registration> Watch::Register(std::shared_ptr<Waiter> waiter) {
  auto registration = std::make_unique<Registration>(waiters_, std::move(waiter));
  if (!following_ && !stopping_) {
    following_ = true;
    Spawn(executor_, Follow(), "feed.watch");
  }
  return registration;
}

bool Watch::Any(int64_t after, const Waiter& waiter) const {
  auto first = std::ranges::upper_bound(recent_, after, {}, &News::seq);
  return std::any_of(first, recent_.end(), [&](const News& news) { return waiter.Wants(news); });
}

void Watch::Stop() {
  stopping_ = true;
  wakeup_.Signal();
  for (const auto& waiter : *waiters_) waiter->wakeup.Signal();
}

Task<void> Watch::Follow() {
  while (!stopping_ && !waiters_->empty()) {
    Result<void> looked = co_await Look();
    (void)looked;  // without the database nothing is new
    co_await wakeup_.Wait(kLookEvery);
  }
  // What comes from now on is not seen.
  following_ = known_ = false;
  recent_.clear();
}

Task<Result<void>> Watch::Look() {
  if (!known_) {
    Result<int64_t> head = co_await ReadHead(worker_);
    if (!head) co_return std::unexpected<Error>(std::move(head).error());
    floor_ = head_ = *head;
    known_ = true;
    // Who looked before this head was read looks again.
    for (const auto& waiter : *waiters_) waiter->wakeup.Signal();
  }
  size_t count = kNewsPerLook;
  while (count == kNewsPerLook && !stopping_) {
    Result<std::vector<News>> news = co_await ReadNews(worker_, head_, kNewsPerLook);
    if (!news) co_return std::unexpected<Error>(std::move(news).error());
    count = news->size();
    Add(*std::move(news));
  }
  co_return Result<void>();
}

void Watch::Add(std::vector<News> news) {
  if (news.empty()) return;
  head_ = news.back().seq;
  for (const auto& waiter : *waiters_) {
    if (std::ranges::any_of(news, [&](const News& one) { return waiter->Wants(one); })) waiter->wakeup.Signal();
  }
  for (News& one : news) recent_.push_back(std::move(one));
  while (recent_.size() > kRemembered) {
    floor_ = recent_.front().seq;
    recent_.pop_front();
  }
}

}  // namespace millrace::notifications
