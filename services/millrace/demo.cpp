// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/demo.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "common/base/id.h"
#include "common/base/money.h"
#include "common/base/time.h"
#include "common/base/uscc.h"
#include "common/crypto/crypto.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

struct StoryStopped {
  std::string why;
};

// 统一社会信用代码 of an enterprise that does not exist, with a right check character.
std::string MadeUpUscc() {
  static constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY";
  std::string code = "91320500MA";
  for (unsigned char byte : crypto::RandomBytes(7)) code += kAlphabet[byte % kAlphabet.size()];
  return code + UsccCheckCharacter(code);
}

std::string MoneyText(const Json& money) {
  return FormatMoney({std::stoll(money.value("amount", "0")), money.value("currency", "CNY")});
}

struct Party {
  std::string id, name;
  ApiClient client{"", ""};
};

// A score, which is in tenths of a point.
std::string Points(const Json& tenths) {
  int value = tenths.get<int>();
  return std::to_string(value / 10) + "." + std::to_string(value % 10);
}

class Story {
 public:
  Story(const dev::Instance& instance, bool json)
      : instance_(instance),
        json_(json),
        operator_(instance.url, instance.operator_key, true),
        bank_(instance.custodian_url, instance.custodian_key) {}

  void Tell() {
    began_ = Clock::now();
    Register();
    Publish();
    Demand();
    Book();
    Rival();
    Pay();
    Work();
    Release();
    Rate();
    TradeOn();
    if (!json_) std::printf("\nThe books 账目\n");
    if (Verify(operator_, json_) != 0) throw StoryStopped{"the ledger does not verify"};
    std::fprintf(json_ ? stderr : stdout, "\nThe whole trade took %.2f s.\n",
                 std::chrono::duration<double>(Clock::now() - began_).count());
  }

 private:
  void Chapter(const char* zh, const char* en) {
    if (!json_) std::printf("\n%d. %s  %s\n", ++chapter_, zh, en);
  }

  Answer Call(const Party& who, std::string_view method, std::string_view path, const Json& body, int wanted,
              const std::string& key = {}) {
    return Call(who.name, who.client, method, path, body, wanted, key);
  }
  // Calls, prints call and status, and stops the story unless the status is the wanted one.
  Answer Call(const std::string& who, const ApiClient& client, std::string_view method, std::string_view path,
              const Json& body, int wanted, const std::string& key = {}) {
    Answer answer = client.Call(method, path, body, key);
    if (json_) {
      Json line = {{"who", who}, {"method", method}, {"path", path}, {"status", answer.status}, {"body", answer.body}};
      std::printf("%s\n", line.dump().c_str());
    } else {
      std::printf("   %-9s %s %s  → %d\n", who.c_str(), std::string(method).c_str(), std::string(path).c_str(),
                  answer.status);
    }
    if (answer.status != wanted) throw StoryStopped{Describe(answer)};
    return answer;
  }
  void Say(const std::string& text) {
    if (!json_) std::printf("             %s\n", text.c_str());
  }

  // Asks until `done` says so; business effects that follow from events take a moment.
  Answer Until(const ApiClient& client, const std::string& path, const std::function<bool(const Json&)>& done,
               const char* what) {
    for (auto end = Clock::now() + std::chrono::seconds(20); Clock::now() < end;) {
      Answer answer = client.Call("GET", path);
      if (answer.ok() && done(answer.body)) return answer;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    throw StoryStopped{std::string("waited in vain for: ") + what};
  }

  Party NewParty(const std::string& role, const std::string& display_name) {
    Json body = {{"display_name", display_name},
                 {"uscc", MadeUpUscc()},
                 {"industry_code", "3484"},
                 {"region_code", "320500"},
                 {"synthetic", true}};
    Answer made = Call(role, ApiClient(instance_.url, "", true), "POST", "/v1/organizations", body, 201);
    Party party;
    party.name = role;
    party.id = made.body["organization"]["id"].get<std::string>();
    party.client = ApiClient(instance_.url, made.body["api_key"]["secret"].get<std::string>(), true);
    Call("operator", operator_, "POST", "/v1/organizations/" + party.id + ":verify", Json::object(), 200);
    return party;
  }

  void Register() {
    Chapter("企业入驻", "Three enterprises register, the operator verifies them");
    provider_ = NewParty("provider", "示例苏州五轴精密有限公司");
    buyer_ = NewParty("buyer", "示例苏州小微科技有限公司");
    rival_ = NewParty("rival", "示例无锡同行有限公司");
    Answer clock = Call("buyer", buyer_.client, "GET", "/v1/clock", nullptr, 200);
    now_ = *ParseTime(clock.body["now"].get<std::string>());
    Say("business time " + FormatTime(now_) + " (a test clock)");
    buyer_before_ = Credit(buyer_, "BUYER");
    provider_before_ = Credit(provider_, "PROVIDER");
  }

  void Publish() {
    Chapter("在线发布", "The provider publishes a 5-axis machining centre");
    Json resource = {
        {"kind", "EQUIPMENT"},
        {"external_id", "DMU50-1"},
        {"display_name",
         {{"zh", "德马吉森精机 DMU 50 五轴加工中心"}, {"en", "DMG MORI DMU 50 5-axis machining centre"}}},
        {"maker", "DMG MORI"},
        {"model", "DMU 50"},
        {"place", {{"longitude", 120.62}, {"latitude", 31.32}}},
        {"attributes",
         {{"equipment", {{"machine_type", "5-axis machining centre"}, {"axes", 5}, {"simultaneous_axes", 5}}}}}};
    Answer made = Call(provider_, "POST", "/v1/resources", resource, 201);
    Json weekly = Json::array();
    for (int day = 1; day <= 7; ++day)
      weekly.push_back({{"weekday", day}, {"start_minute", 480}, {"end_minute", 1200}});
    Json listing = {
        {"resource_id", made.body["id"]},
        {"external_id", "DMU50-1"},
        {"capability",
         {{"processes", {"separating.milling.five_axis"}},
          {"materials", {"aluminium", "steel"}},
          {"tolerance_um", "10"},
          {"envelope_x_mm", "650"},
          {"envelope_y_mm", "520"},
          {"envelope_z_mm", "475"}}},
        {"calendar",
         {{"time_zone", "Asia/Shanghai"}, {"weekly", weekly}, {"min_duration_minutes", 60}, {"lead_time_minutes", 60}}},
        {"price_plan",
         {{"currency", "CNY"},
          {"unit", "HOUR"},
          {"steps", {{{"from_minutes", "0"}, {"unit_price", "26000"}}}},
          {"setup_fee", "20000"},
          {"deposit", "50000"},
          {"vat_basis_points", "1300"},
          {"vat_included", false}}},
        {"terms", {{"note", "含操作人员"}}}};
    Answer draft = Call(provider_, "POST", "/v1/listings", listing, 201);
    listing_ = draft.body["id"].get<std::string>();
    Answer published = Call(provider_, "POST", "/v1/listings/" + listing_ + ":publish", Json::object(), 200);
    Say(listing_ + " is " + published.body["state"].get<std::string>() +
        ", 260.00 CNY an hour, open every day 08:00–20:00");
  }

  void Demand() {
    Chapter("需求匹配", "A small enterprise states a demand in Chinese and gets ranked, explained matches");
    Time from = now_ + std::chrono::hours(24);
    Json requirement = {
        {"envelope_x_mm", "200"},
        {"envelope_y_mm", "120"},
        {"envelope_z_mm", "60"},
        {"quantity", "40"},
        {"duration_minutes", "240"},
        {"window", {{"start_time", FormatTime(from)}, {"end_time", FormatTime(from + std::chrono::hours(10 * 24))}}},
        {"budget", {{"amount", "300000"}, {"currency", "CNY"}}},
        {"place", {{"longitude", 120.58}, {"latitude", 31.30}}},
        {"max_distance_km", "100"}};
    Json demand = {{"title", "铝合金支架五轴加工"},
                   {"text", "需要五轴加工 6061 铝合金支架 40 件，苏州附近"},
                   {"requirement", requirement}};
    Answer stated = Call(buyer_, "POST", "/v1/demands", demand, 201);
    demand_ = stated.body["id"].get<std::string>();
    for (const char* key : {"processes", "materials"}) {
      const Json& nodes = stated.body["understood"][key];
      if (!nodes.empty()) Say("understood: " + nodes[0].value("zh", "") + " (" + nodes[0].value("code", "") + ")");
    }
    Answer matched = Call(buyer_, "POST", "/v1/demands/" + demand_ + ":match", Json{{"limit", 3}}, 200);
    if (matched.body["matches"].empty()) throw StoryStopped{"no match"};
    for (const Json& match : matched.body["matches"]) {
      Say(std::to_string(match.value("rank", 0)) + ". " + match["display_name"].value("zh", "") + "  " +
          MoneyText(match["price"]["total"]) + "  score " + match.value("score_ppm", "") + " ppm");
      Say("   " + match["explanation"].value("zh", ""));
      std::string parts;
      for (const Json& part : match["parts"])
        parts += " " + part.value("name", "") + " +" + part.value("contribution_ppm", "");
      Say("  " + parts);
    }
    const Json& misses = matched.body["misses"];
    if (!misses.empty())
      Say("未匹配：" + misses[0]["display_name"].value("zh", "") + "，" + misses[0]["failed"][0].value("zh", ""));
    for (const Json& relaxation : matched.body["relaxations"]) Say("放宽：" + relaxation.value("zh", ""));
    match_ = matched.body["matches"][0];
    // The first match may stand with another enterprise of the catalogue; then the operator acts as its key holder.
    if (match_["provider_id"] != provider_.id) {
      provider_.id = match_["provider_id"].get<std::string>();
      provider_.client = ApiClient(instance_.url, KeyByTwoPersons(provider_.id), true);
      provider_before_ = Credit(provider_, "PROVIDER");
    }
  }

  // A person of the operator's, who may do what the operator does.
  Party NewOfficer(const std::string& name) {
    Json member = {{"display_name", name},
                   {"email", name + "-" + Uuid::New().Hex() + "@operator.example"},
                   {"roles", {"operator"}}};
    Answer invited = Call("operator", operator_, "POST", "/v1/members", member, 201);
    Answer accepted = Call(name, ApiClient(instance_.url, "", true), "POST", "/v1/members:accept",
                           Json{{"code", invited.body["code"]}}, 200);
    Party officer;
    officer.name = name;
    officer.id = invited.body["id"].get<std::string>();
    officer.client = ApiClient(instance_.url, accepted.body["api_key"]["secret"].get<std::string>(), true);
    return officer;
  }

  // A key of another organization is no single person's to make: one asks, another approves, the first one does it.
  std::string KeyByTwoPersons(const std::string& organization) {
    Say("四眼原则: a key of another enterprise takes two persons of the operator");
    Party asks = NewOfficer("officer1"), approves = NewOfficer("officer2");
    Json key = {{"display_name", "demo"}};
    Json wanted = {{"method", "millrace.identity.v1.Identity.IssueOrganizationApiKey"},
                   {"request", Json{{"organization_id", organization}, {"api_key", key}}.dump()},
                   {"reason", "the demo acts as this provider"}};
    Answer asked = Call(asks, "POST", "/v1/approvals", wanted, 201);
    std::string id = asked.body["id"].get<std::string>();
    Call(approves, "POST", "/v1/approvals/" + id + ":approve", Json::object(), 200);
    Answer made = Call(asks, "POST", "/v1/organizations/" + organization + "/api_keys", key, 201, id);
    Say("under Idempotency-Key " + id + ", so once");
    for (const Party* officer : {&asks, &approves})
      Call("operator", operator_, "POST", "/v1/members/" + officer->id + ":remove", Json::object(), 200);
    return made.body["secret"].get<std::string>();
  }

  Json BookingOfMatch() const {
    return {{"listing_id", match_["listing_id"]},
            {"listing_version", match_["listing_version"]},
            {"window", match_["window"]},
            {"demand_id", demand_},
            {"work", "铣削 40 件 6061 铝合金支架，按图纸 A-102"}};
  }

  void Book() {
    Chapter("预订", "The buyer books the first match");
    Json booked = BookAs(buyer_, BookingOfMatch());
    for (const Json& line : booked["price"]["lines"]) {
      Say("  " + line["code"].get<std::string>() + " " +
          FormatMoney({std::stoll(line["amount"].get<std::string>()), "CNY"}));
    }
    Say("  total " + MoneyText(booked["price"]["total"]) + ", deposit " + MoneyText(booked["price"]["deposit"]));
    if (booked["price"]["total"] != match_["price"]["total"])
      throw StoryStopped{"the booking charges another price than the match"};
  }

  Json BookAs(const Party& buyer, const Json& body) {
    Json booked = Call(buyer, "POST", "/v1/bookings", body, 201).body;
    booking_ = booked["id"].get<std::string>();
    Say(booking_ + " is " + booked["state"].get<std::string>() + " until " + booked.value("deadline_time", "?"));
    return booked;
  }

  void Rival() {
    Chapter("冲突", "A rival wants the same slot");
    Json body = BookingOfMatch();
    body.erase("demand_id");
    Answer refused = Call(rival_, "POST", "/v1/bookings", body, 409);
    if (refused.body.value("code", "") != "BOOKING_CONFLICT") throw StoryStopped{Describe(refused)};
    Say(refused.body["code"].get<std::string>() + "：" + refused.body["detail"].get<std::string>());
    for (const Json& window : refused.body["alternatives"]) {
      Say("  free " + window["start_time"].get<std::string>() + " to " + window["end_time"].get<std::string>());
    }
    alternatives_ = refused.body["alternatives"];
    if (alternatives_.empty()) throw StoryStopped{"the refusal offers no alternatives"};
  }

  void Pay() {
    Chapter("支付保障", "Money arrives at the custodian, and the booking confirms");
    Answer early = Call(provider_, "POST", "/v1/bookings/" + booking_ + ":checkIn", Json::object(), 409);
    Say(early.body["code"].get<std::string>() + "：" + early.body["detail"].get<std::string>());
    PayAs(buyer_);
    Say("the custodian told, was asked, and answered: the booking is CONFIRMED");
  }

  // A bank transfer of what is missing, with the escrow's reference; the rest follows by itself.
  void PayAs(const Party& buyer) {
    Answer list = Until(
        buyer.client, "/v1/escrows?booking_id=" + booking_, [](const Json& body) { return !body["data"].empty(); },
        "the escrow");
    const Json& escrow = list.body["data"][0];
    escrow_ = escrow["id"].get<std::string>();
    if (escrow["state"] == "AWAITING") {  // otherwise the balance covered it
      Say("missing " + MoneyText(escrow["missing"]) + ", reference " + escrow["payment_reference"].get<std::string>());
      Json transfer = {{"amount", escrow["missing"]["amount"]},
                       {"currency", "CNY"},
                       {"reference", escrow["payment_reference"]},
                       {"payer_name", "示例企业"}};
      Call("bank", bank_, "POST", "/sandbox/transfers", transfer, 201);
    }
    Until(
        buyer.client, "/v1/bookings/" + booking_, [](const Json& body) { return body["state"] == "CONFIRMED"; },
        "CONFIRMED");
  }

  void Work() {
    Chapter("运营管理", "Checked in, worked, delivered, checked out, accepted");
    std::string order = WorkUpTo(match_["window"]);
    Answer refused = Call(buyer_, "POST", "/v1/escrows/" + escrow_ + ":release", Json::object(), 409);
    Say(refused.body["code"].get<std::string>() + "：" + refused.body["detail"].get<std::string>());
    DeliverAndAccept(buyer_, order);
  }

  // Moves the clock to the window, checks in and starts the work; the path of the work order.
  std::string WorkUpTo(const Json& window) {
    Time start = *ParseTime(window["start_time"].get<std::string>());
    Call("operator", operator_, "POST", "/v1/clock:advance",
         Json{{"to_time", FormatTime(start - std::chrono::minutes(10))}}, 200);
    Call(provider_, "POST", "/v1/bookings/" + booking_ + ":checkIn", Json::object(), 200);
    Call(provider_, "POST", "/v1/bookings/" + booking_ + ":start", Json::object(), 200);
    Answer booking = Call(provider_, "GET", "/v1/bookings/" + booking_, nullptr, 200);
    std::string order = "/v1/work_orders/" + booking.body["work_order_id"].get<std::string>();
    Call(provider_, "POST", order + ":start", Json::object(), 200);
    return order;
  }

  void DeliverAndAccept(const Party& buyer, const std::string& order) {
    Call(provider_, "POST", order + ":deliver", Json{{"note", "40 件，附检验记录"}}, 200);
    Call(provider_, "POST", "/v1/bookings/" + booking_ + ":checkOut", Json::object(), 200);
    Answer accepted = Call(buyer, "POST", order + ":accept", Json{{"note", "全部合格"}}, 200);
    Say("the work order is " + accepted.body["state"].get<std::string>());
  }

  void Release() {
    Chapter("放款", "Escrow releases price less fee and returns the deposit");
    Json escrow = PaidOut(buyer_);
    Say("captured " + MoneyText(escrow["captured"]) + " = fee " + MoneyText(escrow["fee"]) + " + pay-out " +
        MoneyText(escrow["payout"]));
    Say("returned to the buyer " + MoneyText(escrow["returned"]) + " (deposit)");
    Answer balance = Call(buyer_, "GET", "/v1/balance", nullptr, 200);
    Say("the buyer's balance: " + MoneyText(balance.body["available"]) + " available");
  }

  // Waits until the custodian has paid and the booking is closed, and checks the sums.
  Json PaidOut(const Party& buyer) {
    Answer escrow = Until(
        buyer.client, "/v1/escrows/" + escrow_, [](const Json& body) { return body["state"] == "PAID_OUT"; },
        "PAID_OUT");
    Until(
        buyer.client, "/v1/bookings/" + booking_, [](const Json& body) { return body["state"] == "CLOSED"; }, "CLOSED");
    auto amount = [&](const char* key) { return std::stoll(escrow.body[key].value("amount", "0")); };
    if (amount("captured") != amount("price") || amount("fee") + amount("payout") != amount("captured") ||
        amount("returned") != amount("deposit")) {
      throw StoryStopped{"the money does not add up"};
    }
    return escrow.body;
  }

  Json Credit(const Party& party, const char* role) {
    Answer answer = Call(party, "GET", "/v1/organizations/" + party.id + "/credit?role=" + role, nullptr, 200);
    return answer.body;
  }

  void Rate() {
    Chapter("信用评价", "Both sides review; scores move and explain themselves");
    ReviewEachOther(buyer_);
    Show(provider_, "PROVIDER", provider_before_);
    Show(buyer_, "BUYER", buyer_before_);
  }

  // Both write, so that both reviews are published at once.
  void ReviewEachOther(const Party& buyer) {
    Json praise = {{"booking_id", booking_}, {"rating", 5}, {"comment", "按时交付，质量好"}};
    Call(buyer, "POST", "/v1/reviews", praise, 201);
    praise["comment"] = "付款及时";
    Call(provider_, "POST", "/v1/reviews", praise, 201);
  }

  // The first window after `last` that can be booked: of the alternatives that the rival was offered, else the same
  // hours of a later day.
  Json NextWindow(const Party& buyer, Json body, const Json& last) {
    std::vector<Json> windows(alternatives_.begin(), alternatives_.end());
    for (int day = 1; day <= 14; ++day) {
      Json later;
      for (const char* key : {"start_time", "end_time"}) {
        later[key] = FormatTime(*ParseTime(last[key].get<std::string>()) + std::chrono::hours(24 * day));
      }
      windows.push_back(later);
    }
    std::sort(windows.begin(), windows.end(),
              [](const Json& a, const Json& b) { return a["start_time"] < b["start_time"]; });
    for (const Json& window : windows) {
      if (window["start_time"] < last["end_time"]) continue;
      body["window"] = window;
      if (buyer.client.Call("POST", "/v1/bookings?validate_only=true", body).ok()) return window;
    }
    throw StoryStopped{"no later window can be booked"};
  }

  // A newcomer has grade N until three settled bookings with two counterparties.
  void TradeOn() {
    Chapter("评级", "Two more trades earn the provider a grade: the rival takes an alternative, the buyer comes back");
    Json before = Credit(provider_, "PROVIDER");
    Json window = match_["window"];
    for (const Party* buyer : {&rival_, &buyer_}) {
      Json body = BookingOfMatch();
      body.erase("demand_id");
      window = NextWindow(*buyer, body, window);
      body["window"] = window;
      BookAs(*buyer, body);
      PayAs(*buyer);
      DeliverAndAccept(*buyer, WorkUpTo(window));
      PaidOut(*buyer);
      ReviewEachOther(*buyer);
    }
    Show(provider_, "PROVIDER", before);
  }

  void Show(const Party& party, const char* role, const Json& before) {
    Json credit = Credit(party, role)["roles"][0];
    const Json& old = before["roles"][0];
    Say(party.name + ": grade " + old["grade"].get<std::string>() + " → " + credit["grade"].get<std::string>() +
        ", score " + Points(old["score"]) + " → " + Points(credit["score"]) + " (between " +
        Points(credit["score_low"]) + " and " + Points(credit["score_high"]) + ")");
    const Json& why = credit["explanation"];
    for (const Json& part : why["contributions"]) Say("  " + part.value("zh", "") + "  " + part.value("en", ""));
    Say("  " + why.value("next_zh", "") + "  " + why.value("next_en", ""));
    if (credit["score"] == old["score"]) throw StoryStopped{"the score did not move"};
  }

  dev::Instance instance_;
  bool json_;
  ApiClient operator_, bank_;
  Party provider_, buyer_, rival_;
  Json provider_before_, buyer_before_, match_, alternatives_;
  std::string listing_, demand_, booking_, escrow_;
  Time now_;
  int chapter_ = 0;
  Clock::time_point began_;
};

}  // namespace

int Demo(const dev::Instance& instance, bool json) {
  try {
    Story(instance, json).Tell();
    return 0;
  } catch (const StoryStopped& stopped) {
    std::fprintf(stderr, "\nThe story stopped here: %s\n", stopped.why.c_str());
  } catch (const Json::exception& e) {
    std::fprintf(stderr, "\nThe story stopped here: an answer lacks something: %s\n", e.what());
  }
  return 1;
}

int Verify(const ApiClient& client, bool json) {
  Answer ledger = client.Call("GET", "/v1/ledger:verify");
  Answer audit = ledger.ok() ? client.Call("POST", "/v1/audit_log:verify", Json::object()) : Answer();
  for (const Answer* answer : {&ledger, &audit}) {
    if (answer->ok()) continue;
    if (json && answer->body.is_object()) std::printf("%s\n", answer->body.dump().c_str());
    std::fprintf(stderr, "millrace verify: %s\n", Describe(*answer).c_str());
    if (answer->status == 401 || answer->status == 403) std::fprintf(stderr, "Only the operator may.\n");
    return Refusal(*answer);
  }
  bool chained = audit.body.value("passed", false);
  bool passed = chained && ledger.body.value("passed", false);
  std::string detail = chained ? "entries up to " + audit.body["head"].value("seq", "0") + ", head " +
                                     audit.body["head"].value("hash", "").substr(0, 16)
                               : "entry " + audit.body.value("broken_seq", "0") + " is changed or missing";
  Json checks = ledger.body["checks"];
  checks.push_back({{"name", "audit_log"}, {"passed", chained}, {"detail", detail}});
  if (json) {
    std::printf("%s\n", Json({{"passed", passed}, {"checks", checks}}).dump().c_str());
    return passed ? kDone : kFailed;
  }
  for (const Json& check : checks) {
    std::printf("   %-6s %-28s %s\n", check.value("passed", false) ? "holds" : "FAILS", check.value("name", "").c_str(),
                check.value("detail", "").c_str());
  }
  return passed ? kDone : kFailed;
}

}  // namespace millrace
