// SPDX-License-Identifier: Apache-2.0
// What passes between escrow and the custodian: notices, pay-ins, pay-outs.
#pragma once

#include "common/async/task.h"
#include "common/base/call_context.h"
#include "common/tasks/tasks.h"
#include "services/escrow/app/messages.h"
#include "services/escrow/custodian/custodian.h"
#include "services/escrow/store/rows.h"

namespace millrace::escrow {

class Custody {
 public:
  // `secret` signs the custodian's notices.
  Custody(Executor executor, postgres::Database& worker, postgres::Writer<EscrowSet>& writer, tasks::Runner& tasks,
          Custodian& custodian, std::string secret);

  // Registers the due work "escrow.notice" and "escrow.pay_out", and asks for pay-ins every 30 s: a lost notice costs
  // only time.
  void Start();
  void Stop();

  Task<Result<v1::CustodianNoticeResponse>> Notice(CallContext context, v1::CustodianNoticeRequest request);
  // Takes every pay-in that the custodian has and we do not. Errors: CUSTODIAN_UNAVAILABLE.
  Task<Result<void>> FetchPayIns();
  Task<Result<void>> RunNotice(tasks::DueTask task);
  Task<Result<void>> RunPayOut(tasks::DueTask task);

 private:
  struct Begun {
    domain::PayOutStep step = domain::PayOutStep::kNothing;
    domain::PayOut instruction;
    Uuid provider;
  };
  Task<void> Poll();
  Task<void> RunInBackground(Uuid task);
  Task<Result<void>> Credit(std::vector<domain::PayIn> pay_ins, std::optional<int64_t> cursor,
                            std::optional<postgres::EndedTask> ended);
  Task<Result<void>> Change(std::string method, Uuid escrow, std::function<Result<void>(EscrowSet&)> decide);
  Task<Result<void>> End(postgres::EndedTask ended);
  Task<Result<Begun>> Begin(tasks::DueTask task);
  // Asks what became of an instruction, and sends it if the custodian has none. Nothing: it must not be sent now.
  Task<Result<std::optional<PayOutAnswer>>> Instruct(Begun begun);

  Executor executor_;
  postgres::Database& worker_;
  postgres::Writer<EscrowSet>& writer_;
  tasks::Runner& tasks_;
  Custodian& custodian_;
  std::string secret_;
  Wakeup wakeup_;
  bool stopped_ = false;
};

}  // namespace millrace::escrow
