// SPDX-License-Identifier: Apache-2.0
// The whole service against a real PostgreSQL: other services' logs in, reviews, tasks, reads and the log of its own
// out.
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "common/postgres/migrate.h"
#include "millrace/credit/v1/credit.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/operations/v1/operations.pb.h"
#include "millrace/runtime/v1/runtime.pb.h"
#include "services/credit/app/times.h"
#include "services/credit/module.h"
#include "services/credit/store/credit_set.h"
#include "tests/support/private_postgres.h"

namespace millrace::credit {
namespace {

using operations::v1::Booking;
using operations::v1::WorkOrder;
using std::chrono::hours;

constexpr const char* kSources[] = {"operations", "identity"};

class CreditTest : public ::testing::Test {
 protected:
  CreditTest()
      : url_(test::PrivatePostgres::Instance().NewDatabase(
            {{"credit", Migrations()}, {"operations", {}}, {"identity", {}}})) {
    settings_.Set("database_url", url_, "test");
    environment_.executor = context_.get_executor();
    environment_.settings = &settings_;
    environment_.wakeups = &wakeups_;
    environment_.channel = [this](std::string_view service) -> rpc::Channel& {
      return *channels_.at(std::string(service));
    };
    for (const char* name : kSources) {
      cores_.push_back(std::make_unique<runtime::ServiceCore>(name, environment_));
      channels_[name] = rpc::LocalChannel(cores_.back()->service());
      cores_.back()->Start();
    }
    postgres::DatabaseOptions options;
    options.url = url_;
    options.schema = "credit";
    admin_ = std::make_unique<postgres::Database>(options);
    Sql("UPDATE runtime.clock SET test = true");
    module_ = MakeModule(environment_);
    channels_["credit"] = rpc::LocalChannel(module_->service());
    EXPECT_TRUE(Wait(module_->Start()));
  }
  ~CreditTest() override {
    module_->Stop();
    for (auto& core : cores_) core->Stop();
    context_.restart();
    context_.run();
  }

  template <class T>
  static Task<void> Fill(Task<T> task, std::optional<T>* value) {
    T done = co_await std::move(task);
    value->emplace(std::move(done));
  }
  template <class T>
  T Wait(Task<T> task) {
    std::optional<T> value;
    Spawn(context_.get_executor(), Fill(std::move(task), &value), "test");
    context_.restart();
    while (!value) context_.run_one();
    return *std::move(value);
  }
  template <class Response, class Request>
  Result<Response> Ask(const std::string& service, const std::string& method, CallContext context, Request request) {
    context.deadline = WallNow() + std::chrono::seconds(20);
    return Wait(rpc::Call<Response>(*channels_.at(service), method, std::move(context), std::move(request)));
  }
  template <class Response, class Request>
  Result<Response> Credit(const char* method, CallContext context, Request request) {
    return Ask<Response>("credit", std::string("millrace.credit.v1.Credit.") + method, std::move(context),
                         std::move(request));
  }

  postgres::Rows Sql(const std::string& sql) {
    std::optional<postgres::Rows> rows;
    Result<void> done = admin_->RunHere([&](postgres::Transaction& tx) { rows = tx.ExecuteText(sql); });
    EXPECT_TRUE(done) << done.error().cause;
    return *rows;
  }
  int64_t Number(const std::string& sql) { return Sql(sql)[0].Int(0); }
  Time Now() { return FromMicros(Number("SELECT runtime.micros(runtime.now())")); }
  void Advance(hours by) {
    Sql("UPDATE runtime.clock SET ahead = ahead + make_interval(hours => " + std::to_string(by.count()) + ")");
  }

  // Appends to another service's log and waits until credit has applied it.
  void Tell(const std::string& source, const std::string& type, const std::string& aggregate,
            const google::protobuf::Message& payload) {
    static constexpr postgres::Statement kOperations = {
        "tell_operations",
        "INSERT INTO operations.event (event_id, type, aggregate, aggregate_version, time, parties, payload_type, "
        "payload) VALUES ($1, $2, $3, 1, runtime.now(), '{}', $4, $5)"};
    static constexpr postgres::Statement kIdentity = {
        "tell_identity",
        "INSERT INTO identity.event (event_id, type, aggregate, aggregate_version, time, parties, payload_type, "
        "payload) VALUES ($1, $2, $3, 1, runtime.now(), '{}', $4, $5)"};
    Result<void> done = admin_->RunHere([&](postgres::Transaction& tx) {
      tx.Execute(source == "operations" ? kOperations : kIdentity, postgres::Params()
                                                                       .Id(Uuid::New())
                                                                       .Text(type)
                                                                       .Text(aggregate)
                                                                       .Text(payload.GetTypeName())
                                                                       .Bytes(payload.SerializeAsString()));
    });
    ASSERT_TRUE(done) << done.error().cause;
    auto head =
        Ask<millrace::runtime::v1::HeadResponse>(source, "millrace.runtime.v1.Runtime.Head",
                                                 CallContext::ForService("test"), millrace::runtime::v1::HeadRequest());
    ASSERT_TRUE(head);
    for (int i = 0; i < 500; ++i) {
      auto positions = Ask<millrace::runtime::v1::PositionResponse>("credit", "millrace.runtime.v1.Runtime.Position",
                                                                    CallContext::ForService("test"),
                                                                    millrace::runtime::v1::PositionRequest());
      ASSERT_TRUE(positions);
      if (positions->positions().at(source) >= head->seq()) return;
      Wait(Doze());
    }
    FAIL() << "credit does not follow " << source;
  }
  static Task<bool> Doze() {
    co_await Sleep(std::chrono::milliseconds(10));
    co_return true;
  }

  Uuid Register() {
    identity::v1::Organization organization;
    Uuid id = Uuid::New();
    organization.set_id(FormatId("org", id));
    Tell("identity", "organization.registered", organization.id(), organization);
    return id;
  }
  Booking NewBooking(const Uuid& buyer, const Uuid& provider, int64_t value = 100'000) {
    Booking booking;
    booking.set_id(FormatId("bkg", Uuid::New()));
    booking.set_buyer_id(FormatId("org", buyer));
    booking.set_provider_id(FormatId("org", provider));
    booking.mutable_price()->mutable_total()->set_amount(value);
    booking.mutable_price()->mutable_total()->set_currency("CNY");
    PutTime(Now(), booking.mutable_window()->mutable_start_time());
    PutTime(Now() + hours(4), booking.mutable_window()->mutable_end_time());
    PutTime(Now(), booking.mutable_check_in_time());
    return booking;
  }
  Booking Trade(const Uuid& buyer, const Uuid& provider) {
    Booking booking = NewBooking(buyer, provider);
    Tell("operations", "booking.confirmed", booking.id(), booking);
    Tell("operations", "booking.closed", booking.id(), booking);
    return booking;
  }

  static CallContext Caller(const Uuid& organization, std::set<std::string> roles = {"buyer", "provider"}) {
    CallContext context;
    context.organization = organization;
    context.actor = "key_test";
    context.roles = std::move(roles);
    context.idempotency_key = "key-" + Uuid::New().Hex();
    return context;
  }
  v1::RoleCredit CreditOf(const Uuid& organization, v1::Role role, CallContext context) {
    v1::GetOrganizationCreditRequest request;
    request.set_organization_id(FormatId("org", organization));
    request.set_role(role);
    auto credit = Credit<v1::OrganizationCredit>("GetOrganizationCredit", std::move(context), request);
    EXPECT_TRUE(credit) << Name(credit.error().code) << credit.error().cause;
    if (!credit || credit->roles_size() != 1) return {};
    return credit->roles(0);
  }
  Result<v1::Review> Write(const Uuid& author, const std::string& booking, int rating, CallContext context) {
    v1::CreateReviewRequest request;
    request.mutable_review()->set_booking_id(booking);
    request.mutable_review()->set_rating(rating);
    request.mutable_review()->set_comment("按时交付");
    context.organization = author;
    return Credit<v1::Review>("CreateReview", std::move(context), request);
  }
  Result<v1::Review> Write(const Uuid& author, const std::string& booking, int rating) {
    return Write(author, booking, rating, Caller(author));
  }
  int Reviews(const Uuid& organization) {
    auto page = Credit<v1::ListReviewsResponse>("ListReviews", Caller(organization), v1::ListReviewsRequest());
    EXPECT_TRUE(page);
    return page ? page->data_size() : -1;
  }
  int Events(const std::string& type) {
    return static_cast<int>(Number("SELECT count(*) FROM event WHERE type = '" + type + "'"));
  }

  // Every credit row follows from the fact log, to the bit.
  void ExpectRecomputes() {
    int rows = 0;
    for (postgres::Row row :
         Sql("SELECT organization, role::int, grade, runtime.micros(grade_time), score, score_low, score_high, "
             "bad_rate, settled, counterparties, runtime.micros(evidence_time), tier, tier_version, suspended, "
             "version FROM credit")) {
      CreditRow stored = credit::CreditOf(row, 0);
      std::vector<domain::Fact> facts;
      for (postgres::Row fact :
           Sql("SELECT id, organization, role::int, dimension::int, good, weight, counterparty, booking, cause, "
               "settled, runtime.micros(time) FROM fact WHERE organization = '" +
               stored.organization.Hex() + "' AND role = " + std::to_string(static_cast<int>(stored.role)) +
               " ORDER BY seq")) {
        facts.push_back(FactOf(fact));
      }
      domain::Replayed again = domain::Replay(stored.role, facts);
      EXPECT_EQ(stored.standing, again.standing);
      EXPECT_EQ(stored.score, again.assessment.score);
      EXPECT_EQ(stored.low, again.assessment.low);
      EXPECT_EQ(stored.high, again.assessment.high);
      EXPECT_EQ(stored.bad_rate, again.assessment.bad_rate);
      EXPECT_EQ(stored.evidence_time, again.assessment.as_of);
      ++rows;
    }
    EXPECT_GT(rows, 0);
  }

  std::string url_;
  boost::asio::io_context context_;
  runtime::Settings settings_;
  runtime::WakeupBus wakeups_;
  runtime::Environment environment_;
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::vector<std::unique_ptr<runtime::ServiceCore>> cores_;
  std::unique_ptr<postgres::Database> admin_;
  std::unique_ptr<runtime::Module> module_;
};

TEST_F(CreditTest, OneTradeMovesBothScoresAndSaysWhy) {
  Uuid buyer = Register(), provider = Register();
  v1::RoleCredit before = CreditOf(provider, v1::PROVIDER, Caller(provider));
  EXPECT_EQ(before.grade(), "N");
  EXPECT_EQ(before.score(), 6000);
  Trade(buyer, provider);
  v1::RoleCredit after = CreditOf(provider, v1::PROVIDER, Caller(provider));
  EXPECT_EQ(after.grade(), "N");
  EXPECT_GT(after.score(), before.score());
  EXPECT_LT(after.score_high() - after.score_low(), before.score_high() - before.score_low() + 200);
  EXPECT_GT(after.score_low(), before.score_low());
  EXPECT_EQ(after.settled_bookings(), 1);
  EXPECT_EQ(after.tier(), 3);
  const v1::Explanation& why = after.explanation();
  int sum = why.base_points() + why.limit_points();
  for (const v1::Contribution& part : why.contributions()) {
    sum += part.points();
    int facts = part.earlier_points();
    for (const v1::FactContribution& fact : part.newest()) facts += fact.points();
    EXPECT_EQ(facts, part.points());
    EXPECT_FALSE(part.zh().empty());
    EXPECT_FALSE(part.en().empty());
  }
  EXPECT_EQ(sum, after.score());
  EXPECT_NE(why.next_en().find("lead to grade B"), std::string::npos) << why.next_en();
  EXPECT_NE(why.next_zh().find("可评为 B"), std::string::npos) << why.next_zh();
  EXPECT_GT(CreditOf(buyer, v1::BUYER, Caller(buyer)).score(), 6000);
  EXPECT_EQ(CreditOf(buyer, v1::PROVIDER, Caller(buyer)).score(), 6000);
  EXPECT_EQ(Events("risk_tier.changed"), 0);
  ExpectRecomputes();
}

TEST_F(CreditTest, OthersSeeTheSummaryOnly) {
  Uuid buyer = Register(), provider = Register();
  Trade(buyer, provider);
  v1::RoleCredit seen = CreditOf(provider, v1::PROVIDER, Caller(buyer));
  EXPECT_EQ(seen.grade(), "N");
  EXPECT_FALSE(seen.has_explanation());
  EXPECT_TRUE(CreditOf(provider, v1::PROVIDER, Caller(Uuid::New(), {"operator"})).has_explanation());
  v1::GetOrganizationCreditRequest nobody;
  nobody.set_organization_id(FormatId("org", Uuid::New()));
  EXPECT_EQ(Credit<v1::OrganizationCredit>("GetOrganizationCredit", Caller(buyer), nobody).error().code,
            ErrorCode::kNotFound);

  v1::ListCreditFactsRequest request;
  request.set_organization_id(FormatId("org", provider));
  EXPECT_EQ(Credit<v1::ListCreditFactsResponse>("ListCreditFacts", Caller(buyer), request).error().code,
            ErrorCode::kNotFound);
  request.set_page_size(2);
  auto page = Credit<v1::ListCreditFactsResponse>("ListCreditFacts", Caller(provider), request);
  ASSERT_TRUE(page);
  ASSERT_EQ(page->data_size(), 2);
  ASSERT_FALSE(page->next_page_token().empty());
  request.set_page_token(page->next_page_token());
  auto rest = Credit<v1::ListCreditFactsResponse>("ListCreditFacts", Caller(provider), request);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->data_size(), 1);
  EXPECT_TRUE(rest->next_page_token().empty());
  request.set_role(v1::BUYER);
  EXPECT_EQ(Credit<v1::ListCreditFactsResponse>("ListCreditFacts", Caller(provider), request).error().code,
            ErrorCode::kInvalidPageToken);
}

TEST_F(CreditTest, RowLevelSecurityHolds) {
  Uuid buyer = Register(), provider = Register();
  Booking booking = Trade(buyer, provider);
  ASSERT_TRUE(Write(buyer, booking.id(), 5));
  postgres::DatabaseOptions options;
  options.url = url_;
  options.schema = "credit";
  options.role = "credit_reader";
  postgres::Database reader(options);
  auto count = [&](const Uuid& asking, const std::string& roles, const std::string& table) {
    int64_t rows = -1;
    Result<void> done = reader.RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("SELECT set_config('millrace.organization', '" + (asking.IsNil() ? "" : asking.Hex()) +
                     "', true), set_config('millrace.roles', '" + roles + "', true)");
      rows = tx.ExecuteText("SELECT count(*) FROM " + table)[0].Int(0);
    });
    EXPECT_TRUE(done) << done.error().cause;
    return rows;
  };
  EXPECT_EQ(count(provider, "provider", "fact"), 3);
  EXPECT_EQ(count(Uuid::New(), "provider", "fact"), 0);
  EXPECT_EQ(count(Uuid(), "", "fact"), 0);
  EXPECT_EQ(count(Uuid::New(), "operator", "fact"), 6);
  EXPECT_EQ(count(buyer, "buyer", "review"), 1);
  EXPECT_EQ(count(provider, "provider", "review"), 0);  // hidden from its subject
  EXPECT_EQ(count(Uuid::New(), "buyer", "review"), 0);
  EXPECT_EQ(count(Uuid(), "", "credit"), 0);
  Result<void> changed =
      admin_->RunHere([](postgres::Transaction& tx) { tx.ExecuteText("UPDATE fact SET good = 1000"); });
  EXPECT_FALSE(changed);
}

TEST_F(CreditTest, ReviewsAreBlindUntilBothHaveWritten) {
  Uuid buyer = Register(), provider = Register();
  Booking booking = Trade(buyer, provider);
  int before = CreditOf(provider, v1::PROVIDER, Caller(provider)).score();
  CallContext context = Caller(buyer);
  auto first = Write(buyer, booking.id(), 5, context);
  ASSERT_TRUE(first) << Name(first.error().code) << first.error().cause;
  EXPECT_EQ(first->state(), v1::Review::HIDDEN);
  EXPECT_EQ(first->subject_role(), v1::PROVIDER);
  EXPECT_EQ(first->default_outcome(), "publish");
  auto again = Write(buyer, booking.id(), 5, context);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->id(), first->id());
  EXPECT_TRUE(context.reply->replayed);
  EXPECT_EQ(Write(buyer, booking.id(), 1).error().code, ErrorCode::kReviewNotAllowed);
  EXPECT_EQ(Reviews(buyer), 1);
  EXPECT_EQ(Reviews(provider), 0);
  EXPECT_EQ(Events("review.published"), 0);
  EXPECT_EQ(CreditOf(provider, v1::PROVIDER, Caller(provider)).score(), before);
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 1);

  auto second = Write(provider, booking.id(), 4);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->state(), v1::Review::PUBLISHED);
  EXPECT_EQ(Reviews(buyer), 2);
  EXPECT_EQ(Reviews(provider), 2);
  EXPECT_EQ(Events("review.published"), 2);
  EXPECT_GT(CreditOf(provider, v1::PROVIDER, Caller(provider)).score(), before);
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 0);
  ExpectRecomputes();
}

TEST_F(CreditTest, TheWindowsEndPublishesALoneReview) {
  Uuid buyer = Register(), provider = Register();
  Booking booking = Trade(buyer, provider);
  ASSERT_TRUE(Write(provider, booking.id(), 1));
  auto fire = [&] {
    return Ask<millrace::runtime::v1::FireResponse>("credit", "millrace.runtime.v1.Runtime.Fire",
                                                    CallContext::ForService("test"),
                                                    millrace::runtime::v1::FireRequest());
  };
  Advance(hours(13 * 24));
  ASSERT_TRUE(fire());
  EXPECT_EQ(Reviews(buyer), 0);
  Advance(hours(24));
  ASSERT_TRUE(fire());
  for (int i = 0; i < 100 && Reviews(buyer) == 0; ++i) Wait(Doze());  // the poller may have been quicker
  EXPECT_EQ(Reviews(buyer), 1);
  EXPECT_EQ(Events("review.published"), 1);
  EXPECT_EQ(Write(buyer, booking.id(), 5).error().code, ErrorCode::kReviewNotAllowed);
  ExpectRecomputes();
}

TEST_F(CreditTest, OnlyPartiesOfAClosedTradeReviewIt) {
  Uuid buyer = Register(), provider = Register();
  Booking open = NewBooking(buyer, provider);
  Tell("operations", "booking.confirmed", open.id(), open);
  EXPECT_EQ(Write(buyer, open.id(), 5).error().code, ErrorCode::kReviewNotAllowed);
  Booking closed = Trade(buyer, provider);
  EXPECT_EQ(Write(Register(), closed.id(), 5).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Write(buyer, FormatId("bkg", Uuid::New()), 5).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(Write(buyer, closed.id(), 6).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(Write(buyer, closed.id(), 0).error().code, ErrorCode::kRequired);
}

TEST_F(CreditTest, GradesAndTiersMoveWithTheEvidence) {
  Uuid provider = Register();
  std::vector<Uuid> buyers;
  for (int i = 0; i < 4; ++i) {
    buyers.push_back(Register());
    Trade(buyers.back(), provider);
  }
  v1::RoleCredit graded = CreditOf(provider, v1::PROVIDER, Caller(provider));
  EXPECT_EQ(graded.grade(), "B");
  EXPECT_EQ(graded.tier(), 3);
  EXPECT_EQ(Events("risk_tier.changed"), 0);  // B and N are both tier 3
  for (const Uuid& buyer : buyers) {
    Booking booking = NewBooking(buyer, provider, 1'600'000);
    Tell("operations", "booking.confirmed", booking.id(), booking);
    WorkOrder order;
    order.set_id(FormatId("wo", Uuid::New()));
    order.set_booking_id(booking.id());
    order.set_buyer_id(booking.buyer_id());
    order.set_provider_id(booking.provider_id());
    Tell("operations", "work_order.rejected", order.id(), order);
    booking.set_canceled_by("provider");
    Tell("operations", "booking.canceled", booking.id(), booking);
  }
  v1::RoleCredit fallen = CreditOf(provider, v1::PROVIDER, Caller(provider));
  EXPECT_TRUE(fallen.grade() == "C" || fallen.grade() == "D") << fallen.grade();
  EXPECT_EQ(fallen.tier(), 4);
  EXPECT_EQ(Events("risk_tier.changed"), 1);
  ExpectRecomputes();
}

TEST_F(CreditTest, CancellationsAndNoShowsAreTheirPartys) {
  Uuid buyer = Register(), provider = Register();
  Booking unconfirmed = NewBooking(buyer, provider);
  unconfirmed.set_canceled_by("buyer");
  Tell("operations", "booking.canceled", unconfirmed.id(), unconfirmed);
  EXPECT_EQ(Number("SELECT count(*) FROM fact"), 0);
  Booking missed = NewBooking(buyer, provider);
  Tell("operations", "booking.confirmed", missed.id(), missed);
  Tell("operations", "booking.no_show", missed.id(), missed);
  EXPECT_EQ(
      Number("SELECT count(*) FROM fact WHERE organization = '" + buyer.Hex() + "' AND dimension = 4 AND good = 0"), 1);
  EXPECT_EQ(Number("SELECT count(*) FROM fact"), 1);
  EXPECT_LT(CreditOf(buyer, v1::BUYER, Caller(buyer)).score(), 6000);
  EXPECT_EQ(CreditOf(provider, v1::PROVIDER, Caller(provider)).score(), 6000);
}

TEST_F(CreditTest, SuspensionIsTierFourUntilReinstated) {
  Uuid organization = Register();
  identity::v1::Organization message;
  message.set_id(FormatId("org", organization));
  Tell("identity", "organization.suspended", message.id(), message);
  EXPECT_EQ(CreditOf(organization, v1::BUYER, Caller(organization)).tier(), 4);
  EXPECT_EQ(Events("risk_tier.changed"), 2);  // both roles
  Tell("identity", "organization.reinstated", message.id(), message);
  EXPECT_EQ(CreditOf(organization, v1::BUYER, Caller(organization)).tier(), 3);
  EXPECT_EQ(Events("risk_tier.changed"), 4);
  EXPECT_EQ(Number("SELECT max(tier_version) FROM credit"), 2);
}

TEST_F(CreditTest, IdleCreditIsStaleNotWorse) {
  Uuid buyer = Register(), provider = Register();
  Trade(buyer, provider);
  int score = CreditOf(provider, v1::PROVIDER, Caller(provider)).score();
  EXPECT_FALSE(CreditOf(provider, v1::PROVIDER, Caller(provider)).stale());
  Advance(hours(181 * 24));
  v1::RoleCredit later = CreditOf(provider, v1::PROVIDER, Caller(provider));
  EXPECT_TRUE(later.stale());
  EXPECT_EQ(later.score(), score);
}

}  // namespace
}  // namespace millrace::credit
