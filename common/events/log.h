// SPDX-License-Identifier: Apache-2.0
// A service's event log: what its commands wrote, stamped in order, and read by others.
#pragma once

#include <functional>

#include "common/postgres/database.h"
#include "millrace/events/v1/events.pb.h"

namespace millrace::events {

class Log {
 public:
  // `worker` logs in as the service's worker role.
  Log(std::string source, postgres::Database& worker) : source_(std::move(source)), worker_(worker) {}

  // Stamps every committed event that has no seq, in id order; returns the log's head. Safe from several processes at
  // once: an advisory lock lets one stamp, the others wait for it.
  Task<Result<int64_t>> Stamp();
  // Stamped events with seq > after, at most `limit` (0 and more than 500: 500).
  Task<Result<v1::ListEventsResponse>> List(int64_t after, int limit);
  // Removes up to limits::kRowsPerPrune events older than limits::kEventsKept, by wall time; the number removed.
  Task<Result<int64_t>> Prune();

  const std::string& source() const { return source_; }

 private:
  std::string source_;
  postgres::Database& worker_;
};

// Stamps after each Signal(), and every second, and tells `announce` the new head whenever it has grown.
class Relay {
 public:
  Relay(Executor executor, Log& log, std::function<void(int64_t head)> announce);
  void Start();
  void Stop();
  void Signal() { wakeup_.Signal(); }

 private:
  Task<void> Run();
  Executor executor_;
  Log& log_;
  std::function<void(int64_t)> announce_;
  Wakeup wakeup_;
  bool stopped_ = false;
};

}  // namespace millrace::events
