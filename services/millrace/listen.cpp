// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/listen.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <expected>
#include <functional>
#include <optional>

#include "common/base/time.h"
#include "common/base/words.h"
#include "common/crypto/crypto.h"
#include "common/http/http.h"
#include "services/millrace/arguments.h"
#include "services/millrace/clock.h"
#include "services/millrace/follow.h"
#include "services/millrace/target.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

// As long as the platform itself waits for a receiver.
constexpr std::chrono::seconds kReceiverTimeout{20};
constexpr size_t kCountDigits = 9;
const std::vector<size_t> kEventWidths = {27, 30, 31, 12};

struct Receiver {
  std::string base, target;  // "http://127.0.0.1:3000", "/hooks?tenant=7"
};

// The address split before its path, so that path and query go as they were given; nothing if it is none.
std::optional<Receiver> ParseReceiver(const std::string& url) {
  size_t scheme = url.find("://");
  if (scheme == url.npos || (!url.starts_with("http://") && !url.starts_with("https://"))) return std::nullopt;
  size_t end = std::min(url.find_first_of("/?#", scheme + 3), url.size());
  if (end == scheme + 3 || url.find('@') < end || url.find(' ') != url.npos) return std::nullopt;
  Receiver receiver{url.substr(0, end), url.substr(end, url.find('#', end) - end)};
  if (!receiver.target.starts_with('/')) receiver.target.insert(0, "/");
  return receiver;
}

// Stays the same for one key, so that a receiver is configured once; nobody gets from it to the key.
std::string SecretOf(const std::string& key) {
  return "whsec_" + crypto::Base64(crypto::HmacSha256(key, "millrace listen"));
}

std::string Member(const Json& data, const char* name) {
  auto found = data.find(name);
  return found != data.end() && found->is_string() ? found->get<std::string>() : std::string();
}

struct Sent {
  int status = 0;  // 0: no answer
  std::string why;
  int64_t took_ms = 0;
};

Sent Forward(const Receiver& receiver, const std::string& secret, const StreamEvent& event, bool verify) {
  int64_t now = std::time(nullptr);
  http::Request request;
  request.method = "POST";
  request.target = receiver.target;
  request.fields.Set("Content-Type", "application/json");
  request.fields.Set("User-Agent", "millrace-listen/" MILLRACE_VERSION);
  request.fields.Set("webhook-id", event.id);
  request.fields.Set("webhook-timestamp", std::to_string(now));
  request.fields.Set("webhook-signature", crypto::SignWebhook(secret, event.id, now, event.data));
  request.body = event.data;
  auto began = std::chrono::steady_clock::now();
  http::FetchOptions options{.timeout = kReceiverTimeout};
  options.any_certificate = !verify;
  Result<http::Response> response = http::FetchBlocking(receiver.base, request, options);
  Sent sent;
  sent.took_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began).count();
  if (response) {
    sent.status = response->status;
  } else {
    sent.why = response.error().cause;
  }
  return sent;
}

void PrintForwarded(const StreamEvent& event, const Json& data, const Sent& sent, bool json) {
  if (json) {
    Json line = {{"id", event.id},
                 {"type", event.type},
                 {"subject", Member(data, "subject")},
                 {"status", sent.status},
                 {"took_ms", sent.took_ms}};
    if (!sent.why.empty()) line["error"] = sent.why;
    std::printf("%s\n", line.dump().c_str());
  } else {
    bool taken = sent.status >= 200 && sent.status < 300;
    std::string said = sent.status == 0 ? "no answer" : std::to_string(sent.status);
    // Apart from the row, whose cells are stripped of what a terminal would obey.
    std::printf("%s%s", Paint(said, taken ? Colour::kGreen : Colour::kRed).c_str(), AtTerminal() ? "  " : "\t");
    PrintRow({event.type, Member(data, "subject"), event.id,
              std::to_string(sent.took_ms) + " ms" + (sent.why.empty() ? "" : "  " + sent.why)},
             {});
  }
  std::fflush(stdout);
}

// --limit N: how many events end it; 0 for none. Nothing if it is no number.
std::optional<int64_t> TakeLimit(std::vector<std::string>* arguments) {
  std::string text = TakeOption(arguments, "--limit").value_or("0");
  bool good = !text.empty() && text.size() <= kCountDigits && text.find_first_not_of("0123456789") == text.npos;
  return good ? std::optional(std::stoll(text)) : std::nullopt;
}

// The stream's start for --since: an event's id, a seq, a time, or how long ago by the instance's clock. Nothing, with
// a word to the person, if it is none or cannot be found out; `status` is then the exit status.
std::optional<std::string> StartOf(const ApiClient& client, const std::string& since, int* status) {
  if (since.empty() || since.starts_with("evt_")) return since;
  if (since.find_first_not_of("0123456789") == since.npos) return since;
  std::optional<Time> from;
  if (std::optional<Duration> ago = ParseLength(since)) {
    Answer clock = client.Call("GET", "/v1/clock");
    if (!clock.ok()) {
      std::fprintf(stderr, "millrace: the instance's clock: %s\n", Describe(clock).c_str());
      *status = Refusal(clock);
      return std::nullopt;
    }
    if (Result<Time> now = ParseTime(clock.body.value("now", ""))) from = *now - *ago;
  } else if (Result<Time> time = ParseTime(since)) {
    from = *time;
  }
  if (!from) {
    *status = Misused("--since is an event's id, a seq, a time with its offset or a length like 2h or PT2H");
    return std::nullopt;
  }
  // Newest first until one is older: the stream starts behind that.
  Busy busy("looking for the first event since " + FormatTime(*from));
  std::string token;
  do {
    Answer page = client.Call("GET", "/v1/events?page_size=500" + (token.empty() ? "" : "&page_token=" + token));
    if (!page.ok()) {
      std::fprintf(stderr, "millrace: the events: %s\n", Describe(page).c_str());
      *status = Refusal(page);
      return std::nullopt;
    }
    for (const Json& event : page.body["data"]) {
      Result<Time> time = ParseTime(Member(event, "time"));
      if (time && *time < *from) return Member(event, "seq");
    }
    token = http::PercentEncode(page.body.value("next_page_token", ""));
  } while (!token.empty());
  return "0";
}

// What listen and tail share.
struct Wish {
  bool json = false;
  std::vector<std::string> types;
  std::string since;
  int64_t limit = 0;  // 0: none
  std::optional<Target> target;
};

// Takes the options that both have, `types` by its flag; then nothing may be left. An exit status if something is wrong.
std::expected<Wish, int> TakeWish(const char* command, const char* types, std::vector<std::string>* arguments) {
  Wish wish;
  wish.json = TakeFlag(arguments, "--json");
  wish.types = SplitWords(TakeOption(arguments, types).value_or(""));
  wish.since = TakeOption(arguments, "--since").value_or("");
  std::optional<int64_t> limit = TakeLimit(arguments);
  wish.target = FindTarget(arguments);
  if (!wish.target) return std::unexpected(kMisused);
  if (!arguments->empty()) return std::unexpected(Leftover(command, *arguments));
  if (!limit) return std::unexpected(Misused("--limit is a number of events"));
  wish.limit = *limit;
  return wish;
}

// Hands over each event with its parsed data, from where the person wants them and as many as wanted.
int FollowEvents(const ApiClient& client, const Wish& wish, const std::string& start,
                 const std::function<void(const StreamEvent&, const Json&)>& on_event) {
  int64_t left = wish.limit;
  return Follow(client, wish.types, start, [&](const StreamEvent& event) {
    if (event.type == "reset") {
      std::fprintf(stderr, "millrace: some events may be missing here: the start lies before those that are kept\n");
      return true;
    }
    Json data = Json::parse(event.data, nullptr, false);
    on_event(event, data.is_object() ? data : Json::object());
    return wish.limit == 0 || --left > 0;
  });
}

}  // namespace

int RunListen(std::vector<std::string> arguments) {
  bool print_secret = TakeFlag(&arguments, "--print-secret"), verify = !TakeFlag(&arguments, "--skip-verify");
  std::string url = TakeOption(&arguments, "--forward-to").value_or("");
  std::expected<Wish, int> wish = TakeWish("listen", "--events", &arguments);
  if (!wish) return wish.error();
  std::string secret = SecretOf(wish->target->key);
  if (print_secret) {
    std::printf("%s\n", secret.c_str());
    std::fflush(stdout);
    if (url.empty()) return kDone;
  }
  std::optional<Receiver> receiver = ParseReceiver(url);
  if (!receiver) return Misused("--forward-to needs the receiver's address: http://127.0.0.1:3000/hooks");
  int status = kDone;
  ApiClient client = wish->target->Client();
  std::optional<std::string> start = StartOf(client, wish->since, &status);
  if (!start) return status;
  std::fprintf(stderr,
               "Forwarding %s's events to %s; `millrace listen --print-secret` shows what signs them. Ctrl-C ends.\n",
               wish->target->url.c_str(), url.c_str());
  return FollowEvents(client, *wish, *start, [&](const StreamEvent& event, const Json& data) {
    PrintForwarded(event, data, Forward(*receiver, secret, event, verify), wish->json);
  });
}

int RunTail(std::vector<std::string> arguments) {
  std::expected<Wish, int> wish = TakeWish("events tail", "--type", &arguments);
  if (!wish) return wish.error();
  int status = kDone;
  ApiClient client = wish->target->Client();
  std::optional<std::string> start = StartOf(client, wish->since, &status);
  if (!start) return status;
  return FollowEvents(client, *wish, *start, [&](const StreamEvent& event, const Json& data) {
    if (wish->json) {
      std::printf("%s\n", event.data.c_str());
    } else if (!data.empty()) {
      PrintRow({Member(data, "time"), event.type, Member(data, "subject"), event.id}, kEventWidths);
    }
    std::fflush(stdout);
  });
}

}  // namespace millrace
