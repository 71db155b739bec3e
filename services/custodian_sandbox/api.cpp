// SPDX-License-Identifier: Apache-2.0
#include "services/custodian_sandbox/api.h"

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "common/base/money.h"
#include "common/crypto/crypto.h"
#include "common/telemetry/log.h"

namespace millrace::custodian {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kIdLength = 64, kNameLength = 200, kAccountLength = 64, kTextLength = 500;
constexpr int kPageMax = 500;
constexpr std::chrono::seconds kSilence{120};

// What a caller did wrong.
struct Refusal {
  int status;
  std::string code, message;
};

template <class T>
std::optional<T> Number(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A JSON object of the named string fields (with their greatest length in characters) and no others.
std::optional<Refusal> ReadFields(const std::string& body, std::map<std::string, size_t> fields,
                                  const std::set<std::string>& optional, std::map<std::string, std::string>* out) {
  std::set<std::string> seen;
  std::string twice;
  auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 && !seen.insert(parsed.get<std::string>()).second)
      twice = parsed;
    return true;
  };
  Json json;
  try {
    json = Json::parse(body, watch);
  } catch (const Json::parse_error& e) {
    return Refusal{400, "INVALID_JSON", "the body is malformed at byte " + std::to_string(e.byte)};
  }
  if (!json.is_object()) return Refusal{400, "INVALID_JSON", "the body must be a JSON object"};
  if (!twice.empty()) return Refusal{400, "INVALID_JSON", "the field " + twice + " stands there twice"};
  for (const auto& [name, value] : json.items()) {
    auto known = fields.find(name);
    if (known == fields.end()) return Refusal{400, "UNKNOWN_FIELD", "there is no field " + name};
    if (!value.is_string()) return Refusal{400, "WRONG_TYPE", name + " must be a string"};
    const std::string& text = value.get_ref<const std::string&>();
    bool control =
        std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
    if (control) return Refusal{422, "INVALID_VALUE", name + " holds a control character"};
    if (text.size() > known->second * 4) return Refusal{422, "INVALID_VALUE", name + " is too long"};
    (*out)[name] = text;
  }
  for (const auto& [name, limit] : fields) {
    if (!optional.contains(name) && (*out)[name].empty()) return Refusal{422, "REQUIRED", name + " is required"};
  }
  return std::nullopt;
}

// Positive minor units as a string of digits, in the account's currency.
std::optional<Refusal> ReadMoney(const std::map<std::string, std::string>& fields, int64_t* amount) {
  const std::string& text = fields.at("amount");
  bool digits = text.find_first_not_of("0123456789") == std::string::npos && text[0] != '0';
  std::optional<int64_t> value = digits ? Number<int64_t>(text) : std::nullopt;
  if (!value || *value >= kMaxMoneyAmount) {
    return Refusal{422, "INVALID_AMOUNT", "amount must be a string of digits, 1 to 999999999999999 minor units"};
  }
  if (fields.at("currency") != kCurrency) return Refusal{422, "CURRENCY", "the account's currency is CNY"};
  *amount = *value;
  return std::nullopt;
}

Json ToJson(const PayIn& pay_in) {
  return {{"id", FormatId("cpi", pay_in.id)},
          {"cursor", pay_in.cursor},
          {"amount", std::to_string(pay_in.amount)},
          {"currency", kCurrency},
          {"reference", pay_in.reference},
          {"payer_name", pay_in.payer_name},
          {"value_time", FormatTime(pay_in.value_time)}};
}

Json ToJson(const PayOut& pay_out) {
  return {{"id", pay_out.id},
          {"state", pay_out.state},
          {"reason", pay_out.reason},
          {"value_time", FormatTime(pay_out.value_time)},
          {"amount", std::to_string(pay_out.amount)},
          {"currency", kCurrency},
          {"beneficiary_name", pay_out.beneficiary_name},
          {"beneficiary_account", pay_out.beneficiary_account},
          {"purpose", pay_out.purpose}};
}

const char* Name(Fault::Mode mode) {
  switch (mode) {
    case Fault::Mode::kNone:
      return "none";
    case Fault::Mode::kSilent:
      return "silent";
    case Fault::Mode::kRefuse:
      return "refuse";
    case Fault::Mode::kLoseAnswer:
      return "lose_answer";
  }
  return "none";
}

}  // namespace

struct Api::Reply {
  int status = 200;
  Json body;
  std::string allow;  // with 405

  static Reply Of(int status, Json body) { return {status, std::move(body), ""}; }
  static Reply Refuse(const Refusal& refusal) {
    return {refusal.status, {{"code", refusal.code}, {"message", refusal.message}}, ""};
  }
  static Reply NotFound() { return Refuse({404, "NOT_FOUND", "there is nothing of this name"}); }
  // The database does not answer, or refused what it should not have.
  static Reply Failure(const Error& error) {
    telemetry::Log(telemetry::Level::kError, "custodian.failure",
                   {{"code", millrace::Name(error.code)}, {"cause", error.cause}});
    if (error.code == ErrorCode::kUnavailable) return Refuse({503, "UNAVAILABLE", "the outcome is unknown; ask again"});
    return Refuse({500, "INTERNAL", "the bank failed"});
  }
};

bool Api::Authorized(const http::Request& request) const {
  constexpr std::string_view kScheme = "Bearer ";
  std::string_view given = request.fields.Get("Authorization");
  if (!given.starts_with(kScheme)) return false;
  return crypto::EqualInConstantTime(given.substr(kScheme.size()), key_);
}

Fault::Mode Api::TakeFault() {
  Fault::Mode mode = fault_.mode;
  if (mode != Fault::Mode::kNone && !fault_.until_changed && --fault_.remaining <= 0) fault_ = Fault();
  return mode;
}

Task<http::Response> Api::Handle(http::Request request) {
  http::Response response;
  Fault::Mode fault = Fault::Mode::kNone;
  Reply reply;
  if (!Authorized(request)) {
    reply = Reply::Refuse({401, "UNAUTHENTICATED", "send the key as a bearer token"});
  } else {
    if (request.path.starts_with("/v1/")) fault = TakeFault();
    if (fault == Fault::Mode::kSilent) {
      for (auto waited = std::chrono::milliseconds(0); waited < kSilence && !stopping_;
           waited += std::chrono::milliseconds(50)) {
        co_await Sleep(std::chrono::milliseconds(50));
      }
      response.drop = true;
      co_return std::move(response);
    }
    if (fault == Fault::Mode::kRefuse) {
      reply = Reply::Refuse({503, "UNAVAILABLE", "the bank is closed for maintenance"});
    } else {
      reply = co_await Route(std::move(request));
    }
  }
  response.status = reply.status;
  response.body = reply.body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  response.fields.Set("Content-Type", "application/json");
  if (!reply.allow.empty()) response.fields.Set("Allow", reply.allow);
  response.drop = fault == Fault::Mode::kLoseAnswer;
  co_return std::move(response);
}

Task<Api::Reply> Api::Route(http::Request request) {
  constexpr std::string_view kPayIn = "/v1/pay_ins/", kPayOut = "/v1/pay_outs/";
  const std::string& path = request.path;
  bool one_pay_in = path.starts_with(kPayIn), one_pay_out = path.starts_with(kPayOut);
  bool writes = path == "/v1/pay_outs" || path == "/sandbox/transfers" || path == "/sandbox/faults";
  bool reads = path == "/v1/account" || path == "/v1/pay_ins" || path == "/sandbox/state" || one_pay_in || one_pay_out;
  if (!writes && !reads) co_return Reply::Refuse({404, "NO_SUCH_ROUTE", "there is no such address"});
  std::string allow = writes ? "POST" : "GET";
  if (request.method != allow) {
    Reply reply = Reply::Refuse({405, "METHOD_NOT_ALLOWED", "the method here is " + allow});
    reply.allow = allow;
    co_return std::move(reply);
  }
  std::optional<std::string> id;
  if (one_pay_in || one_pay_out) {
    id = http::PercentDecode(std::string_view(path).substr(one_pay_in ? kPayIn.size() : kPayOut.size()), false);
    if (!id || id->size() > kIdLength || id->find('\0') != std::string::npos) co_return Reply::NotFound();
  }
  Reply reply;
  if (path == "/v1/account") {
    reply = co_await GetAccount();
  } else if (path == "/v1/pay_ins") {
    reply = co_await ListPayIns(std::move(request.query));
  } else if (one_pay_in) {
    reply = co_await GetPayIn(*std::move(id));
  } else if (one_pay_out) {
    reply = co_await GetPayOut(*std::move(id));
  } else if (path == "/v1/pay_outs") {
    reply = co_await CreatePayOut(std::move(request.body));
  } else if (path == "/sandbox/transfers") {
    reply = co_await Transfer(std::move(request.body));
  } else if (path == "/sandbox/faults") {
    reply = SetFault(request.body);
  } else {
    reply = co_await GetState();
  }
  co_return std::move(reply);
}

Task<Api::Reply> Api::GetAccount() {
  Result<int64_t> balance = co_await bank_.Balance();
  if (!balance) co_return Reply::Failure(balance.error());
  Json body = {
      {"account_number", bank_.account_number()}, {"currency", kCurrency}, {"balance", std::to_string(*balance)}};
  co_return Reply::Of(200, std::move(body));
}

Task<Api::Reply> Api::ListPayIns(std::string query) {
  Result<std::vector<std::pair<std::string, std::string>>> parameters = http::ParseQuery(query);
  if (!parameters) co_return Reply::Refuse({400, "INVALID_QUERY", "the query is malformed"});
  int64_t after = 0;
  int limit = 100;
  for (const auto& [name, value] : *parameters) {
    std::optional<int64_t> number = Number<int64_t>(value);
    bool known = name == "after" || name == "limit";
    if (!known || !number || *number < (name == "limit" ? 1 : 0)) {
      co_return Reply::Refuse({400, "INVALID_QUERY", name + " is not valid here"});
    }
    if (name == "after") {
      after = *number;
    } else {
      limit = static_cast<int>(std::min<int64_t>(*number, kPageMax));
    }
  }
  Result<std::vector<PayIn>> found = co_await bank_.PayIns(after, limit);
  if (!found) co_return Reply::Failure(found.error());
  Json data = Json::array();
  for (const PayIn& pay_in : *found) data.push_back(ToJson(pay_in));
  Json body;
  body["data"] = std::move(data);
  body["next_after"] = found->empty() ? after : found->back().cursor;
  co_return Reply::Of(200, std::move(body));
}

Task<Api::Reply> Api::GetPayIn(std::string id) {
  Result<Uuid> uuid = ParseId("cpi", id);
  if (!uuid) co_return Reply::NotFound();
  Result<std::optional<PayIn>> found = co_await bank_.FindPayIn(*uuid);
  if (!found) co_return Reply::Failure(found.error());
  co_return *found ? Reply::Of(200, ToJson(**found)) : Reply::NotFound();
}

Task<Api::Reply> Api::GetPayOut(std::string id) {
  Result<std::optional<PayOut>> found = co_await bank_.FindPayOut(std::move(id));
  if (!found) co_return Reply::Failure(found.error());
  co_return *found ? Reply::Of(200, ToJson(**found)) : Reply::NotFound();
}

Task<Api::Reply> Api::CreatePayOut(std::string body) {
  std::map<std::string, std::string> fields;
  auto refused = ReadFields(body,
                            {{"id", kIdLength},
                             {"amount", 15},
                             {"currency", 3},
                             {"beneficiary_name", kNameLength},
                             {"beneficiary_account", kAccountLength},
                             {"purpose", kTextLength}},
                            {"purpose"}, &fields);
  PayOut instruction;
  if (!refused) refused = ReadMoney(fields, &instruction.amount);
  if (refused) co_return Reply::Refuse(*refused);
  instruction.id = fields["id"];
  instruction.beneficiary_name = fields["beneficiary_name"];
  instruction.beneficiary_account = fields["beneficiary_account"];
  instruction.purpose = fields["purpose"];
  if (instruction.id.size() > kIdLength || instruction.id.find_first_of("/ ") != std::string::npos) {
    co_return Reply::Refuse({422, "INVALID_VALUE", "id has at most 64 characters, no blank and no slash"});
  }
  Result<Placement> placed = co_await bank_.Pay(std::move(instruction));
  if (!placed) co_return Reply::Failure(placed.error());
  if (placed->kind == Placement::Kind::kDifferent) {
    co_return Reply::Refuse({409, "CONTENT_DIFFERS", "another pay-out has this id"});
  }
  bool fresh = placed->kind == Placement::Kind::kNew;
  if (fresh) wrote_();
  co_return Reply::Of(fresh ? 201 : 200, ToJson(placed->pay_out));
}

Task<Api::Reply> Api::Transfer(std::string body) {
  std::map<std::string, std::string> fields;
  auto refused =
      ReadFields(body, {{"amount", 15}, {"currency", 3}, {"reference", kTextLength}, {"payer_name", kNameLength}},
                 {"reference"}, &fields);
  PayIn pay_in;
  if (!refused) refused = ReadMoney(fields, &pay_in.amount);
  if (refused) co_return Reply::Refuse(*refused);
  pay_in.reference = fields["reference"];
  pay_in.payer_name = fields["payer_name"];
  Result<PayIn> received = co_await bank_.Receive(std::move(pay_in));
  if (!received) co_return Reply::Failure(received.error());
  wrote_();
  co_return Reply::Of(201, ToJson(*received));
}

Api::Reply Api::SetFault(const std::string& body) {
  Json json = Json::parse(body, nullptr, false);
  const Refusal wrong{422, "INVALID_VALUE", "mode is none, silent, refuse or lose_answer; count is 0 or more"};
  if (!json.is_object() || !json.contains("mode")) return Reply::Refuse(wrong);
  Fault fault;
  bool known = false;
  for (auto mode : {Fault::Mode::kNone, Fault::Mode::kSilent, Fault::Mode::kRefuse, Fault::Mode::kLoseAnswer}) {
    if (json["mode"] == Name(mode)) {
      fault.mode = mode;
      known = true;
    }
  }
  Json count = json.value("count", Json(0));
  if (!known || !count.is_number_integer() || count.get<int64_t>() < 0 || count.get<int64_t>() > 1000000)
    return Reply::Refuse(wrong);
  fault.remaining = count.get<int>();
  fault.until_changed = fault.remaining == 0;
  fault_ = fault;
  return Reply::Of(200, {{"mode", Name(fault_.mode)}, {"count", fault_.remaining}});
}

Task<Api::Reply> Api::GetState() {
  Result<Figures> figures = co_await bank_.GetFigures();
  if (!figures) co_return Reply::Failure(figures.error());
  Json body;
  body["account_number"] = bank_.account_number();
  body["balance"] = std::to_string(figures->balance);
  body["world_balance"] = std::to_string(figures->world);
  body["balanced"] = figures->balanced && figures->balance + figures->world == 0;
  body["pay_ins"] = figures->pay_ins;
  body["pay_outs"] = figures->pay_outs;
  body["notices"] = {{"pending", figures->notices_pending}, {"delivered", figures->notices_delivered}};
  body["fault"] = {{"mode", Name(fault_.mode)}, {"count", fault_.remaining}};
  co_return Reply::Of(200, std::move(body));
}

}  // namespace millrace::custodian
