// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <nlohmann/json.hpp>

#include "common/base/money.h"
#include "common/http/http.h"
#include "services/escrow/custodian/custodian.h"

namespace millrace::escrow {
namespace {

using Json = nlohmann::json;

Error Unknown(std::string cause) {
  Error error(ErrorCode::kCustodianUnavailable);
  error.cause = std::move(cause);
  return error;
}

// A member that is a text; empty if there is none.
std::string Text(const Json& object, const char* name) {
  auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<int64_t> Minor(const Json& object, const char* name) {
  std::string text = Text(object, name);
  int64_t value = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || fault != std::errc() || end != text.data() + text.size()) {
    return Fail(Unknown(std::string(name) + " is no whole number of minor units"));
  }
  return value;
}

Result<Json> ReadBody(const http::Response& response) {
  Json json = Json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Fail(Unknown("status " + std::to_string(response.status) + " without a JSON object"));
  return json;
}

Result<domain::PayIn> ReadPayIn(const Json& json) {
  domain::PayIn pay_in;
  if (!json.is_object()) return Fail(Unknown("a pay-in is no object"));
  pay_in.id = Text(json, "id");
  MILLRACE_TRY(pay_in.amount, Minor(json, "amount"));
  pay_in.currency = Text(json, "currency");
  pay_in.reference = Text(json, "reference");
  pay_in.payer_name = Text(json, "payer_name");
  MILLRACE_TRY(pay_in.value_time, ParseTime(Text(json, "value_time")));
  bool sound = !pay_in.id.empty() && pay_in.amount > 0 && pay_in.amount < kMaxMoneyAmount &&
               IsSupportedCurrency(pay_in.currency);
  if (!sound) return Fail(Unknown("pay-in " + pay_in.id + " makes no sense"));
  return pay_in;
}

Result<PayInPage> ReadPayIns(const http::Response& response) {
  if (response.status != 200) return Fail(Unknown("status " + std::to_string(response.status)));
  MILLRACE_TRY(Json json, ReadBody(response));
  PayInPage page;
  auto data = json.find("data"), next = json.find("next_after");
  if (data == json.end() || !data->is_array() || next == json.end() || !next->is_number_integer()) {
    return Fail(Unknown("a list of pay-ins without data or next_after"));
  }
  for (const Json& one : *data) {
    MILLRACE_TRY(domain::PayIn pay_in, ReadPayIn(one));
    page.pay_ins.push_back(std::move(pay_in));
  }
  page.next_after = next->get<int64_t>();
  return page;
}

Result<CustodianAccount> ReadAccount(const http::Response& response) {
  if (response.status != 200) return Fail(Unknown("status " + std::to_string(response.status)));
  MILLRACE_TRY(Json json, ReadBody(response));
  CustodianAccount account;
  account.number = Text(json, "account_number");
  account.currency = Text(json, "currency");
  MILLRACE_TRY(account.balance, Minor(json, "balance"));
  return account;
}

Result<PayOutAnswer> ReadPayOut(const http::Response& response) {
  if (response.status != 200 && response.status != 201)
    return Fail(Unknown("status " + std::to_string(response.status)));
  MILLRACE_TRY(Json json, ReadBody(response));
  PayOutAnswer answer;
  std::string state = Text(json, "state");
  answer.reason = Text(json, "reason");
  if (state == "DONE") {
    answer.state = PayOutAnswer::State::kDone;
  } else if (state == "FAILED") {
    answer.state = PayOutAnswer::State::kFailed;
  } else if (state != "PENDING") {
    return Fail(Unknown("unknown state of a pay-out: " + state));
  }
  return answer;
}

// A definite no: the bank has not taken the instruction, and would not take it later.
PayOutAnswer Refused(const http::Response& response) {
  PayOutAnswer answer;
  answer.state = PayOutAnswer::State::kFailed;
  Result<Json> json = ReadBody(response);
  if (json) answer.reason = Text(*json, "message");
  if (answer.reason.empty()) answer.reason = "refused with status " + std::to_string(response.status);
  return answer;
}

class Adapter : public Custodian {
 public:
  Adapter(std::string url, std::string key, std::chrono::milliseconds timeout)
      : url_(std::move(url)), key_(std::move(key)), timeout_(timeout) {}

  std::string id() const override { return "bank-http-v1"; }

  Task<Result<CustodianAccount>> Account() override {
    Result<http::Response> response = co_await Call("GET", "/v1/account", std::string());
    if (!response) co_return std::unexpected<Error>(std::move(response).error());
    co_return ReadAccount(*response);
  }

  Task<Result<PayInPage>> PayIns(int64_t after) override {
    std::string target = "/v1/pay_ins?after=" + std::to_string(after) + "&limit=100";
    Result<http::Response> response = co_await Call("GET", std::move(target), std::string());
    if (!response) co_return std::unexpected<Error>(std::move(response).error());
    co_return ReadPayIns(*response);
  }

  Task<Result<std::optional<domain::PayIn>>> FindPayIn(std::string id) override {
    std::string target = "/v1/pay_ins/" + http::PercentEncode(id);
    Result<http::Response> response = co_await Call("GET", std::move(target), std::string());
    if (!response) co_return std::unexpected<Error>(std::move(response).error());
    if (response->status == 404) co_return std::optional<domain::PayIn>();
    if (response->status != 200) co_return Fail(Unknown("status " + std::to_string(response->status)));
    Result<Json> json = ReadBody(*response);
    if (!json) co_return std::unexpected<Error>(std::move(json).error());
    Result<domain::PayIn> pay_in = ReadPayIn(*json);
    if (!pay_in) co_return std::unexpected<Error>(std::move(pay_in).error());
    if (pay_in->id != id) co_return Fail(Unknown("asked for pay-in " + id + ", got " + pay_in->id));
    co_return std::optional<domain::PayIn>(*std::move(pay_in));
  }

  Task<Result<PayOutAnswer>> SendPayOut(PayOutInstruction instruction) override {
    Json body = {{"id", instruction.id},
                 {"amount", std::to_string(instruction.amount)},
                 {"currency", instruction.currency},
                 {"beneficiary_name", instruction.beneficiary_name},
                 {"beneficiary_account", instruction.beneficiary_account},
                 {"purpose", instruction.purpose}};
    std::string text = body.dump(-1, ' ', false, Json::error_handler_t::replace);
    Result<http::Response> response = co_await Call("POST", "/v1/pay_outs", std::move(text));
    if (!response) co_return std::unexpected<Error>(std::move(response).error());
    if (response->status == 400 || response->status == 422) co_return Refused(*response);
    co_return ReadPayOut(*response);
  }

  Task<Result<std::optional<PayOutAnswer>>> FindPayOut(std::string id) override {
    std::string target = "/v1/pay_outs/" + http::PercentEncode(id);
    Result<http::Response> response = co_await Call("GET", std::move(target), std::string());
    if (!response) co_return std::unexpected<Error>(std::move(response).error());
    if (response->status == 404) co_return std::optional<PayOutAnswer>();
    Result<PayOutAnswer> answer = ReadPayOut(*response);
    if (!answer) co_return std::unexpected<Error>(std::move(answer).error());
    co_return std::optional<PayOutAnswer>(*std::move(answer));
  }

 private:
  Task<Result<http::Response>> Call(std::string method, std::string target, std::string body) {
    http::Request request;
    request.method = std::move(method);
    request.target = std::move(target);
    request.fields.Set("Authorization", "Bearer " + key_);
    if (!body.empty()) request.fields.Set("Content-Type", "application/json");
    request.body = std::move(body);
    Result<http::Response> response = co_await http::Fetch(url_, std::move(request), timeout_);
    if (!response) co_return Fail(Unknown(std::string(Name(response.error().code)) + " " + response.error().cause));
    co_return std::move(response);
  }

  std::string url_, key_;
  std::chrono::milliseconds timeout_;
};

}  // namespace

std::unique_ptr<Custodian> HttpCustodian(std::string url, std::string key, std::chrono::milliseconds timeout) {
  return std::make_unique<Adapter>(std::move(url), std::move(key), timeout);
}

}  // namespace millrace::escrow
