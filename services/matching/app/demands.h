// SPDX-License-Identifier: Apache-2.0
// Use cases of demands.
#pragma once

#include "common/tasks/tasks.h"
#include "millrace/events/v1/events.pb.h"
#include "services/matching/domain/demand_states.h"
#include "services/matching/store/demand_set.h"

namespace millrace::matching {

inline constexpr std::string_view kExpireTask = "demand.expire";

class Demands {
 public:
  Demands(postgres::Writer<DemandSet>& writer, postgres::Database& reader) : writer_(writer), reader_(reader) {}

  // The RPCs; errors as the contract says.
  Task<Result<v1::Demand>> Create(CallContext context, v1::CreateDemandRequest request);
  Task<Result<v1::Demand>> Get(CallContext context, v1::GetDemandRequest request);
  Task<Result<v1::ListDemandsResponse>> List(CallContext context, v1::ListDemandsRequest request);
  Task<Result<v1::Demand>> Publish(CallContext context, v1::DemandVerbRequest request);
  Task<Result<v1::Demand>> Withdraw(CallContext context, v1::DemandVerbRequest request);
  // The task at a demand's deadline.
  Task<Result<void>> Expire(tasks::DueTask task);

 private:
  Task<Result<v1::Demand>> Verb(domain::DemandEvent event, std::string method, CallContext context,
                                v1::DemandVerbRequest request);
  Task<Result<v1::Demand>> Submit(CallContext context, postgres::Command<DemandSet> command);

  postgres::Writer<DemandSet>& writer_;
  postgres::Database& reader_;
};

// What a booking's event means to the demand that the booking names: awarded, open again, fulfilled. For WriterSink.
void NeedOfBooking(DemandSet& set, const events::v1::Event& event);
Result<void> ApplyBooking(DemandSet& set, const events::v1::Event& event);

}  // namespace millrace::matching
