// SPDX-License-Identifier: Apache-2.0
// What operations and the buyer command.
#pragma once

#include "common/async/task.h"
#include "common/base/call_context.h"
#include "services/escrow/app/messages.h"

namespace millrace::escrow {

class Commands {
 public:
  // `custodian`: the adapter's id.
  Commands(postgres::Writer<EscrowSet>& writer, std::string custodian)
      : writer_(writer), custodian_(std::move(custodian)) {}

  Task<Result<v1::Escrow>> Hold(CallContext context, v1::HoldRequest request);
  Task<Result<v1::Escrow>> Void(CallContext context, v1::VoidRequest request);
  Task<Result<v1::Escrow>> Capture(CallContext context, v1::CaptureRequest request);
  Task<Result<v1::Escrow>> Release(CallContext context, v1::ReleaseEscrowRequest request);
  // Of the task "escrow.expire".
  Task<Result<void>> Expire(Uuid escrow, postgres::EndedTask ended);

 private:
  using Decide = std::function<Result<const domain::Escrow*>(EscrowSet&)>;
  Task<Result<v1::Escrow>> Submit(CallContext context, postgres::CommandHeader header,
                                  std::function<void(EscrowSet&)> need, Decide decide);
  postgres::Writer<EscrowSet>& writer_;
  std::string custodian_;
};

}  // namespace millrace::escrow
