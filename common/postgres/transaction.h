// SPDX-License-Identifier: Apache-2.0
// What a store sees of PostgreSQL. pqxx stays behind transaction.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/id.h"
#include "common/base/result.h"
#include "common/base/time.h"

namespace millrace::postgres {

class ResultData;  // common/postgres/rows.h

// A statement, prepared on each connection when it is first used. Both texts must live as long as the program.
struct Statement {
  const char* name;
  const char* sql;
};

// Refused by PostgreSQL. Thrown by Transaction, caught by Database and Writer, never by a store.
class SqlError : public std::runtime_error {
 public:
  SqlError(std::string message, std::string sqlstate)
      : std::runtime_error(std::move(message)), sqlstate_(std::move(sqlstate)) {}
  const std::string& sqlstate() const { return sqlstate_; }
  // The same work may succeed if it runs again: serialization failure, deadlock, unique violation against a concurrent
  // twin.
  bool Transient() const { return sqlstate_ == "40001" || sqlstate_ == "40P01" || sqlstate_ == "23505"; }
  // The server's state, not the work, is in the way: rolled back, deadlock, no resources, a lock or a statement that
  // took too long, disk or system trouble.
  bool Temporary() const;
  // UNAVAILABLE if temporary, else INTERNAL; with the cause.
  Error ToError() const;

 private:
  std::string sqlstate_;
};

// The connection is gone. If that happened in COMMIT, whether it took effect is not known.
class ConnectionLost : public std::runtime_error {
 public:
  explicit ConnectionLost(std::string message, bool in_commit = false)
      : std::runtime_error(std::move(message)), in_commit_(in_commit) {}
  bool in_commit() const { return in_commit_; }

 private:
  bool in_commit_;
};

// Parameters of a statement, in order, as PostgreSQL's text format.
class Params {
 public:
  Params& Text(std::string_view value);
  Params& Null();
  Params& Int(int64_t value);
  Params& Bool(bool value);
  Params& Bytes(std::string_view value);  // bytea
  Params& Id(const Uuid& id);             // uuid; the nil id is NULL
  Params& At(Time time);                  // timestamptz
  Params& OptionalAt(std::optional<Time> time);
  // Arrays for unnest(): one element a row.
  Params& Texts(const std::vector<std::string>& values);
  Params& Ints(const std::vector<int64_t>& values);
  Params& BytesArray(const std::vector<std::string>& values);
  Params& Ids(const std::vector<Uuid>& ids);
  Params& Times(const std::vector<Time>& times);

  const std::vector<std::optional<std::string>>& values() const { return values_; }

 private:
  std::vector<std::optional<std::string>> values_;
};

// One row of a result; columns by position. A time is selected as micros(column), a bigint.
class Row {
 public:
  Row(const ResultData* result, size_t row) : result_(result), row_(row) {}
  bool IsNull(int column) const;
  std::string Text(int column) const;  // NULL is ""
  int64_t Int(int column) const;       // NULL is 0
  bool Bool(int column) const;
  std::string Bytes(int column) const;
  Uuid Id(int column) const;  // NULL is nil
  Time At(int column) const;  // NULL is the epoch
  std::optional<Time> OptionalAt(int column) const;

 private:
  std::string_view View(int column) const;
  const ResultData* result_;
  size_t row_;
};

// The rows of a result.
class Rows {
 public:
  explicit Rows(std::shared_ptr<const ResultData> result);
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Row operator[](size_t row) const { return Row(result_.get(), row); }
  size_t affected() const { return affected_; }

  struct Iterator {
    const Rows* rows;
    size_t at;
    Row operator*() const { return (*rows)[at]; }
    Iterator& operator++() {
      ++at;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at != other.at; }
  };
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size_}; }

 private:
  std::shared_ptr<const ResultData> result_;
  size_t size_, affected_;
};

// A transaction, or a single statement outside of one, on the calling thread. Blocks. Throws SqlError and
// ConnectionLost.
class Transaction {
 public:
  virtual ~Transaction() = default;
  virtual Rows Execute(const Statement& statement, const Params& params = {}) = 0;
  // Text that is not prepared, may hold several statements, takes no parameters: migrations, SAVEPOINTs.
  virtual Rows ExecuteText(const std::string& sql) = 0;
};

// A PostgreSQL array literal of quoted elements.
std::string ArrayLiteral(const std::vector<std::string>& values);

}  // namespace millrace::postgres
