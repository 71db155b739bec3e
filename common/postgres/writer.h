// SPDX-License-Identifier: Apache-2.0
// Lock, decide, write: how every service changes its data.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/call_context.h"
#include "common/postgres/database.h"

namespace millrace::postgres {

// A fact to be logged with the effect.
struct NewEvent {
  std::string type;       // "booking.confirmed"
  std::string aggregate;  // "bkg_…"
  int64_t aggregate_version = 0;
  std::vector<Uuid> parties;
  std::string payload_type;
  std::string payload;
};

// Work that is due later. The same id again moves it.
struct NewTask {
  Uuid id;
  std::string kind;
  Uuid subject;
  Time due_at;
  std::string payload;
};

// A task that a command ends; if the row has another fence by now, the whole command fails with
// IDEMPOTENCY_IN_PROGRESS.
struct EndedTask {
  Uuid id;
  int64_t fence = 0;
};

// An event that could not be applied; later ones of its aggregate are parked behind it.
struct ParkedEvent {
  std::string source;
  int64_t seq = 0;
  std::string aggregate;
  std::string cause;
};

// Events `first` to `last` of a log, which the command applies or parks. If the log has been applied beyond `first` by
// now, as by another process of the service, the whole command fails with UNAVAILABLE.
struct AppliedEvents {
  std::string source;
  int64_t first = 0, last = 0;
};

// The part of a working set that every service has. A service derives its own with the rows that its commands decide
// on.
struct WorkingSet {
  Time now;  // business time, the same for the whole batch
  std::vector<NewEvent> events;
  std::vector<NewTask> tasks;
  std::vector<EndedTask> ended_tasks;
  std::vector<Uuid> cancelled_tasks;  // no fence: a timer that is not wanted any more
  std::vector<AppliedEvents> applied;
  std::vector<ParkedEvent> parked;
};

// Who commands, and under which key. An empty key: not kept (tasks, events, whose own rows make them idempotent).
struct CommandHeader {
  Uuid organization;
  std::string method;
  std::string key;
  std::string fingerprint;
  std::string traceparent;
  bool validate_only = false;  // decides alone, saves nothing and keeps no outcome
  std::string act;             // a serialized events.v1.Act, logged as act.performed with the effect; empty: none
  std::string request_id;
  static CommandHeader Of(const CallContext& context, std::string_view method);
};

// Whether a refusal is kept with its key, so that a replay is refused alike: 402, 404, 409 and 422.
bool KeptWithKey(const Error& error);

// What a command came to.
struct Outcome {
  std::string response;  // the serialized response message
  bool replayed = false;
};

// A command on the working set S, a struct derived from WorkingSet.
template <class S>
struct Command {
  CommandHeader header;
  // Names the rows that it needs; runs before anything is read.
  std::function<void(S&)> need;
  // Decides on the loaded rows: returns the response's bytes, or refuses and leaves S as it was. Pure: its only time is
  // S::now.
  std::function<Result<std::string>(S&)> decide;
};

// Reads and writes the rows of a working set; one statement a table, locks in key order.
template <class S>
class Store {
 public:
  virtual ~Store() = default;
  virtual void Load(Transaction& transaction, S& set) = 0;
  virtual void Save(Transaction& transaction, S& set) = 0;
};

// Removes up to limits::kRowsPerPrune outcomes older than limits::kIdempotencyKept, by wall time; the number removed.
Task<Result<int64_t>> PruneOutcomes(Database& worker);

namespace detail {

// One command of a batch with its types taken off.
struct Slot {
  CommandHeader header;
  std::function<void(WorkingSet&)> need;
  std::function<Result<std::string>(WorkingSet&)> decide;
  std::optional<Result<Outcome>> outcome;
  std::function<void()> resume;
};

struct Batch {
  std::function<std::unique_ptr<WorkingSet>()> make;
  std::function<void(Transaction&, WorkingSet&)> load, save;
};

class WriterCore {
 public:
  WriterCore(Executor executor, Database& database, Batch batch);
  ~WriterCore();
  Task<Result<Outcome>> Submit(std::shared_ptr<Slot> slot);
  std::function<void()> on_commit;

 private:
  Task<void> Drain();
  void RunBatch(std::vector<std::shared_ptr<Slot>>& slots);
  void RunOnce(std::vector<std::shared_ptr<Slot>>& slots);

  Executor executor_;
  Database& database_;
  Batch batch_;
  std::deque<std::shared_ptr<Slot>> queue_;
  bool running_ = false;
};

}  // namespace detail

// Runs commands in batches: whatever queued while the batch before committed is the next batch, a lone command is a
// batch of one. In one transaction: look up the keys and the time, Load, decide in order, Save, then outcomes, events,
// tasks and positions. Errors beside the commands' own: IDEMPOTENCY_KEY_REUSED, UNAVAILABLE (outcome unknown, or the
// database can't now), RATE_LIMITED (queue full), INTERNAL. Kept with the key: responses, and refusals whose status is
// 402, 404, 409 or 422.
template <class S>
class Writer {
 public:
  Writer(Executor executor, Database& database, Store<S>& store)
      : core_(std::move(executor), database,
              detail::Batch{[] { return std::make_unique<S>(); },
                            [&store](Transaction& tx, WorkingSet& set) { store.Load(tx, static_cast<S&>(set)); },
                            [&store](Transaction& tx, WorkingSet& set) { store.Save(tx, static_cast<S&>(set)); }}) {}

  Task<Result<Outcome>> Submit(Command<S> command) {
    auto slot = std::make_shared<detail::Slot>();
    slot->header = std::move(command.header);
    slot->need = [need = std::move(command.need)](WorkingSet& set) {
      if (need) need(static_cast<S&>(set));
    };
    slot->decide = [decide = std::move(command.decide)](WorkingSet& set) { return decide(static_cast<S&>(set)); };
    return core_.Submit(std::move(slot));
  }

  // Called on the loop after a commit that may have left events or tasks.
  void OnCommit(std::function<void()> callback) { core_.on_commit = std::move(callback); }

 private:
  detail::WriterCore core_;
};

}  // namespace millrace::postgres
