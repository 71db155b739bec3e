// SPDX-License-Identifier: Apache-2.0
// Due work: timers, saga steps, retries. Rows are made by commands (postgres::NewTask) and ended by commands
// (EndedTask).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/postgres/database.h"
#include "common/postgres/writer.h"

namespace millrace::tasks {

// A claimed task. The handler's last command ends it with `fence`; a handler that returns without that is run again
// later.
struct DueTask {
  Uuid id;
  std::string kind;
  Uuid subject;
  int64_t fence = 0;
  int attempts = 0;  // this one included
  std::string payload;

  postgres::EndedTask Ended() const { return {id, fence}; }
};

using Handler = std::function<Task<Result<void>>(DueTask)>;

// Runs due tasks. A claim moves the row's due time ahead by a lease and raises its fence, so a task whose claimant died
// comes up again by itself, and a claimant that slept through its lease can end nothing. Times are business time.
class Runner {
 public:
  Runner(Executor executor, postgres::Database& worker);
  void Handle(std::string kind, Handler handler);
  void Start();
  void Stop();
  void Signal() { wakeup_.Signal(); }

  // When the earliest task is due.
  Task<Result<std::optional<Time>>> NextDue();
  // Runs every task that is due now, one after another in the order of their times, and returns when they have come to
  // an end; the number run.
  Task<Result<int>> FireDue();
  // The same, and waits for what the poller or RunNow has in hand, so that nothing of this process is still running
  // when it returns. The number of tasks that ended since the last call, whoever ran them: for moving the clock step by
  // step.
  Task<Result<int>> FireAndSettle();
  // Claims and runs one task now, due or not: the fast path of a saga step whose row was just committed.
  Task<Result<void>> RunNow(Uuid id);

 private:
  // What one claim of the poller has started.
  struct Round;
  Task<void> Run();
  Task<Result<std::vector<DueTask>>> ClaimDue();
  // The poller's way: tasks of one subject in order, different subjects at once, so that a slow one (a bank that does
  // not answer) holds up only what shares its lane.
  Task<Result<int>> RunLanes();
  Task<void> RunLane(std::vector<DueTask> lane, std::shared_ptr<Round> round);
  Task<void> RunOne(DueTask task);
  // Counts a claim and its run as in hand. It may outlive the runner, in a coroutine that the end of the loop cuts off.
  struct InHand {
    explicit InHand(std::shared_ptr<int> count) : count_(std::move(count)) { ++*count_; }
    ~InHand() { --*count_; }
    InHand(const InHand&) = delete;
    std::shared_ptr<int> count_;
  };
  Executor executor_;
  postgres::Database& worker_;
  std::map<std::string, Handler> handlers_;
  Wakeup wakeup_;
  bool stopped_ = false;
  std::shared_ptr<int> in_hand_ = std::make_shared<int>(0);
  int ended_ = 0;  // since the last FireAndSettle
};

}  // namespace millrace::tasks
