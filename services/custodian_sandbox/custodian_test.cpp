// SPDX-License-Identifier: Apache-2.0
// The bank over HTTP, as its customer and the world see it.
#include "services/custodian_sandbox/custodian.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "common/crypto/crypto.h"
#include "tests/support/loop.h"
#include "tests/support/private_postgres.h"

namespace millrace::custodian {
namespace {

using nlohmann::json;

const char kKey[] = "bank-key";
const char kSecret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Answer {
  int status = 0;  // 0: none
  json body;
};

// Where notices arrive; answers what it is told to.
class Receiver {
 public:
  explicit Receiver(Executor executor)
      : server_(executor, http::ServerOptions(), [this](http::Request request) { return Take(std::move(request)); }) {
    Result<int> port = server_.Start();
    EXPECT_TRUE(port);
    url = "http://127.0.0.1:" + std::to_string(port.value_or(0)) + "/v1/custodian/notices";
  }
  Task<http::Response> Take(http::Request request) {
    got.push_back(std::move(request));
    http::Response response;
    response.status = static_cast<int>(got.size()) <= failures ? 500 : 204;
    co_return std::move(response);
  }
  std::string url;
  int failures = 0;
  std::vector<http::Request> got;

 private:
  http::Server server_;
};

class CustodianTest : public ::testing::Test {
 protected:
  CustodianTest() : receiver_(loop_.executor()) {
    options_.address = "127.0.0.1:0";
    options_.database_url = test::PrivatePostgres::Instance().NewDatabase();
    options_.key = kKey;
    options_.notice_url = receiver_.url;
    options_.notice_secret = kSecret;
    options_.account_number = "6217-1";
    Open();
  }
  ~CustodianTest() override { Close(); }
  void Open() {
    bank_ = std::make_unique<Custodian>(loop_.executor(), options_);
    Result<int> port = bank_->Start();
    ASSERT_TRUE(port) << port.error().cause;
    base_ = "http://127.0.0.1:" + std::to_string(*port);
  }
  void Close() {
    if (!bank_) return;
    bool stopped = false;
    loop_.Start(StopTask(*bank_, &stopped));
    loop_.RunUntil([&] { return stopped; });
    EXPECT_TRUE(stopped);
    bank_.reset();
  }
  static Task<void> StopTask(Custodian& bank, bool* stopped) {
    co_await bank.Stop();
    *stopped = true;
  }

  static Task<void> FetchTask(std::string base, http::Request request, std::chrono::milliseconds within, bool* done,
                              Answer* out) {
    Result<http::Response> response = co_await http::Fetch(std::move(base), std::move(request), within);
    if (response) {
      out->status = response->status;
      out->body = json::parse(response->body, nullptr, false);
    }
    *done = true;
  }
  Answer Call(std::string method, std::string target, std::string body = "", std::string key = kKey,
              std::chrono::milliseconds within = std::chrono::seconds(5)) {
    http::Request request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.body = std::move(body);
    if (!key.empty()) request.fields.Set("Authorization", "Bearer " + key);
    if (!request.body.empty()) request.fields.Set("Content-Type", "application/json");
    bool done = false;
    Answer answer;
    loop_.Start(FetchTask(base_, std::move(request), within, &done, &answer));
    loop_.RunUntil([&] { return done; });
    return answer;
  }
  Answer Get(std::string target) { return Call("GET", std::move(target)); }
  Answer Post(std::string target, const json& body) { return Call("POST", std::move(target), body.dump()); }

  Answer Transfer(const std::string& amount, const std::string& reference = "MR1") {
    return Post("/sandbox/transfers",
                {{"amount", amount}, {"currency", "CNY"}, {"reference", reference}, {"payer_name", "甲厂"}});
  }
  static json Instruction(const std::string& id, const std::string& amount, const std::string& account = "6222-9") {
    return {{"id", id},
            {"amount", amount},
            {"currency", "CNY"},
            {"beneficiary_name", "乙厂"},
            {"beneficiary_account", account},
            {"purpose", "release"}};
  }
  std::string Balance() { return Get("/v1/account").body.value("balance", "?"); }
  bool Until(std::function<bool()> met, int seconds = 15) {
    bool done = false, result = false;
    loop_.Start(Poll(std::move(met), seconds, &done, &result));
    loop_.RunUntil([&] { return done; });
    return result;
  }
  static Task<void> Poll(std::function<bool()> met, int seconds, bool* done, bool* result) {
    for (int i = 0; i < seconds * 50 && !met(); ++i) co_await Sleep(std::chrono::milliseconds(20));
    *result = met();
    *done = true;
  }

  test::Loop loop_;
  Receiver receiver_;
  Options options_;
  std::unique_ptr<Custodian> bank_;
  std::string base_;
};

TEST_F(CustodianTest, OnlyTheKeyOpensIt) {
  for (std::string key : {"", "wrong", "bank-keyy", "bank-ke"}) {
    Answer answer = Call("GET", "/v1/account", "", key);
    EXPECT_EQ(answer.status, 401);
    EXPECT_EQ(answer.body["code"], "UNAUTHENTICATED");
    EXPECT_EQ(Call("POST", "/sandbox/transfers", "{}", key).status, 401);
  }
  Answer answer = Get("/v1/account");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, json({{"account_number", "6217-1"}, {"currency", "CNY"}, {"balance", "0"}}));
}

TEST_F(CustodianTest, MoneyArrivesAndIsReadByCursor) {
  for (int i = 1; i <= 5; ++i) {
    Answer arrived = Transfer(std::to_string(i * 100), "MR" + std::to_string(i));
    ASSERT_EQ(arrived.status, 201) << arrived.body;
    EXPECT_EQ(arrived.body["cursor"], i);
    EXPECT_TRUE(IsId("cpi", arrived.body["id"].get<std::string>()));
    Answer again = Get("/v1/pay_ins/" + arrived.body["id"].get<std::string>());
    EXPECT_EQ(again.body, arrived.body);
    EXPECT_TRUE(arrived.body["value_time"].get<std::string>().ends_with("Z"));
  }
  EXPECT_EQ(Balance(), "1500");
  Answer page = Get("/v1/pay_ins?after=0&limit=2");
  ASSERT_EQ(page.body["data"].size(), 2u);
  EXPECT_EQ(page.body["next_after"], 2);
  EXPECT_EQ(page.body["data"][1]["reference"], "MR2");
  EXPECT_EQ(page.body["data"][1]["payer_name"], "甲厂");
  page = Get("/v1/pay_ins?after=4");
  ASSERT_EQ(page.body["data"].size(), 1u);
  EXPECT_EQ(page.body["data"][0]["amount"], "500");
  page = Get("/v1/pay_ins?after=5");
  EXPECT_TRUE(page.body["data"].empty());
  EXPECT_EQ(page.body["next_after"], 5);
  for (std::string bad : {"after=x", "after=-1", "limit=0", "limit=", "page=1", "after=99999999999999999999"}) {
    EXPECT_EQ(Get("/v1/pay_ins?" + bad).status, 400) << bad;
  }
  EXPECT_EQ(Get("/v1/pay_ins/" + FormatId("cpi", Uuid::New())).status, 404);
  EXPECT_EQ(Get("/v1/pay_ins/nonsense").status, 404);
}

TEST_F(CustodianTest, TheSameInstructionPaysOnce) {
  Transfer("1000");
  Answer first = Post("/v1/pay_outs", Instruction("ins_1", "300"));
  ASSERT_EQ(first.status, 201) << first.body;
  EXPECT_EQ(first.body["state"], "DONE");
  Answer second = Post("/v1/pay_outs", Instruction("ins_1", "300"));
  EXPECT_EQ(second.status, 200);
  EXPECT_EQ(second.body, first.body);
  EXPECT_EQ(Get("/v1/pay_outs/ins_1").body, first.body);
  Answer other = Post("/v1/pay_outs", Instruction("ins_1", "301"));
  EXPECT_EQ(other.status, 409);
  EXPECT_EQ(other.body["code"], "CONTENT_DIFFERS");
  EXPECT_EQ(Balance(), "700");
  EXPECT_EQ(Get("/v1/pay_outs/ins_2").status, 404);
  EXPECT_TRUE(Get("/sandbox/state").body["balanced"].get<bool>());
}

TEST_F(CustodianTest, TwinsAtTheSameMomentPayOnce) {
  Transfer("1000");
  int done = 0;
  std::vector<std::unique_ptr<bool>> flags;
  std::vector<std::unique_ptr<Answer>> answers;
  for (int i = 0; i < 20; ++i) {
    http::Request request;
    request.method = "POST";
    request.target = "/v1/pay_outs";
    request.body = Instruction("ins_" + std::to_string(i % 2), "400").dump();
    request.fields.Set("Authorization", std::string("Bearer ") + kKey);
    flags.push_back(std::make_unique<bool>(false));
    answers.push_back(std::make_unique<Answer>());
    loop_.Start(
        FetchTask(base_, std::move(request), std::chrono::seconds(10), flags.back().get(), answers.back().get()));
  }
  loop_.RunUntil([&] {
    done = 0;
    for (auto& flag : flags) done += *flag;
    return done == 20;
  });
  int fresh = 0;
  for (auto& answer : answers) {
    EXPECT_TRUE(answer->status == 200 || answer->status == 201) << answer->status;
    fresh += answer->status == 201;
    EXPECT_EQ(answer->body["state"], "DONE");
  }
  EXPECT_EQ(fresh, 2);
  EXPECT_EQ(Balance(), "200");
}

TEST_F(CustodianTest, FailsWithAReasonWhereItMustAndKeepsTheMoney) {
  Transfer("1000");
  Answer closed = Post("/v1/pay_outs", Instruction("a", "10", "CLOSED-1"));
  EXPECT_EQ(closed.status, 201);
  EXPECT_EQ(closed.body["state"], "FAILED");
  EXPECT_EQ(closed.body["reason"], "ACCOUNT_CLOSED");
  Answer poor = Post("/v1/pay_outs", Instruction("b", "1001"));
  EXPECT_EQ(poor.body["state"], "FAILED");
  EXPECT_EQ(poor.body["reason"], "INSUFFICIENT_BALANCE");
  EXPECT_EQ(Balance(), "1000");
  // The answer to an instruction stays, even if it could be paid by now.
  Transfer("5000");
  EXPECT_EQ(Post("/v1/pay_outs", Instruction("b", "1001")).body["state"], "FAILED");
  EXPECT_EQ(Post("/v1/pay_outs", Instruction("c", "6000")).body["state"], "DONE");
  EXPECT_EQ(Balance(), "0");
}

TEST_F(CustodianTest, ASlowPayOutIsPendingThenDone) {
  Transfer("1000");
  Answer slow = Post("/v1/pay_outs", Instruction("s", "10", "SLOW-1"));
  EXPECT_EQ(slow.status, 201);
  EXPECT_EQ(slow.body["state"], "PENDING");
  EXPECT_EQ(Balance(), "990");
  ASSERT_TRUE(Until([&] { return receiver_.got.size() == 2; }));
  EXPECT_EQ(json::parse(receiver_.got[1].body)["transfer_id"], "s");
  EXPECT_EQ(Get("/v1/pay_outs/s").body["state"], "DONE");
}

TEST_F(CustodianTest, RefusesWhatIsMalformed) {
  Transfer("1000");
  auto with = [](std::string name, json value) {
    json body = Instruction("x", "10");
    body[name] = std::move(value);
    return body.dump();
  };
  json missing = Instruction("x", "10");
  missing.erase("beneficiary_account");
  std::vector<std::pair<std::string, int>> cases = {
      {"", 400},
      {"{", 400},
      {"[]", 400},
      {"{\"id\":\"x\",\"id\":\"y\"}", 400},
      {"{\"id\":\"\xFF\"}", 400},
      {with("amount", 10), 400},
      {with("extra", "x"), 400},
      {missing.dump(), 422},
      {with("id", ""), 422},
      {with("id", std::string(65, 'x')), 422},
      {with("id", "a/b"), 422},
      {with("amount", "0"), 422},
      {with("amount", "-1"), 422},
      {with("amount", "1.5"), 422},
      {with("amount", "010"), 422},
      {with("amount", " 1"), 422},
      {with("amount", "1000000000000000"), 422},
      {with("amount", "99999999999999999999"), 422},
      {with("currency", "USD"), 422},
      {with("beneficiary_name", std::string("a\0b", 3)), 422},
      {with("beneficiary_name", std::string(801, 'x')), 422},
  };
  for (const auto& [body, status] : cases) {
    Answer answer = Call("POST", "/v1/pay_outs", body);
    EXPECT_EQ(answer.status, status) << body << " " << answer.body;
    EXPECT_TRUE(answer.body.contains("code") && answer.body.contains("message")) << body;
  }
  EXPECT_EQ(Get("/v1/pay_outs").status, 405);
  EXPECT_EQ(Post("/v1/account", json::object()).status, 405);
  EXPECT_EQ(Get("/v2/account").status, 404);
  EXPECT_EQ(Post("/sandbox/faults", {{"mode", "sleepy"}}).status, 422);
  EXPECT_EQ(Post("/sandbox/faults", {{"mode", "silent"}, {"count", -1}}).status, 422);
  EXPECT_EQ(Transfer("0").status, 422);
  EXPECT_EQ(Balance(), "1000");
  EXPECT_EQ(Get("/sandbox/state").body["pay_outs"], 0);
}

TEST_F(CustodianTest, NoticesAreSignedAndRepeatedUntilTheyAreTaken) {
  receiver_.failures = 2;
  Answer arrived = Transfer("1000");
  ASSERT_TRUE(Until([&] { return receiver_.got.size() >= 3; }));
  EXPECT_FALSE(Until([&] { return receiver_.got.size() > 3; }, 1));
  std::string id;
  for (const http::Request& request : receiver_.got) {
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/v1/custodian/notices");
    json body = json::parse(request.body);
    EXPECT_EQ(body["kind"], "pay_in");
    EXPECT_EQ(body["transfer_id"], arrived.body["id"]);
    if (id.empty()) id = body["notice_id"];
    EXPECT_EQ(body["notice_id"], id);
    EXPECT_EQ(request.fields.Get("webhook-id"), id);
    EXPECT_TRUE(crypto::VerifyWebhook(kSecret, id, std::string(request.fields.Get("webhook-timestamp")),
                                      std::string(request.fields.Get("webhook-signature")), request.body,
                                      Micros(WallNow()) / 1000000));
  }
  json notices = Get("/sandbox/state").body["notices"];
  EXPECT_EQ(notices, json({{"pending", 0}, {"delivered", 1}}));
}

TEST_F(CustodianTest, FaultsComeForAsManyCallsAsAskedAndThenEnd) {
  Transfer("1000");
  EXPECT_EQ(Post("/sandbox/faults", {{"mode", "refuse"}, {"count", 2}}).status, 200);
  EXPECT_EQ(Get("/v1/account").status, 503);
  EXPECT_EQ(Get("/sandbox/state").body["fault"], json({{"mode", "refuse"}, {"count", 1}}));
  EXPECT_EQ(Post("/v1/pay_outs", Instruction("r", "1")).status, 503);
  EXPECT_EQ(Get("/v1/pay_outs/r").status, 404);

  Post("/sandbox/faults", {{"mode", "lose_answer"}, {"count", 1}});
  EXPECT_EQ(Post("/v1/pay_outs", Instruction("l", "100")).status, 0);
  EXPECT_EQ(Get("/v1/pay_outs/l").body["state"], "DONE");
  EXPECT_EQ(Post("/v1/pay_outs", Instruction("l", "100")).status, 200);
  EXPECT_EQ(Balance(), "900");

  Post("/sandbox/faults", {{"mode", "silent"}, {"count", 0}});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Call("POST", "/v1/pay_outs", Instruction("q", "1").dump(), kKey, std::chrono::milliseconds(200)).status,
              0);
  }
  Post("/sandbox/faults", {{"mode", "none"}});
  EXPECT_EQ(Get("/v1/pay_outs/q").status, 404);
}

TEST_F(CustodianTest, ANewProcessGoesOnWithTheOldBooks) {
  receiver_.failures = 1000000;
  Transfer("1000");
  Post("/v1/pay_outs", Instruction("a", "300"));
  ASSERT_TRUE(Until([&] { return receiver_.got.size() >= 2; }));
  Close();
  receiver_.failures = 0;
  receiver_.got.clear();
  Open();
  EXPECT_EQ(Balance(), "700");
  EXPECT_EQ(Post("/v1/pay_outs", Instruction("a", "300")).status, 200);
  ASSERT_TRUE(Until([&] { return receiver_.got.size() == 2; }));
}

TEST_F(CustodianTest, MovementsAreOnlyAppended) {
  Transfer("1000");
  postgres::DatabaseOptions options;
  options.url = options_.database_url;
  options.schema = "custodian";
  postgres::Database database(options);
  for (std::string sql : {"UPDATE movement SET amount = 1", "DELETE FROM movement", "TRUNCATE movement"}) {
    EXPECT_FALSE(database.RunHere([&](postgres::Transaction& tx) { tx.ExecuteText(sql); })) << sql;
  }
  EXPECT_FALSE(database.RunHere(
      [](postgres::Transaction& tx) { tx.ExecuteText("UPDATE account SET balance = -1 WHERE kind = 'customer'"); }));
}

}  // namespace
}  // namespace millrace::custodian
