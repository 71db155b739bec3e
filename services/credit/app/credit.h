// SPDX-License-Identifier: Apache-2.0
// Credit's use cases.
#pragma once

#include "common/events/consumer.h"
#include "common/runtime/module.h"
#include "services/credit/app/judge.h"

namespace millrace::credit {

class Credit {
 public:
  Credit(runtime::ServiceCore& core, postgres::Writer<CreditSet>& writer) : core_(core), writer_(writer) {}

  // The RPCs of millrace.credit.v1.Credit; errors as the contract says.
  Task<Result<v1::Review>> CreateReview(CallContext context, v1::CreateReviewRequest request);
  Task<Result<v1::ListReviewsResponse>> ListReviews(CallContext context, v1::ListReviewsRequest request);
  Task<Result<v1::OrganizationCredit>> GetOrganizationCredit(CallContext context,
                                                             v1::GetOrganizationCreditRequest request);
  Task<Result<v1::ListCreditFactsResponse>> ListCreditFacts(CallContext context, v1::ListCreditFactsRequest request);

  // The end of a booking's review window.
  Task<Result<void>> EndReviewWindow(tasks::DueTask task);

 private:
  Task<Result<std::vector<domain::Fact>>> ReadLog(CallContext context, Uuid organization, domain::Role role);

  runtime::ServiceCore& core_;
  postgres::Writer<CreditSet>& writer_;
};

}  // namespace millrace::credit
