// SPDX-License-Identifier: Apache-2.0
// The bank's books in PostgreSQL. Its time is real time: it does not know the platform's clock.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/postgres/database.h"

namespace millrace::custodian {

inline constexpr char kCurrency[] = "CNY";

struct PayIn {
  Uuid id;
  int64_t cursor = 0;  // 1, 2, 3 …
  int64_t amount = 0;  // fen
  std::string reference, payer_name;
  Time value_time;
};

struct PayOut {
  std::string id;
  int64_t amount = 0;  // fen
  std::string beneficiary_name, beneficiary_account, purpose;
  std::string state;   // PENDING, DONE, FAILED
  std::string reason;  // of FAILED
  Time value_time;
};

// What became of an instruction.
struct Placement {
  enum class Kind { kNew, kSame, kDifferent } kind = Kind::kNew;
  PayOut pay_out;
};

struct Notice {
  Uuid id;
  std::string kind, transfer;
  int attempts = 0;  // this one included
};

struct Figures {
  int64_t balance = 0, world = 0;
  int64_t pay_ins = 0, pay_outs = 0, notices_pending = 0, notices_delivered = 0;
  bool balanced = false;  // every balance is the sum of its movements
};

// Errors of every method: UNAVAILABLE (the database is gone; an effect's outcome is unknown), INTERNAL.
class Bank {
 public:
  // Brings the schema up to date and opens the account if it is new. Blocks.
  static Result<void> Prepare(const std::string& database_url, const std::string& account_number);

  Bank(const std::string& database_url, std::string account_number);

  const std::string& account_number() const { return account_; }
  Task<Result<int64_t>> Balance();  // fen
  // In cursor order.
  Task<Result<std::vector<PayIn>>> PayIns(int64_t after, int limit);
  Task<Result<std::optional<PayIn>>> FindPayIn(Uuid id);
  Task<Result<std::optional<PayOut>>> FindPayOut(std::string id);
  // Money from outside arrives; value_time, id and cursor are set here.
  Task<Result<PayIn>> Receive(PayIn pay_in);
  // Pays once per id. FAILED with a reason: an account that begins with "CLOSED", a balance too low. An account that
  // begins with "SLOW" is PENDING for two seconds.
  Task<Result<Placement>> Pay(PayOut instruction);
  // Ends those PENDING pay-outs whose time has come.
  Task<Result<int>> SettlePending();

  // Takes due notices for `lease`; whoever took one must report, else it is due again after that.
  Task<Result<std::vector<Notice>>> ClaimNotices(int limit, std::chrono::seconds lease);
  Task<Result<bool>> NoticeDelivered(Uuid id);
  Task<Result<bool>> NoticeFailed(Uuid id, std::chrono::seconds again_in, std::string failure);
  Task<Result<Figures>> GetFigures();

 private:
  std::string account_;
  postgres::Database database_;
};

}  // namespace millrace::custodian
