// SPDX-License-Identifier: Apache-2.0
// The bank that keeps the money, as escrow needs it. A port: the simulation brings another one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/async/task.h"
#include "common/base/result.h"
#include "services/escrow/domain/book.h"

namespace millrace::escrow {

struct CustodianAccount {
  std::string number, currency;
  int64_t balance = 0;  // minor units
};

struct PayInPage {
  std::vector<domain::PayIn> pay_ins;  // organization and transfer are not filled
  int64_t next_after = 0;
};

struct PayOutInstruction {
  std::string id;  // ours; the same id again is the same instruction
  int64_t amount = 0;
  std::string currency, beneficiary_name, beneficiary_account, purpose;
};

struct PayOutAnswer {
  enum class State { kPending, kDone, kFailed };
  State state = State::kPending;
  std::string reason;
};

// Errors of every call: CUSTODIAN_UNAVAILABLE when there is no answer, or one that can't be read (the outcome is
// unknown).
class Custodian {
 public:
  virtual ~Custodian() = default;
  // The adapter's id, as Escrow.custodian says it.
  virtual std::string id() const = 0;
  virtual Task<Result<CustodianAccount>> Account() = 0;
  // In the custodian's order, what comes after `after`; 100 at most.
  virtual Task<Result<PayInPage>> PayIns(int64_t after) = 0;
  // Nothing: there is no such pay-in.
  virtual Task<Result<std::optional<domain::PayIn>>> FindPayIn(std::string id) = 0;
  virtual Task<Result<PayOutAnswer>> SendPayOut(PayOutInstruction instruction) = 0;
  // Nothing: the custodian does not know the instruction, so it may be sent again.
  virtual Task<Result<std::optional<PayOutAnswer>>> FindPayOut(std::string id) = 0;
};

// HTTP/JSON with a bearer token at `url`. A call is given up after `timeout`.
std::unique_ptr<Custodian> HttpCustodian(std::string url, std::string key, std::chrono::milliseconds timeout);

}  // namespace millrace::escrow
