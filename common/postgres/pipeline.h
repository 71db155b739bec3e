// SPDX-License-Identifier: Apache-2.0
// Statements outside transactions, by libpq's pipeline mode on the loop: many are under way on one connection at once,
// so that a read wakes no thread, and what waits at the socket is taken in one go.
#pragma once

#include <memory>

#include "common/async/pool.h"
#include "common/postgres/database.h"

namespace millrace::postgres {

// Lives on the loop. Each statement is a transaction of its own. Connections are opened on `pool`, one at first;
// another one, up to options.connections, when a statement holds the others up.
class Pipeline {
 public:
  Pipeline(const DatabaseOptions& options, ThreadPool& pool);
  ~Pipeline();
  // Errors: UNAVAILABLE when there is no connection, or a fresh one broke (outcome unknown); as SqlError::ToError. One
  // that broke while it idled is replaced, and the statement sent again.
  Task<Result<Rows>> Query(Statement statement, Params params);

 private:
  struct Link;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace millrace::postgres
