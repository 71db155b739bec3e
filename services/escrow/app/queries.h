// SPDX-License-Identifier: Apache-2.0
// What may be asked of escrow.
#pragma once

#include "common/async/task.h"
#include "common/base/call_context.h"
#include "services/escrow/app/custody.h"

namespace millrace::escrow {

class Queries {
 public:
  // `account`: the custodian's account that buyers transfer to; asked of the custodian when empty.
  Queries(postgres::Database& worker, postgres::Database& reader, tasks::Runner& tasks, Custodian& custodian,
          Custody& custody, std::string account)
      : worker_(worker),
        reader_(reader),
        tasks_(tasks),
        custodian_(custodian),
        custody_(custody),
        account_(std::move(account)) {}

  Task<Result<v1::Balance>> GetBalance(CallContext context, v1::GetBalanceRequest request);
  Task<Result<v1::Escrow>> GetEscrow(CallContext context, v1::GetEscrowRequest request);
  Task<Result<v1::ListEscrowsResponse>> ListEscrows(CallContext context, v1::ListEscrowsRequest request);
  Task<Result<v1::ListTransfersResponse>> ListTransfers(CallContext context, v1::ListTransfersRequest request);
  Task<Result<v1::VerifyLedgerResponse>> VerifyLedger(CallContext context, v1::VerifyLedgerRequest request);

 private:
  // "custodian_agrees".
  Task<v1::VerifyLedgerResponse::Check> CompareWithCustodian();
  Task<Result<v1::VerifyLedgerResponse::Check>> CompareOnce();
  Audience AudienceOf(const CallContext& context, const domain::Escrow& escrow) const;

  postgres::Database& worker_;
  postgres::Database& reader_;
  tasks::Runner& tasks_;
  Custodian& custodian_;
  Custody& custody_;
  std::string account_;
};

}  // namespace millrace::escrow
