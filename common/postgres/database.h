// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/async/pool.h"
#include "common/base/result.h"
#include "common/postgres/transaction.h"

namespace millrace::postgres {

struct DatabaseOptions {
  std::string url;     // postgresql://… or key=value
  std::string schema;  // search_path
  std::string role;    // SET ROLE after connecting, e.g. "escrow_reader"; empty: the login itself
  int connections = 2;
  int statement_timeout_ms = 2000;
};

class Pipeline;

// A few threads with a connection each, opened when first used. Lives on the loop; every method may be awaited there.
class Database {
 public:
  explicit Database(DatabaseOptions options);
  ~Database();

  // Runs `work` in one transaction and commits it. Errors: what `work` throws, as INTERNAL with its cause; UNAVAILABLE
  // when there is no connection, or it broke and the outcome is unknown. A serialization failure or deadlock is run
  // again, three times.
  template <class F, class R = std::invoke_result_t<F, Transaction&>>
  Task<Result<R>> Run(F work) {
    auto shared = std::make_shared<F>(std::move(work));
    std::function<Result<R>()> body = [this, shared] {
      std::optional<R> value;
      std::function<void(Transaction&)> run = [&](Transaction& transaction) { value.emplace((*shared)(transaction)); };
      Result<void> done = RunHere(run);
      if (!done) return Result<R>(std::unexpected<Error>(std::move(done).error()));
      return Result<R>(std::move(*value));
    };
    Result<R> result = co_await RunOn(pool_, std::move(body));
    co_return std::move(result);
  }

  // One statement outside a transaction: one round trip, on the loop and in company (common/postgres/pipeline.h).
  // Errors as of Run; a statement whose idle connection turns out to be broken is sent again.
  Task<Result<Rows>> Query(const Statement& statement, Params params);

  // The same as Run on the calling thread; throws SqlError and ConnectionLost, and does not repeat. For Writer.
  void RunThrowing(const std::function<void(Transaction&)>& work);
  Result<void> RunHere(const std::function<void(Transaction&)>& work);
  // One statement outside any transaction, on the calling thread: CREATE DATABASE and the like.
  Result<void> ExecuteAlone(const std::string& sql);
  ThreadPool& pool() { return pool_; }

 private:
  struct Connections;
  DatabaseOptions options_;
  std::unique_ptr<Connections> connections_;
  ThreadPool pool_;
  std::unique_ptr<Pipeline> pipeline_;
};

}  // namespace millrace::postgres
