// SPDX-License-Identifier: Apache-2.0
// A whole matching service over a private PostgreSQL; listing, operations and credit are cores with their own event
// logs, and answer snapshots with what the test tells them.
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "common/postgres/migrate.h"
#include "common/terms/terms.h"
#include "millrace/credit/v1/risk_tier.pb.h"
#include "millrace/listing/v1/listing.pb.h"
#include "millrace/matching/v1/matching.pb.h"
#include "millrace/operations/v1/operations.pb.h"
#include "millrace/runtime/v1/runtime.pb.h"
#include "services/matching/module.h"
#include "tests/support/private_postgres.h"

namespace millrace::matching {
namespace {

using listing::v1::Bookable;
using operations::v1::Booking;
using std::chrono::hours;

struct NoRows : postgres::WorkingSet {};
struct NoStore : postgres::Store<NoRows> {
  void Load(postgres::Transaction&, NoRows&) override {}
  void Save(postgres::Transaction&, NoRows&) override {}
};

template <class T>
std::string CodeOf(const Result<T>& result) {
  return result ? "OK" : std::string(Name(result.error().code));
}

class MatchingTest : public ::testing::Test {
 protected:
  MatchingTest()
      : url_(test::PrivatePostgres::Instance().NewDatabase(
            {{"matching", Migrations()}, {"listing", {}}, {"operations", {}}, {"credit", {}}})) {
    settings_.Set("database_url", url_, "test");
    environment_.executor = context_.get_executor();
    environment_.settings = &settings_;
    environment_.wakeups = &wakeups_;
    environment_.compute = &compute_;
    environment_.channel = [this](std::string_view service) -> rpc::Channel& {
      return *channels_.at(std::string(service));
    };
    for (const char* name : {"listing", "operations", "credit"}) {
      cores_[name] = std::make_unique<runtime::ServiceCore>(name, environment_);
      channels_[name] = rpc::LocalChannel(cores_[name]->service());
      writers_[name] =
          std::make_unique<postgres::Writer<NoRows>>(context_.get_executor(), cores_[name]->worker(), no_store_);
      runtime::ServiceCore* core = cores_[name].get();
      writers_[name]->OnCommit([core] { core->Committed(); });
    }
    ServeSnapshots();
    for (auto& [name, core] : cores_) core->Start();
    postgres::DatabaseOptions options;
    options.url = url_;
    options.schema = "matching";
    admin_ = std::make_unique<postgres::Database>(options);
    options.role = "matching_reader";
    reader_ = std::make_unique<postgres::Database>(options);
    StartModule();
    now_ = FromMicros(Number("SELECT runtime.micros(runtime.now())"));
  }
  ~MatchingTest() override {
    module_->Stop();
    for (auto& [name, core] : cores_) core->Stop();
    context_.restart();
    context_.run();
  }

  void StartModule() {
    module_ = MakeModule(environment_);
    channels_["matching"] = rpc::LocalChannel(module_->service());
    EXPECT_TRUE(Wait(module_->Start()));
  }

  void ServeSnapshots() {
    cores_["listing"]->service().On<listing::v1::SnapshotListingsRequest, listing::v1::SnapshotListingsResponse>(
        "millrace.listing.v1.ListingService.SnapshotListings",
        [this](CallContext,
               listing::v1::SnapshotListingsRequest request) -> Task<Result<listing::v1::SnapshotListingsResponse>> {
          // One entry a page: paging is walked too.
          listing::v1::SnapshotListingsResponse response;
          response.set_seq(snapshot_seq_);
          for (const auto& [id, bookable] : listings_) {
            if (id <= request.after_id()) continue;
            if (response.data_size() == 1) {
              response.set_more(true);
              break;
            }
            *response.add_data() = bookable;
          }
          co_return std::move(response);
        });
    cores_["operations"]
        ->service()
        .On<operations::v1::SnapshotReservationsRequest, operations::v1::SnapshotReservationsResponse>(
            "millrace.operations.v1.Operations.SnapshotReservations",
            [](CallContext, operations::v1::SnapshotReservationsRequest)
                -> Task<Result<operations::v1::SnapshotReservationsResponse>> {
              operations::v1::SnapshotReservationsResponse response;
              response.set_seq(0);
              co_return std::move(response);
            });
  }

  template <class T>
  static Task<void> Fill(Task<T> task, std::optional<T>* value) {
    value->emplace(co_await std::move(task));
  }
  template <class T>
  T Wait(Task<T> task) {
    std::optional<T> value;
    Spawn(context_.get_executor(), Fill(std::move(task), &value), "test");
    context_.restart();
    while (!value) context_.run_one();
    return *std::move(value);
  }
  template <class F>
  bool Until(F done) {
    for (Time end = WallNow() + std::chrono::seconds(20); WallNow() < end;) {
      if (done()) return true;
      context_.restart();
      context_.run_for(std::chrono::milliseconds(20));
    }
    return false;
  }
  template <class Response, class Request>
  Result<Response> Call(const std::string& method, CallContext context, Request request) {
    context.deadline = WallNow() + std::chrono::seconds(60);
    std::string name = method.find('.') == std::string::npos ? "millrace.matching.v1.Matching." + method : method;
    return Wait(rpc::Call<Response>(*channels_.at("matching"), name, std::move(context), std::move(request)));
  }

  static CallContext Caller(const Uuid& organization, std::string key = {}) {
    CallContext context;
    context.organization = organization;
    context.actor = "key_test";
    context.roles = {"buyer", "provider"};
    context.organization_verified = true;
    context.idempotency_key = key.empty() ? "key-" + Uuid::New().Hex() : std::move(key);
    return context;
  }
  CallContext Buyer(const std::string& key = {}) { return Caller(buyer_, key); }
  CallContext Stranger() { return Caller(stranger_); }

  template <class Payload>
  void Announce(const std::string& source, const std::string& type, const std::string& aggregate,
                const Payload& payload) {
    postgres::Command<NoRows> command;
    command.decide = [&](NoRows& set) -> Result<std::string> {
      set.events.push_back({type,
                            aggregate,
                            ++versions_[aggregate],
                            {},
                            Payload::descriptor()->full_name(),
                            payload.SerializeAsString()});
      return std::string();
    };
    ASSERT_TRUE(Wait(writers_.at(source)->Submit(std::move(command))));
  }

  // A listing open round the clock at 100 CNY an hour.
  Bookable MakeBookable(const std::string& process = "separating.milling.five_axis") {
    Bookable bookable;
    listing::v1::Listing& listing = *bookable.mutable_listing();
    listing.set_id(FormatId("lst", Uuid::New()));
    listing.set_resource_id(FormatId("res", Uuid::New()));
    listing.set_organization_id(FormatId("org", provider_));
    listing.set_state(listing::v1::Listing::PUBLISHED);
    listing.set_version(1);
    listing.mutable_capability()->add_processes(process);
    listing.mutable_capability()->add_materials("aluminium");
    listing.mutable_capability()->set_tolerance_um(10);
    listing.mutable_calendar()->set_time_zone("Asia/Shanghai");
    for (int day = 1; day <= 7; ++day) {
      auto* rule = listing.mutable_calendar()->add_weekly();
      rule->set_weekday(day);
      rule->set_end_minute(1440);
    }
    listing.mutable_price_plan()->set_currency("CNY");
    listing.mutable_price_plan()->set_unit(listing::v1::PricePlan::HOUR);
    listing.mutable_price_plan()->add_steps()->set_unit_price(10000);
    listing.mutable_price_plan()->set_vat_basis_points(1300);
    bookable.mutable_resource()->set_id(listing.resource_id());
    bookable.mutable_resource()->mutable_display_name()->set_zh("五轴加工中心");
    bookable.mutable_resource()->set_kind(listing::v1::Resource::EQUIPMENT);
    return bookable;
  }
  void Publish(const Bookable& bookable, const std::string& type = "listing.published") {
    listings_[bookable.listing().id()] = bookable;
    Announce("listing", type, bookable.listing().id(), bookable);
  }

  v1::Demand MakeDemand() {
    v1::Demand demand;
    demand.set_title("铝支架加工");
    demand.set_text("需要五轴加工 6061 铝合金支架 200 件，公差 0.02 mm，10月10日前，预算 8000 元");
    v1::Requirement& requirement = *demand.mutable_requirement();
    requirement.set_tolerance_um(20);
    requirement.set_duration_minutes(120);
    terms::FromInterval({now_ + hours(24), now_ + hours(24 * 5)}, requirement.mutable_window());
    requirement.mutable_budget()->set_amount(800000);
    requirement.mutable_budget()->set_currency("CNY");
    return demand;
  }
  Result<v1::Demand> Create(CallContext context, v1::Demand demand) {
    v1::CreateDemandRequest request;
    *request.mutable_demand() = std::move(demand);
    return Call<v1::Demand>("CreateDemand", std::move(context), std::move(request));
  }
  Result<v1::Demand> Act(const std::string& method, CallContext context, const std::string& id) {
    v1::DemandVerbRequest request;
    request.set_id(id);
    return Call<v1::Demand>(method, std::move(context), std::move(request));
  }
  Result<v1::Demand> Get(CallContext context, const std::string& id) {
    v1::GetDemandRequest request;
    request.set_id(id);
    return Call<v1::Demand>("GetDemand", std::move(context), std::move(request));
  }
  Result<v1::MatchDemandResponse> Match(CallContext context, const std::string& id) {
    v1::MatchDemandRequest request;
    request.set_id(id);
    return Call<v1::MatchDemandResponse>("MatchDemand", std::move(context), std::move(request));
  }
  Booking MakeBooking(const Bookable& bookable, const v1::Demand& demand, Interval blocked, int64_t version = 1) {
    Booking booking;
    booking.set_id(FormatId("bkg", Uuid::New()));
    booking.set_buyer_id(FormatId("org", buyer_));
    booking.set_demand_id(demand.id());
    booking.set_version(version);
    auto* leg = booking.add_reservations();
    leg->set_resource_id(bookable.resource().id());
    leg->set_units(1);
    terms::FromInterval(blocked, leg->mutable_blocked_window());
    return booking;
  }

  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    EXPECT_TRUE(admin_->RunHere([&](postgres::Transaction& tx) { number = tx.ExecuteText(sql)[0].Int(0); }));
    return number;
  }

  std::string url_;
  boost::asio::io_context context_;
  ThreadPool compute_{1, "compute"};
  runtime::Settings settings_;
  runtime::WakeupBus wakeups_;
  runtime::Environment environment_;
  NoStore no_store_;
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::map<std::string, std::unique_ptr<runtime::ServiceCore>> cores_;
  std::map<std::string, std::unique_ptr<postgres::Writer<NoRows>>> writers_;
  std::unique_ptr<postgres::Database> admin_, reader_;
  std::unique_ptr<runtime::Module> module_, retired_;
  std::map<std::string, Bookable> listings_;
  std::map<std::string, int64_t> versions_;
  int64_t snapshot_seq_ = 0;
  Uuid buyer_ = Uuid::New(), stranger_ = Uuid::New(), provider_ = Uuid::New();
  Time now_;
};

TEST_F(MatchingTest, ADemandLivesFromDraftToWithdrawn) {
  v1::Demand wanted = MakeDemand();
  wanted.set_draft(true);
  wanted.set_external_id("RFQ-1");
  CallContext context = Buyer("create-once-1");
  auto reply = context.reply;
  auto draft = Create(context, wanted);
  ASSERT_TRUE(draft) << CodeOf(draft) << draft.error().cause;
  EXPECT_EQ(draft->state(), v1::Demand::DRAFT);
  EXPECT_EQ(reply->etag, "1");
  EXPECT_EQ(draft->actions_size(), 3);  // publish, withdraw, and expire by itself
  ASSERT_GT(draft->understood().processes_size(), 0);
  EXPECT_EQ(draft->understood().processes(0).code(), "separating.milling.five_axis");
  ASSERT_GT(draft->understood().materials_size(), 0);
  EXPECT_EQ(draft->understood().materials(0).code(), "aluminium");
  auto replay = Create(Buyer("create-once-1"), wanted);
  ASSERT_TRUE(replay);
  EXPECT_EQ(replay->SerializeAsString(), draft->SerializeAsString());
  EXPECT_EQ(CodeOf(Create(Buyer(), wanted)), "ALREADY_EXISTS");

  EXPECT_EQ(CodeOf(Get(Stranger(), draft->id())), "NOT_FOUND");
  EXPECT_EQ(CodeOf(Act("PublishDemand", Stranger(), draft->id())), "NOT_FOUND");
  EXPECT_EQ(CodeOf(Match(Stranger(), draft->id())), "NOT_FOUND");
  auto open = Act("PublishDemand", Buyer(), draft->id());
  ASSERT_TRUE(open) << CodeOf(open);
  EXPECT_EQ(open->state(), v1::Demand::OPEN);
  EXPECT_EQ(CodeOf(Act("PublishDemand", Buyer(), draft->id())), "STATE_CONFLICT");
  EXPECT_EQ(Act("WithdrawDemand", Buyer(), draft->id())->state(), v1::Demand::WITHDRAWN);
  EXPECT_EQ(CodeOf(Act("WithdrawDemand", Buyer(), draft->id())), "STATE_CONFLICT");
  EXPECT_EQ(Get(Buyer(), draft->id())->etag(), "3");
  EXPECT_EQ(
      Number("SELECT count(*) FROM event WHERE type IN ('demand.created', 'demand.published', 'demand.withdrawn')"), 3);
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 0);

  v1::ListDemandsRequest list;
  list.set_state(v1::Demand::WITHDRAWN);
  EXPECT_EQ(Call<v1::ListDemandsResponse>("ListDemands", Buyer(), list)->data_size(), 1);
  EXPECT_EQ(Call<v1::ListDemandsResponse>("ListDemands", Stranger(), list)->data_size(), 0);
}

TEST_F(MatchingTest, RefusesWhatIsWrong) {
  v1::Demand wrong = MakeDemand();
  wrong.mutable_requirement()->add_processes("separating.wishing");
  EXPECT_EQ(CodeOf(Create(Buyer(), wrong)), "UNKNOWN_PROCESS");
  wrong = MakeDemand();
  wrong.mutable_requirement()->add_materials("unobtainium");
  EXPECT_EQ(CodeOf(Create(Buyer(), wrong)), "UNKNOWN_MATERIAL");
  wrong = MakeDemand();
  wrong.mutable_requirement()->set_duration_minutes(60 * 24 * 30);
  EXPECT_EQ(CodeOf(Create(Buyer(), wrong)), "OUT_OF_RANGE");
  wrong = MakeDemand();
  terms::FromInterval({now_ - hours(50), now_ - hours(10)}, wrong.mutable_requirement()->mutable_window());
  EXPECT_EQ(CodeOf(Create(Buyer(), wrong)), "WINDOW_IN_PAST");
  terms::FromInterval({now_ + hours(50), now_ + hours(10)}, wrong.mutable_requirement()->mutable_window());
  EXPECT_EQ(CodeOf(Create(Buyer(), wrong)), "END_BEFORE_START");
  terms::FromInterval({now_ + hours(50), Time(std::chrono::sys_days(std::chrono::year(9999) / 12 / 31))},
                      wrong.mutable_requirement()->mutable_window());
  EXPECT_EQ(CodeOf(Create(Buyer(), wrong)), "OUT_OF_RANGE");
  wrong = MakeDemand();
  wrong.mutable_requirement()->set_max_distance_km(50);
  EXPECT_EQ(CodeOf(Create(Buyer(), wrong)), "REQUIRED");
  EXPECT_EQ(Number("SELECT count(*) FROM demand"), 0);
}

TEST_F(MatchingTest, RowSecurityShowsADemandToItsBuyerAlone) {
  std::string id = Create(Buyer(), MakeDemand())->id();
  auto seen = [&](const Uuid& asking, const std::string& roles) {
    int64_t rows = -1;
    EXPECT_TRUE(reader_->RunHere([&](postgres::Transaction& tx) {
      tx.ExecuteText("SELECT set_config('millrace.organization', '" + asking.Hex() +
                     "', true), set_config('millrace.roles', '" + roles + "', true)");
      rows = tx.ExecuteText("SELECT count(*) FROM demand")[0].Int(0);
    }));
    return rows;
  };
  EXPECT_EQ(seen(buyer_, "buyer"), 1);
  EXPECT_EQ(seen(stranger_, "buyer,provider"), 0);
  EXPECT_EQ(seen(stranger_, "operator"), 1);
  EXPECT_FALSE(
      reader_->RunHere([](postgres::Transaction& tx) { tx.ExecuteText("SELECT count(*) FROM provider_tier"); }));
  EXPECT_FALSE(reader_->RunHere([](postgres::Transaction& tx) { tx.ExecuteText("UPDATE demand SET state = 1"); }));
}

TEST_F(MatchingTest, ExpiresAtItsDeadline) {
  v1::Demand wanted = MakeDemand();
  std::string open = Create(Buyer(), wanted)->id();
  wanted.set_draft(true);
  std::string draft = Create(Buyer(), wanted)->id();
  ASSERT_TRUE(admin_->RunHere(
      [](postgres::Transaction& tx) { tx.ExecuteText("UPDATE runtime.clock SET test = true, ahead = '6 days'"); }));
  auto fired = Call<runtime::v1::FireResponse>("millrace.runtime.v1.Runtime.Fire", CallContext::ForService("identity"),
                                               runtime::v1::FireRequest());
  ASSERT_TRUE(fired);
  ASSERT_TRUE(Until([&] { return Get(Buyer(), open)->state() == v1::Demand::EXPIRED; }));
  ASSERT_TRUE(Until([&] { return Get(Buyer(), draft)->state() == v1::Demand::EXPIRED; }));
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 0);
}

TEST_F(MatchingTest, MatchesFollowListingsBookingsAndTiers) {
  v1::Demand demand = *Create(Buyer(), MakeDemand());
  // A match waits a moment for what was committed before; a busy machine may take longer than that.
  Result<v1::MatchDemandResponse> found = v1::MatchDemandResponse();
  auto comes = [&](auto&& holds) {
    return Until([&] {
      found = Match(Buyer(), demand.id());
      return found && holds(*found);
    });
  };
  ASSERT_TRUE(comes([](const auto& answer) { return answer.match_count() == 0; }));
  Bookable bookable = MakeBookable();
  Publish(bookable);
  ASSERT_TRUE(comes([](const auto& answer) { return answer.matches_size() == 1; }));
  v1::Match match = found->matches(0);
  EXPECT_EQ(match.listing_id(), bookable.listing().id());
  EXPECT_EQ(match.display_name().zh(), "五轴加工中心");
  EXPECT_EQ(match.price().total().amount(), 22600);
  int64_t sum = 0;
  for (const auto& part : match.parts()) sum += part.contribution_ppm();
  EXPECT_EQ(sum, match.score_ppm());
  EXPECT_GT(found->positions().at("listing"), 0);
  Interval first = terms::ToInterval(match.window());
  EXPECT_EQ(first.Length(), hours(2));

  // A booking takes the window; the next free one is offered.
  auto start = [](const v1::MatchDemandResponse& answer) {
    return terms::ToInterval(answer.matches(0).window()).start;
  };
  Booking booking = MakeBooking(bookable, v1::Demand(), first);
  Announce("operations", "booking.held", booking.id(), booking);
  ASSERT_TRUE(comes([&](const auto& answer) { return start(answer) >= first.end; }));
  booking.set_version(2);
  booking.mutable_reservations(0)->mutable_release_time()->set_seconds(1);
  Announce("operations", "booking.expired", booking.id(), booking);
  ASSERT_TRUE(comes([&](const auto& answer) { return start(answer) == first.start; }));

  // Credit moves the score, the provider's own demand does not see it, a coarser tolerance is said to be missing.
  int64_t score = found->matches(0).score_ppm();
  credit::v1::RiskTier tier;
  tier.set_organization_id(FormatId("org", provider_));
  tier.set_role(credit::v1::PROVIDER);
  tier.set_tier(1);
  tier.set_version(1);
  Announce("credit", "risk_tier.changed", tier.organization_id() + "/provider", tier);
  ASSERT_TRUE(comes([&](const auto& answer) { return answer.matches(0).score_ppm() > score + 50000; }));
  std::string own = Create(Caller(provider_), MakeDemand())->id();
  EXPECT_EQ(Match(Caller(provider_), own)->considered(), 0);
  bookable.mutable_listing()->mutable_capability()->set_tolerance_um(50);
  bookable.mutable_listing()->set_version(2);
  Publish(bookable, "listing.updated");
  ASSERT_TRUE(comes([](const auto& answer) { return answer.match_count() == 0; }));
  ASSERT_EQ(found->misses_size(), 1);
  EXPECT_EQ(found->misses(0).failed(0).constraint(), v1::TOLERANCE);
  ASSERT_EQ(found->relaxations_size(), 1);
  EXPECT_EQ(found->relaxations(0).to(), "0.05 mm");
  EXPECT_EQ(found->relaxations(0).adds(), 1);
  bookable.mutable_listing()->set_state(listing::v1::Listing::PAUSED);
  bookable.mutable_listing()->set_version(3);
  Publish(bookable, "listing.paused");
  ASSERT_TRUE(comes([](const auto& answer) { return answer.considered() == 0; }));
}

TEST_F(MatchingTest, ABookingAwardsReopensAndFulfils) {
  v1::Demand demand = *Create(Buyer(), MakeDemand());
  Bookable bookable = MakeBookable();
  Interval window{now_ + hours(30), now_ + hours(32)};
  auto state = [&] { return Get(Buyer(), demand.id())->state(); };
  Booking foreign = MakeBooking(bookable, demand, window);
  foreign.set_buyer_id(FormatId("org", stranger_));
  Announce("operations", "booking.closed", foreign.id(), foreign);
  Booking first = MakeBooking(bookable, demand, window);
  Announce("operations", "booking.held", first.id(), first);
  ASSERT_TRUE(Until([&] { return state() == v1::Demand::AWARDED; }));
  EXPECT_EQ(Get(Buyer(), demand.id())->booking_id(), first.id());
  EXPECT_EQ(CodeOf(Act("WithdrawDemand", Buyer(), demand.id())), "STATE_CONFLICT");
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 0);
  Announce("operations", "booking.expired", first.id(), first);
  ASSERT_TRUE(Until([&] { return state() == v1::Demand::OPEN; }));
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 1);
  Booking broken = MakeBooking(bookable, demand, window);
  Announce("operations", "booking.confirmed", broken.id(), broken);
  ASSERT_TRUE(Until([&] { return state() == v1::Demand::AWARDED; }));
  Announce("operations", "booking.interrupted", broken.id(), broken);
  ASSERT_TRUE(Until([&] { return state() == v1::Demand::OPEN; }));
  Booking second = MakeBooking(bookable, demand, window);
  Announce("operations", "booking.confirmed", second.id(), second);
  ASSERT_TRUE(Until([&] { return state() == v1::Demand::AWARDED; }));
  Announce("operations", "booking.closed", second.id(), second);
  ASSERT_TRUE(Until([&] { return state() == v1::Demand::FULFILLED; }));
  EXPECT_EQ(Number("SELECT count(*) FROM task"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM parked_event"), 0);
}

TEST_F(MatchingTest, RebuildsFromTheSnapshotAfterAStart) {
  v1::Demand demand = *Create(Buyer(), MakeDemand());
  for (int i = 0; i < 3; ++i) Publish(MakeBookable());
  Bookable other = MakeBookable("separating.turning");
  Publish(other);
  ASSERT_TRUE(Until([&] {
    auto before = Match(Buyer(), demand.id());
    return before && before->match_count() == 3;
  }));
  module_->Stop();
  context_.restart();
  context_.run_for(std::chrono::milliseconds(50));
  snapshot_seq_ = Number("SELECT head FROM listing.event_log");
  ASSERT_GT(snapshot_seq_, 0);
  std::unique_ptr<runtime::Module> old = std::move(module_);
  StartModule();
  Result<v1::MatchDemandResponse> after = Match(Buyer(), demand.id());
  ASSERT_TRUE(Until([&] {
    after = Match(Buyer(), demand.id());
    return after.has_value();
  }));
  EXPECT_EQ(after->match_count(), 3);
  EXPECT_EQ(after->positions().at("listing"), snapshot_seq_);
  retired_ = std::move(old);
}

}  // namespace
}  // namespace millrace::matching
