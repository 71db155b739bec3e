// SPDX-License-Identifier: Apache-2.0
#include "services/credit/store/credit_set.h"

namespace millrace::credit {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kTrades = {
    "credit_trades",
    "SELECT booking, buyer, provider, value, currency, runtime.micros(close_time) FROM trade "
    "WHERE booking = ANY ($1::uuid[]) ORDER BY booking FOR UPDATE"};
constexpr Statement kCredits = {
    "credit_credits",
    "SELECT organization, role::int, grade, runtime.micros(grade_time), score, score_low, score_high, bad_rate, "
    "settled, "
    "counterparties, runtime.micros(evidence_time), tier, tier_version, suspended, version FROM credit "
    "WHERE organization = ANY ($1::uuid[]) ORDER BY organization, role FOR UPDATE"};
constexpr Statement kFacts = {
    "credit_facts",
    "SELECT id, organization, role::int, dimension::int, good, weight, counterparty, booking, cause, settled, "
    "runtime.micros(time) FROM fact WHERE organization = ANY ($1::uuid[]) ORDER BY seq"};
constexpr Statement kReviews = {
    "credit_reviews",
    "SELECT id, booking, author, subject, subject_role::int, rating, comment, runtime.micros(deadline), "
    "runtime.micros(create_time), runtime.micros(publish_time), version FROM review WHERE booking = ANY ($1::uuid[]) "
    "ORDER BY id FOR UPDATE"};
constexpr Statement kSaveTrades = {
    "credit_save_trades",
    "INSERT INTO trade (booking, buyer, provider, value, currency, close_time) "
    "SELECT b, u, p, v, c, CASE WHEN t = 0 THEN NULL ELSE to_timestamp(t / 1000000) + make_interval(secs => (t % "
    "1000000) / "
    "1000000.0) END FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::bigint[]) x(b, u, p, "
    "v, c, t) "
    "ON CONFLICT (booking) DO UPDATE SET value = excluded.value, close_time = excluded.close_time"};
constexpr Statement kSaveFact = {
    "credit_save_facts",
    "INSERT INTO fact (id, organization, role, dimension, good, weight, counterparty, booking, cause, settled, time) "
    "SELECT i, o, r, d, g, w, c, b, k, s <> 0, t FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], "
    "$5::bigint[], "
    "$6::bigint[], $7::uuid[], $8::uuid[], $9::uuid[], $10::bigint[], $11::timestamptz[]) WITH ORDINALITY "
    "x(i, o, r, d, g, w, c, b, k, s, t, n) ORDER BY n"};
constexpr Statement kInsertCredit = {"credit_insert_credit",
                                     "INSERT INTO credit (organization, role, grade, grade_time, score, score_low, "
                                     "score_high, bad_rate, settled, counterparties, "
                                     "evidence_time, tier, tier_version, suspended, version) "
                                     "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"};
constexpr Statement kUpdateCredit = {
    "credit_update_credit",
    "UPDATE credit SET grade = $3, grade_time = $4, score = $5, score_low = $6, score_high = $7, bad_rate = $8, "
    "settled = $9, "
    "counterparties = $10, evidence_time = $11, tier = $12, tier_version = $13, suspended = $14, version = $15 "
    "WHERE organization = $1 AND role = $2"};
constexpr Statement kInsertReview = {"credit_insert_review",
                                     "INSERT INTO review (id, booking, author, subject, subject_role, rating, comment, "
                                     "deadline, create_time, publish_time, "
                                     "version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"};
constexpr Statement kPublishReviews = {"credit_publish_reviews",
                                       "UPDATE review SET publish_time = t, version = v FROM unnest($1::uuid[], "
                                       "$2::timestamptz[], $3::bigint[]) x(i, t, v) "
                                       "WHERE id = i"};

std::vector<Uuid> List(const std::set<Uuid>& ids) { return {ids.begin(), ids.end()}; }

void SaveTrades(Transaction& transaction, const CreditSet& set) {
  std::vector<Uuid> bookings, buyers, providers;
  std::vector<int64_t> values, closes;
  std::vector<std::string> currencies;
  for (const auto& [id, trade] : set.trades) {
    if (trade.state == RowState::kStored) continue;
    bookings.push_back(trade.booking);
    buyers.push_back(trade.buyer);
    providers.push_back(trade.provider);
    values.push_back(trade.value);
    currencies.push_back(trade.currency);
    closes.push_back(trade.close_time ? Micros(*trade.close_time) : 0);
  }
  if (bookings.empty()) return;
  transaction.Execute(kSaveTrades,
                      Params().Ids(bookings).Ids(buyers).Ids(providers).Ints(values).Texts(currencies).Ints(closes));
}

void SaveFacts(Transaction& transaction, const std::vector<domain::Fact>& facts) {
  if (facts.empty()) return;
  std::vector<Uuid> ids, organizations, counterparties, bookings, causes;
  std::vector<int64_t> roles, dimensions, goods, weights, settled;
  std::vector<Time> times;
  for (const domain::Fact& fact : facts) {
    ids.push_back(fact.id);
    organizations.push_back(fact.organization);
    roles.push_back(static_cast<int64_t>(fact.role));
    dimensions.push_back(static_cast<int64_t>(fact.dimension));
    goods.push_back(fact.good);
    weights.push_back(fact.weight);
    counterparties.push_back(fact.counterparty);
    bookings.push_back(fact.booking);
    causes.push_back(fact.cause);
    settled.push_back(fact.settled ? 1 : 0);
    times.push_back(fact.time);
  }
  transaction.Execute(kSaveFact, Params()
                                     .Ids(ids)
                                     .Ids(organizations)
                                     .Ints(roles)
                                     .Ints(dimensions)
                                     .Ints(goods)
                                     .Ints(weights)
                                     .Ids(counterparties)
                                     .Ids(bookings)
                                     .Ids(causes)
                                     .Ints(settled)
                                     .Times(times));
}

// A batch touches few accounts: a statement each.
void SaveCredits(Transaction& transaction, const CreditSet& set) {
  for (const auto& [account, c] : set.credits) {
    if (c.state == RowState::kStored) continue;
    Params params;
    params.Id(c.organization).Int(static_cast<int64_t>(c.role)).Text(c.standing.grade).OptionalAt(c.standing.since);
    params.Int(c.score).Int(c.low).Int(c.high).Int(c.bad_rate).Int(c.settled).Int(c.counterparties);
    params.OptionalAt(c.evidence_time).Int(c.tier).Int(c.tier_version).Bool(c.suspended).Int(c.version);
    transaction.Execute(c.state == RowState::kNew ? kInsertCredit : kUpdateCredit, params);
  }
}

void SaveReviews(Transaction& transaction, const CreditSet& set) {
  std::vector<Uuid> published;
  std::vector<Time> times;
  std::vector<int64_t> versions;
  for (const Review& review : set.reviews) {
    if (review.state == RowState::kNew) {
      Params params;
      params.Id(review.id).Id(review.booking).Id(review.author).Id(review.subject);
      params.Int(static_cast<int64_t>(review.subject_role)).Int(review.rating).Text(review.comment).At(review.deadline);
      params.At(review.create_time).OptionalAt(review.publish_time).Int(review.version);
      transaction.Execute(kInsertReview, params);
    } else if (review.state == RowState::kChanged) {
      published.push_back(review.id);
      times.push_back(*review.publish_time);
      versions.push_back(review.version);
    }
  }
  if (!published.empty()) transaction.Execute(kPublishReviews, Params().Ids(published).Times(times).Ints(versions));
}

}  // namespace

domain::Fact FactOf(const Row& row, int first) {
  domain::Fact fact;
  fact.id = row.Id(first);
  fact.organization = row.Id(first + 1);
  fact.role = static_cast<domain::Role>(row.Int(first + 2));
  fact.dimension = static_cast<domain::Dimension>(row.Int(first + 3));
  fact.good = static_cast<int>(row.Int(first + 4));
  fact.weight = static_cast<int>(row.Int(first + 5));
  fact.counterparty = row.Id(first + 6);
  fact.booking = row.Id(first + 7);
  fact.cause = row.Id(first + 8);
  fact.settled = row.Bool(first + 9);
  fact.time = row.At(first + 10);
  return fact;
}

CreditRow CreditOf(const Row& row, int first) {
  CreditRow credit;
  credit.organization = row.Id(first);
  credit.role = static_cast<domain::Role>(row.Int(first + 1));
  credit.standing = {row.Text(first + 2), row.OptionalAt(first + 3)};
  int* numbers[] = {&credit.score,    &credit.low,     &credit.high,
                    &credit.bad_rate, &credit.settled, &credit.counterparties};
  for (int i = 0; i < 6; ++i) *numbers[i] = static_cast<int>(row.Int(first + 4 + i));
  credit.evidence_time = row.OptionalAt(first + 10);
  credit.tier = static_cast<int>(row.Int(first + 11));
  credit.tier_version = row.Int(first + 12);
  credit.suspended = row.Bool(first + 13);
  credit.version = row.Int(first + 14);
  credit.state = RowState::kStored;
  return credit;
}

Review ReviewOf(const Row& row) {
  Review review;
  review.id = row.Id(0);
  review.booking = row.Id(1);
  review.author = row.Id(2);
  review.subject = row.Id(3);
  review.subject_role = static_cast<domain::Role>(row.Int(4));
  review.rating = static_cast<int>(row.Int(5));
  review.comment = row.Text(6);
  review.deadline = row.At(7);
  review.create_time = row.At(8);
  review.publish_time = row.OptionalAt(9);
  review.version = row.Int(10);
  review.state = RowState::kStored;
  return review;
}

void CreditStore::Load(Transaction& transaction, CreditSet& set) {
  if (!set.bookings.empty()) {
    for (Row row : transaction.Execute(kTrades, Params().Ids(List(set.bookings)))) {
      Trade trade{row.Id(0), row.Id(1), row.Id(2), row.Int(3), row.Text(4), row.OptionalAt(5), RowState::kStored};
      set.organizations.insert(trade.buyer);
      set.organizations.insert(trade.provider);
      set.trades[trade.booking] = std::move(trade);
    }
    for (Row row : transaction.Execute(kReviews, Params().Ids(List(set.bookings))))
      set.reviews.push_back(ReviewOf(row));
  }
  if (set.organizations.empty()) return;
  for (Row row : transaction.Execute(kCredits, Params().Ids(List(set.organizations)))) {
    CreditRow credit = CreditOf(row, 0);
    set.credits[{credit.organization, credit.role}] = std::move(credit);
  }
  for (Row row : transaction.Execute(kFacts, Params().Ids(List(set.organizations)))) {
    domain::Fact fact = FactOf(row);
    set.facts[{fact.organization, fact.role}].push_back(std::move(fact));
  }
}

void CreditStore::Save(Transaction& transaction, CreditSet& set) {
  SaveTrades(transaction, set);
  SaveFacts(transaction, set.new_facts);
  SaveCredits(transaction, set);
  SaveReviews(transaction, set);
}

}  // namespace millrace::credit
