// SPDX-License-Identifier: Apache-2.0
// Decisions on a working set. Pure: their only time is the set's.
#pragma once

#include "millrace/credit/v1/credit.pb.h"
#include "millrace/events/v1/events.pb.h"
#include "services/credit/store/credit_set.h"

namespace millrace::credit {

inline constexpr const char* kPublishTask = "reviews.publish";

// Adds facts that one cause left to the log and judges their accounts again: events credit.updated, and
// risk_tier.changed where the tier moved.
void AddFacts(CreditSet& set, std::vector<domain::Fact> facts);

// Makes the rows of an organization that was heard of; `suspended` if that is known.
void Meet(CreditSet& set, const Uuid& organization, std::optional<bool> suspended);

// An event of another service's log: what it needs, and its effect. Types that say nothing about credit have none.
void NeedOf(CreditSet& set, const events::v1::Event& event);
Result<void> Apply(CreditSet& set, const events::v1::Event& event);

// A new review by `author`. Errors: NOT_FOUND, REVIEW_NOT_ALLOWED.
Result<Review> WriteReview(CreditSet& set, const Uuid& author, const v1::Review& request, const Uuid& id);
// Publishes every hidden review of a booking.
void PublishReviews(CreditSet& set, const Uuid& booking);

v1::Review ToProto(const Review& review);
v1::RoleCredit ToProto(const CreditRow& row);
v1::CreditFact ToProto(const domain::Fact& fact);

}  // namespace millrace::credit
