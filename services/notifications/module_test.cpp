// SPDX-License-Identifier: Apache-2.0
// The module between real RPCs: a source's log comes in by EventLog.ListEvents, a caller's calls go through the
// dispatcher.
#include "services/notifications/module.h"

#include <gtest/gtest.h>

#include "common/postgres/migrate.h"
#include "common/postgres/writer.h"
#include "common/rpc/channel.h"
#include "millrace/identity/v1/identity.pb.h"
#include "millrace/notifications/v1/notifications.pb.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::notifications {
namespace {

struct Nothing : postgres::WorkingSet {};
struct NothingStore : postgres::Store<Nothing> {
  void Load(postgres::Transaction&, Nothing&) override {}
  void Save(postgres::Transaction&, Nothing&) override {}
};

class ModuleTest : public ::testing::Test {
 protected:
  ModuleTest() {
    std::string url =
        test::PrivatePostgres::Instance().NewDatabase({{"notifications", Migrations()}, {"identity", {}}});
    settings_.Set("database_url", url, "test");
    environment_.executor = loop_.executor();
    environment_.settings = &settings_;
    environment_.wakeups = &wakeups_;
    // Identity is there; of the others nothing answers.
    environment_.channel = [this](std::string_view service) -> rpc::Channel& {
      return service == "identity" ? *identity_channel_ : *absent_channel_;
    };
    identity_ = std::make_unique<runtime::ServiceCore>("identity", environment_);
    identity_channel_ = rpc::LocalChannel(identity_->service());
    absent_channel_ = rpc::LocalChannel(absent_);
    writer_ = std::make_unique<postgres::Writer<Nothing>>(loop_.executor(), identity_->worker(), store_);
    writer_->OnCommit([this] { identity_->Committed(); });
    identity_->Start();
    module_ = MakeModule(environment_);
    channel_ = rpc::LocalChannel(module_->service());
    bool started = false;
    loop_.Start(StartTask(*module_, &started));
    loop_.RunUntil([&] { return started; });
  }
  ~ModuleTest() override {
    module_->Stop();
    identity_->Stop();
    loop_.Run();
  }
  static Task<void> StartTask(runtime::Module& module, bool* started) {
    Result<void> done = co_await module.Start();
    EXPECT_TRUE(done) << done.error().cause;
    *started = true;
  }

  static Task<void> LogTask(postgres::Writer<Nothing>& writer, postgres::Command<Nothing> command) {
    Result<postgres::Outcome> outcome = co_await writer.Submit(std::move(command));
    EXPECT_TRUE(outcome) << outcome.error().cause;
  }
  void LogVerified(Uuid organization) {
    postgres::Command<Nothing> command;
    command.decide = [organization](Nothing& set) -> Result<std::string> {
      identity::v1::Organization payload;
      payload.set_id(FormatId("org", organization));
      set.events.push_back({"organization.verified",
                            payload.id(),
                            2,
                            {organization},
                            "millrace.identity.v1.Organization",
                            payload.SerializeAsString()});
      return std::string();
    };
    loop_.Start(LogTask(*writer_, std::move(command)));
  }

  template <class Response, class Request>
  static Task<void> CallTask(rpc::Channel& channel, std::string method, CallContext context, Request request,
                             std::optional<Result<Response>>* out) {
    Result<Response> response = co_await rpc::Call<Response>(
        channel, "millrace.notifications.v1.Notifications." + method, std::move(context), std::move(request));
    out->emplace(std::move(response));
  }
  template <class Response, class Request>
  Result<Response> Call(std::string method, CallContext context, Request request) {
    std::optional<Result<Response>> out;
    loop_.Start(CallTask(*channel_, std::move(method), std::move(context), std::move(request), &out));
    loop_.RunUntil([&] { return out.has_value(); });
    return *std::move(out);
  }
  static CallContext As(Uuid organization) {
    CallContext context;
    context.organization = organization;
    context.actor = FormatId("key", organization);
    context.roles = {"buyer"};
    return context;
  }

  test::Loop loop_;
  runtime::Settings settings_;
  runtime::WakeupBus wakeups_;
  runtime::Environment environment_;
  rpc::Service absent_{"absent"};
  std::unique_ptr<rpc::Channel> identity_channel_, absent_channel_, channel_;
  std::unique_ptr<runtime::ServiceCore> identity_;
  NothingStore store_;
  std::unique_ptr<postgres::Writer<Nothing>> writer_;
  std::unique_ptr<runtime::Module> module_;
};

TEST_F(ModuleTest, AFactOfAnotherServiceReachesItsPartyThatWaits) {
  Uuid organization = Uuid::New();
  v1::WaitFeedRequest wait;
  wait.set_after_seq(0);
  wait.set_wait_ms(15000);
  std::optional<Result<v1::WaitFeedResponse>> heard;
  loop_.Start(CallTask(*channel_, "WaitFeed", As(organization), wait, &heard));
  LogVerified(organization);
  loop_.RunUntil([&] { return heard.has_value(); });
  ASSERT_TRUE(*heard) << heard->error().cause;
  ASSERT_EQ((*heard)->events_size(), 1);
  EXPECT_EQ((*heard)->events(0).type(), "organization.verified");
  EXPECT_EQ((*heard)->events(0).subject(), "organizations/" + FormatId("org", organization));

  v1::GetEventRequest get;
  get.set_id((*heard)->events(0).id());
  auto got = Call<v1::FeedEvent>("GetEvent", As(organization), get);
  ASSERT_TRUE(got);
  identity::v1::Organization payload;
  EXPECT_TRUE(got->data().UnpackTo(&payload));
  EXPECT_FALSE(Call<v1::FeedEvent>("GetEvent", As(Uuid::New()), get));
}

TEST_F(ModuleTest, NobodyWithoutAKeyReadsOrWaits) {
  auto listed = Call<v1::ListEventsResponse>("ListEvents", CallContext(), v1::ListEventsRequest());
  auto waited = Call<v1::WaitFeedResponse>("WaitFeed", CallContext(), v1::WaitFeedRequest());
  ASSERT_TRUE(!listed && !waited);
  EXPECT_EQ(listed.error().code, ErrorCode::kUnauthenticated);
  EXPECT_EQ(waited.error().code, ErrorCode::kUnauthenticated);
  v1::WaitFeedRequest greedy;
  greedy.set_wait_ms(15001);
  EXPECT_FALSE(Call<v1::WaitFeedResponse>("WaitFeed", As(Uuid::New()), greedy));
}

}  // namespace
}  // namespace millrace::notifications
