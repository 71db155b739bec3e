// SPDX-License-Identifier: Apache-2.0
// One follower of the feed for all that wait in this process: however many streams are idle, the database is asked once
// a second, and not at all while nobody waits.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/async/task.h"
#include "common/postgres/database.h"
#include "services/notifications/store/reads.h"

namespace millrace::notifications {

// Lives on the loop.
class Watch {
 public:
  Watch(Executor executor, postgres::Database& worker);

  struct Waiter {
    explicit Waiter(Executor executor) : wakeup(std::move(executor)) {}
    bool Wants(const News& news) const;
    Uuid organization;
    bool all = false;                // the operator, who sees every event
    std::vector<std::string> types;  // types or kinds; all if empty
    Wakeup wakeup;
  };
  using Waiters = std::set<std::shared_ptr<Waiter>>;
  // One of the waiters as long as it lives, however the wait ends. Waiters are woken by what they want, and whenever
  // memory begins anew.
  struct Registration {
    Registration(std::shared_ptr<Waiters> all, std::shared_ptr<Waiter> own)
        : waiters(std::move(all)), waiter(std::move(own)) {
      waiters->insert(waiter);
    }
    ~Registration() { waiters->erase(waiter); }
    Registration(const Registration&) = delete;
    std::shared_ptr<Waiters> waiters;
    std::shared_ptr<Waiter> waiter;
  };
  // Follows the feed from now on if it did not.
  std::unique_ptr<Registration> Register(std::shared_ptr<Waiter> waiter);

  // Whether memory holds every event after `after`, so that Any() answers for the database.
  bool Knows(int64_t after) const { return known_ && floor_ <= after && after <= head_; }
  // Whether there is an event after `after` that the waiter wants.
  bool Any(int64_t after, const Waiter& waiter) const;
  int64_t head() const { return head_; }

  bool idle() const { return waiters_->empty(); }

  // There is more, of this process; or nobody waits any more.
  void Signal() { wakeup_.Signal(); }
  // Ends all waits.
  void Stop();
  bool stopping() const { return stopping_; }

 private:
  Task<void> Follow();
  Task<Result<void>> Look();
  void Add(std::vector<News> news);

  Executor executor_;
  postgres::Database& worker_;
  std::shared_ptr<Waiters> waiters_ = std::make_shared<Waiters>();
  Wakeup wakeup_;
  // The events with floor_ < seq <= head_, in order; meaningful while known_.
  std::deque<News> recent_;
  int64_t floor_ = 0, head_ = 0;
  bool known_ = false, following_ = false, stopping_ = false;
};

}  // namespace millrace::notifications
