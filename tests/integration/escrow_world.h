// SPDX-License-Identifier: Apache-2.0
// Escrow and its bank on one loop: the service with PostgreSQL, the custodian sandbox over HTTP with a database of its
// own, the bank's notices arriving as the gateway hands them on, and the logs of credit and identity.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "common/http/http.h"
#include "common/postgres/migrate.h"
#include "millrace/credit/v1/risk_tier.pb.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "millrace/identity/v1/identity.pb.h"
#include "services/custodian_sandbox/custodian.h"
#include "services/escrow/module.h"
#include "tests/support/private_postgres.h"

namespace millrace::escrow {

using nlohmann::json;
using postgres::Params;
using postgres::Transaction;

inline const char kSecret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
inline const char kBankKey[] = "bank-key";

class EscrowWorld : public ::testing::Test {
 public:
  EscrowWorld()
      : url_(test::PrivatePostgres::Instance().NewDatabase(
            {{"credit", {}}, {"identity", {}}, {"escrow", Migrations()}})) {
    gateway_ = std::make_unique<http::Server>(context_.get_executor(), http::ServerOptions(),
                                              [this](http::Request r) { return Notice(std::move(r)); });
    std::string notices = "http://127.0.0.1:" + std::to_string(gateway_->Start().value_or(0)) + "/v1/custodian/notices";
    custodian::Options bank;
    bank.address = "127.0.0.1:0";
    bank.database_url = test::PrivatePostgres::Instance().NewDatabase();
    bank.key = kBankKey;
    bank.notice_url = notices;
    bank.notice_secret = kSecret;
    bank.account_number = "6217-1";
    bank_ = std::make_unique<custodian::Custodian>(context_.get_executor(), bank);
    Result<int> port = bank_->Start();
    EXPECT_TRUE(port);
    bank_url_ = "http://127.0.0.1:" + std::to_string(port.value_or(0));
    settings_.Set("database_url", url_, "test");
    settings_.Set("custodian_url", bank_url_, "test");
    settings_.Set("custodian_key", kBankKey, "test");
    settings_.Set("custodian_secret", kSecret, "test");
    settings_.Set("fee_basis_points", "300", "test");
    environment_.executor = context_.get_executor();
    environment_.settings = &settings_;
    environment_.wakeups = &wakeups_;
    environment_.channel = [this](std::string_view service) -> rpc::Channel& {
      return *channels_.at(std::string(service));
    };
    for (const char* name : {"credit", "identity"}) {
      cores_[name] = std::make_unique<runtime::ServiceCore>(name, environment_);
      channels_[name] = rpc::LocalChannel(cores_[name]->service());
      cores_[name]->Start();
    }
    StartModule();
    postgres::DatabaseOptions options;
    options.url = url_;
    options.schema = "escrow";
    options.connections = 1;
    admin_ = std::make_unique<postgres::Database>(options);
    options.role = "escrow_worker";
    worker_ = std::make_unique<postgres::Database>(options);
    options.role = "escrow_reader";
    reader_ = std::make_unique<postgres::Database>(options);
  }

  ~EscrowWorld() override {
    for (auto& module : modules_) module->Stop();
    for (auto& [name, core] : cores_) core->Stop();
    Wait(Stop());
    Wait(Rest(std::chrono::milliseconds(50)));
  }

  // One more escrow process on the same database.
  size_t StartModule() {
    modules_.push_back(MakeModule(environment_));
    channels_["escrow" + std::to_string(modules_.size())] = rpc::LocalChannel(modules_.back()->service());
    Result<void> started = Wait(modules_.back()->Start());
    EXPECT_TRUE(started);
    return modules_.size();
  }

  template <class T>
  T Wait(Task<T> task) {
    std::optional<T> value;
    Spawn(context_.get_executor(), Fill(std::move(task), &value), "test");
    context_.restart();
    while (!value) context_.run_one();
    return *std::move(value);
  }
  template <class T>
  static Task<void> Fill(Task<T> task, std::optional<T>* value) {
    T done = co_await std::move(task);
    value->emplace(std::move(done));
  }
  // Until `met`, or 15 s.
  bool Until(const std::function<bool()>& met) {
    Time end = WallNow() + std::chrono::seconds(15);
    while (WallNow() < end) {
      if (met()) return true;
      Wait(Rest(std::chrono::milliseconds(20)));
    }
    return met();
  }
  static Task<bool> Rest(std::chrono::milliseconds time) {
    co_await Sleep(time);
    co_return true;
  }

  CallContext As(const Uuid& organization, std::set<std::string> roles) {
    CallContext context;
    context.organization = organization;
    context.actor = "key_test";
    context.roles = std::move(roles);
    context.organization_verified = true;
    context.idempotency_key = "key-" + Uuid::New().Hex();
    return context;
  }
  CallContext AsBuyer() { return As(buyer_, {"buyer"}); }
  CallContext AsProvider() { return As(provider_, {"provider"}); }
  CallContext AsOperator() { return As(operator_, {"operator"}); }
  CallContext AsService() { return CallContext::ForService("operations"); }

  template <class Response, class Request>
  Task<Result<Response>> Send(const char* method, CallContext context, Request request, size_t module = 1) {
    context.deadline = WallNow() + std::chrono::seconds(30);
    std::string full = std::string("millrace.escrow.v1.EscrowService.") + method;
    rpc::Channel& channel = *channels_.at("escrow" + std::to_string(module));
    Result<Response> response = co_await rpc::Call<Response>(channel, full, std::move(context), std::move(request));
    co_return std::move(response);
  }
  template <class Response, class Request>
  Result<Response> Call(const char* method, CallContext context, Request request) {
    return Wait(Send<Response>(method, std::move(context), std::move(request)));
  }

  v1::HoldRequest HoldOf(const Uuid& booking, int64_t price, int64_t deposit = 0) {
    v1::HoldRequest request;
    request.set_booking_id(FormatId("bkg", booking));
    request.set_buyer_id(FormatId("org", buyer_));
    request.set_provider_id(FormatId("org", provider_));
    request.mutable_price()->set_amount(price);
    request.mutable_price()->set_currency("CNY");
    request.mutable_deposit()->set_amount(deposit);
    request.mutable_deposit()->set_currency("CNY");
    request.mutable_expire_time()->set_seconds(Micros(WallNow()) / 1'000'000 + 3600);
    return request;
  }
  Result<v1::Escrow> Hold(const Uuid& booking, int64_t price, int64_t deposit = 0) {
    return Call<v1::Escrow>("Hold", AsService(), HoldOf(booking, price, deposit));
  }
  Result<v1::Escrow> Void(const Uuid& booking, bool only_unfunded = false) {
    v1::VoidRequest request;
    request.set_booking_id(FormatId("bkg", booking));
    request.set_only_unfunded(only_unfunded);
    return Call<v1::Escrow>("Void", AsService(), request);
  }
  Result<v1::Escrow> Capture(const Uuid& booking, int64_t amount) {
    v1::CaptureRequest request;
    request.set_booking_id(FormatId("bkg", booking));
    request.mutable_amount()->set_amount(amount);
    request.mutable_amount()->set_currency("CNY");
    request.set_reason("acceptance");
    return Call<v1::Escrow>("Capture", AsService(), request);
  }
  Result<v1::Escrow> Get(const std::string& id, CallContext context) {
    v1::GetEscrowRequest request;
    request.set_id(id);
    return Call<v1::Escrow>("GetEscrow", std::move(context), request);
  }
  v1::Escrow Get(const std::string& id) { return Get(id, AsService()).value_or(v1::Escrow()); }
  v1::Balance Balance(CallContext context) {
    Result<v1::Balance> balance = Call<v1::Balance>("GetBalance", std::move(context), v1::GetBalanceRequest());
    EXPECT_TRUE(balance);
    return balance.value_or(v1::Balance());
  }
  int64_t Available() { return Balance(AsBuyer()).available().amount(); }
  v1::VerifyLedgerResponse Verify() {
    auto verified = Call<v1::VerifyLedgerResponse>("VerifyLedger", AsOperator(), v1::VerifyLedgerRequest());
    EXPECT_TRUE(verified);
    return verified.value_or(v1::VerifyLedgerResponse());
  }

  // The bank's outside world.
  json Bank(std::string method, std::string target, json body = nullptr) {
    http::Request request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.fields.Set("Authorization", std::string("Bearer ") + kBankKey);
    if (!body.is_null()) {
      request.fields.Set("Content-Type", "application/json");
      request.body = body.dump();
    }
    auto response = Wait(http::Fetch(bank_url_, std::move(request), std::chrono::seconds(5)));
    EXPECT_TRUE(response);
    return response ? json::parse(response->body, nullptr, false) : json();
  }
  std::string PayIn(int64_t amount, const std::string& reference) {
    json paid = Bank(
        "POST", "/sandbox/transfers",
        {{"amount", std::to_string(amount)}, {"currency", "CNY"}, {"reference", reference}, {"payer_name", "甲厂"}});
    return paid.value("id", "");
  }
  void Fund(int64_t amount) {
    int64_t before = Available();
    PayIn(amount, Balance(AsBuyer()).payment_reference());
    EXPECT_TRUE(Until([&] { return Available() == before + amount; })) << Available();
  }
  void Fault(const char* mode, int count) { Bank("POST", "/sandbox/faults", {{"mode", mode}, {"count", count}}); }

  // The gateway's part: a notice with its headers and raw body.
  Task<http::Response> Notice(http::Request request) {
    http::Response response;
    response.status = 503;
    if (deaf_) co_return std::move(response);
    Result<v1::CustodianNoticeResponse> taken = co_await Deliver(std::move(request));
    response.status = taken ? 200 : 401;
    co_return std::move(response);
  }
  Task<Result<v1::CustodianNoticeResponse>> Deliver(http::Request request) {
    json body = json::parse(request.body, nullptr, false);
    v1::CustodianNoticeRequest notice;
    notice.set_notice_id(body.value("notice_id", ""));
    notice.set_kind(body.value("kind", ""));
    notice.set_transfer_id(body.value("transfer_id", ""));
    CallContext context;
    for (const auto& [name, value] : request.fields.all()) {
      std::string lower = name;
      for (char& c : lower) c = static_cast<char>(std::tolower(c));
      context.headers[lower] = value;
    }
    context.raw_body = request.body;
    last_notice_ = request;
    Result<v1::CustodianNoticeResponse> taken =
        co_await Send<v1::CustodianNoticeResponse>("CustodianNotice", std::move(context), std::move(notice));
    co_return std::move(taken);
  }

  void Tell(const char* service, const std::string& type, const std::string& aggregate, int64_t version,
            const google::protobuf::Message& payload) {
    static const postgres::Statement kCredit = {
        "test_credit",
        "INSERT INTO credit.event (event_id, type, aggregate, aggregate_version, time, parties, payload_type, payload) "
        "VALUES (gen_random_uuid(), $1, $2, $3, now(), '{}', $4, $5)"};
    static const postgres::Statement kIdentity = {"test_identity",
                                                  "INSERT INTO identity.event (event_id, type, aggregate, "
                                                  "aggregate_version, time, parties, payload_type, payload) "
                                                  "VALUES (gen_random_uuid(), $1, $2, $3, now(), '{}', $4, $5)"};
    ASSERT_TRUE(admin_->RunHere([&](Transaction& tx) {
      tx.Execute(std::string_view(service) == "credit" ? kCredit : kIdentity,
                 Params()
                     .Text(type)
                     .Text(aggregate)
                     .Int(version)
                     .Text(payload.GetDescriptor()->full_name())
                     .Bytes(payload.SerializeAsString()));
    }));
  }
  void TellOrganization(const char* verb, int64_t version, identity::v1::Organization::State state) {
    identity::v1::Organization organization;
    organization.set_id(FormatId("org", provider_));
    organization.set_display_name("乙厂");
    organization.set_state(state);
    Tell("identity", std::string("organization.") + verb, organization.id(), version, organization);
  }

  void Advance(const std::string& interval) {
    ASSERT_TRUE(admin_->RunHere([&](Transaction& tx) {
      tx.ExecuteText("UPDATE runtime.clock SET test = true, ahead = ahead + interval '" + interval + "'");
    }));
  }
  int64_t Number(const std::string& sql) {
    int64_t number = -1;
    EXPECT_TRUE(admin_->RunHere([&](Transaction& tx) { number = tx.ExecuteText(sql)[0].Int(0); }));
    return number;
  }
  // How often the reader finds rows of `table` when `organization` asks.
  int64_t Visible(const std::string& table, const Uuid& organization) {
    int64_t rows = -1;
    EXPECT_TRUE(reader_->RunHere([&](Transaction& tx) {
      tx.ExecuteText("SELECT set_config('millrace.organization', '" + organization.Hex() +
                     "', true), set_config('millrace.roles', 'buyer', true)");
      rows = tx.ExecuteText("SELECT count(*) FROM " + table)[0].Int(0);
    }));
    return rows;
  }

  Uuid buyer_ = Uuid::New(), provider_ = Uuid::New(), operator_ = Uuid::New(), stranger_ = Uuid::New();
  boost::asio::io_context context_;
  std::string url_, bank_url_;
  bool deaf_ = false;
  http::Request last_notice_;
  runtime::Settings settings_;
  runtime::WakeupBus wakeups_;
  runtime::Environment environment_;
  std::unique_ptr<http::Server> gateway_;
  std::unique_ptr<custodian::Custodian> bank_;
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
  std::map<std::string, std::unique_ptr<runtime::ServiceCore>> cores_;
  std::vector<std::unique_ptr<runtime::Module>> modules_;
  std::unique_ptr<postgres::Database> admin_, worker_, reader_;

 private:
  Task<bool> Stop() {
    co_await bank_->Stop();
    co_await gateway_->Drain(std::chrono::milliseconds(500));
    co_return true;
  }
};

}  // namespace millrace::escrow
