// SPDX-License-Identifier: Apache-2.0
#include "services/credit/app/judge.h"

#include <algorithm>

#include "common/crypto/crypto.h"
#include "millrace/credit/v1/risk_tier.pb.h"
#include "services/credit/app/times.h"

namespace millrace::credit {
namespace {

using domain::Fact;
using domain::Role;

constexpr std::string_view kReferenceCurrency = "CNY";

CreditRow& RowOf(CreditSet& set, const Uuid& organization, Role role) {
  auto [at, added] = set.credits.try_emplace({organization, role});
  CreditRow& row = at->second;
  if (added) {
    domain::Assessment none = domain::Assess(role, {});
    row.organization = organization;
    row.role = role;
    row.low = none.low;
    row.high = none.high;
    row.bad_rate = none.bad_rate;
  }
  return row;
}

std::string AggregateOf(const CreditRow& row) {
  return FormatId("org", row.organization) + (row.role == Role::kProvider ? "/provider" : "/buyer");
}

void Emit(CreditSet& set, const CreditRow& row, const char* type, const google::protobuf::Message& payload) {
  set.events.push_back(
      {type, AggregateOf(row), row.version, {row.organization}, payload.GetTypeName(), payload.SerializeAsString()});
}

// After the row has changed: counts the change, tells it, and tells the tier if it moved.
void Changed(CreditSet& set, CreditRow& row) {
  if (row.state == RowState::kStored) row.state = RowState::kChanged;
  ++row.version;
  Emit(set, row, "credit.updated", ToProto(row));
  int tier = domain::TierOf(row.standing.grade, row.suspended);
  if (tier == row.tier) return;
  row.tier = tier;
  ++row.tier_version;
  v1::RiskTier message;
  message.set_organization_id(FormatId("org", row.organization));
  message.set_role(static_cast<v1::Role>(row.role));
  message.set_tier(tier);
  message.set_grade(row.standing.grade);
  message.set_version(row.tier_version);
  Emit(set, row, "risk_tier.changed", message);
}

void JudgeAgain(CreditSet& set, const Account& account) {
  CreditRow& row = RowOf(set, account.first, account.second);
  domain::Assessment assessment = domain::Assess(account.second, set.facts[account], false);
  row.standing = domain::NextStanding(row.standing, assessment);
  row.score = assessment.score;
  row.low = assessment.low;
  row.high = assessment.high;
  row.bad_rate = assessment.bad_rate;
  row.settled = assessment.settled;
  row.counterparties = assessment.counterparties;
  row.evidence_time = assessment.as_of;
  Changed(set, row);
}

}  // namespace

void AddFacts(CreditSet& set, std::vector<Fact> facts) {
  std::set<Account> touched;
  for (Fact& fact : facts) {
    Account account{fact.organization, fact.role};
    touched.insert(account);
    std::string label =
        std::to_string(static_cast<int>(fact.role)) + "/" + std::to_string(static_cast<int>(fact.dimension));
    fact.id = crypto::DeriveId(fact.cause, label);
    set.facts[account].push_back(fact);
    set.new_facts.push_back(std::move(fact));
  }
  for (const Account& account : touched) JudgeAgain(set, account);
}

void Meet(CreditSet& set, const Uuid& organization, std::optional<bool> suspended) {
  for (Role role : {Role::kProvider, Role::kBuyer}) {
    CreditRow& row = RowOf(set, organization, role);
    bool wanted = suspended.value_or(row.suspended);
    if (row.version > 0 && row.suspended == wanted) continue;
    row.suspended = wanted;
    Changed(set, row);
  }
}

Result<Review> WriteReview(CreditSet& set, const Uuid& author, const v1::Review& request, const Uuid& id) {
  Uuid booking = IdOrNil(request.booking_id());
  auto found = set.trades.find(booking);
  if (found == set.trades.end()) return Fail(ErrorCode::kNotFound);
  const Trade& trade = found->second;
  if (author != trade.buyer && author != trade.provider) return Fail(ErrorCode::kNotFound);
  bool written =
      std::ranges::any_of(set.reviews, [&](const Review& r) { return r.booking == booking && r.author == author; });
  if (written || !trade.close_time || set.now >= *trade.close_time + domain::kReviewWindow) {
    return Fail(ErrorCode::kReviewNotAllowed);
  }
  Review review;
  review.id = id;
  review.booking = booking;
  review.author = author;
  review.subject = author == trade.buyer ? trade.provider : trade.buyer;
  review.subject_role = author == trade.buyer ? Role::kProvider : Role::kBuyer;
  review.rating = request.rating();
  review.comment = request.comment();
  review.deadline = *trade.close_time + domain::kReviewWindow;
  review.create_time = set.now;
  bool second = std::ranges::any_of(set.reviews, [&](const Review& r) { return r.booking == booking; });
  set.reviews.push_back(review);
  Uuid task = crypto::DeriveId(booking, kPublishTask);
  if (!second) {
    set.tasks.push_back({task, kPublishTask, booking, review.deadline, ""});
  } else {
    PublishReviews(set, booking);
    set.cancelled_tasks.push_back(task);
  }
  return *std::ranges::find(set.reviews, id, &Review::id);
}

void PublishReviews(CreditSet& set, const Uuid& booking) {
  auto found = set.trades.find(booking);
  if (found == set.trades.end()) return;
  const Trade& trade = found->second;
  std::vector<size_t> published;
  for (size_t i = 0; i < set.reviews.size(); ++i) {
    Review& review = set.reviews[i];
    if (review.booking != booking || review.publish_time) continue;
    review.publish_time = set.now;
    if (review.state == RowState::kStored) review.state = RowState::kChanged;
    if (review.state == RowState::kChanged) ++review.version;
    published.push_back(i);
  }
  for (size_t i : published) {
    const Review& review = set.reviews[i];
    v1::Review message = ToProto(review);
    set.events.push_back({"review.published",
                          message.id(),
                          review.version,
                          {review.author, review.subject},
                          message.GetTypeName(),
                          message.SerializeAsString()});
    Fact fact;
    fact.organization = review.subject;
    fact.role = review.subject_role;
    fact.dimension = domain::Dimension::kReview;
    fact.good = (review.rating - 1) * 250;
    fact.counterparty = review.author;
    fact.booking = booking;
    fact.cause = review.id;
    fact.time = set.now;
    int others = domain::PairBookings(set.facts[{fact.organization, fact.role}], fact.counterparty, booking, set.now);
    fact.weight = domain::Weight(trade.value, trade.currency == kReferenceCurrency, others, true);
    AddFacts(set, {fact});
  }
}

v1::Review ToProto(const Review& review) {
  v1::Review out;
  out.set_id(FormatId("rev", review.id));
  out.set_booking_id(FormatId("bkg", review.booking));
  out.set_author_id(FormatId("org", review.author));
  out.set_subject_id(FormatId("org", review.subject));
  out.set_subject_role(static_cast<v1::Role>(review.subject_role));
  out.set_rating(review.rating);
  out.set_comment(review.comment);
  out.set_state(review.publish_time ? v1::Review::PUBLISHED : v1::Review::HIDDEN);
  if (review.publish_time) {
    PutTime(*review.publish_time, out.mutable_publish_time());
  } else {
    PutTime(review.deadline, out.mutable_deadline_time());
    out.set_default_outcome("publish");
  }
  PutTime(review.create_time, out.mutable_create_time());
  out.set_etag(std::to_string(review.version));
  return out;
}

v1::RoleCredit ToProto(const CreditRow& row) {
  v1::RoleCredit out;
  out.set_organization_id(FormatId("org", row.organization));
  out.set_role(static_cast<v1::Role>(row.role));
  out.set_grade(row.standing.grade);
  out.set_score(row.score);
  out.set_score_low(row.low);
  out.set_score_high(row.high);
  out.set_bad_rate(row.bad_rate);
  out.set_settled_bookings(row.settled);
  out.set_counterparties(row.counterparties);
  out.set_tier(domain::TierOf(row.standing.grade, row.suspended));
  out.set_suspended(row.suspended);
  if (row.evidence_time) PutTime(*row.evidence_time, out.mutable_evidence_time());
  if (row.standing.since) PutTime(*row.standing.since, out.mutable_grade_time());
  out.set_version(row.version);
  return out;
}

v1::CreditFact ToProto(const Fact& fact) {
  v1::CreditFact out;
  out.set_id(FormatId("cft", fact.id));
  out.set_organization_id(FormatId("org", fact.organization));
  out.set_role(static_cast<v1::Role>(fact.role));
  out.set_dimension(static_cast<v1::Dimension>(fact.dimension));
  out.set_good(fact.good);
  out.set_weight(fact.weight);
  out.set_counterparty_id(FormatId("org", fact.counterparty));
  out.set_booking_id(FormatId("bkg", fact.booking));
  PutTime(fact.time, out.mutable_time());
  return out;
}

}  // namespace millrace::credit
