// SPDX-License-Identifier: Apache-2.0
#include "common/redis/wakeups.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <vector>

#include "common/redis/link.h"
#include "common/telemetry/log.h"

namespace millrace::redis {
namespace {

using std::chrono::milliseconds;

constexpr char kStream[] = "millrace:wakeups";
constexpr char kStreamLength[] = "1000";
constexpr char kReadCount[] = "1000";
constexpr milliseconds kBlock{5000};  // of XREAD
constexpr int kPendingMax = 1000;     // announcements without an answer; more are dropped

std::string_view Text(const redisReply* reply) {
  if (!reply || (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS)) return {};
  return {reply->str, static_cast<size_t>(reply->len)};
}

bool IsArray(const redisReply* reply, size_t at_least) {
  return reply && reply->type == REDIS_REPLY_ARRAY && reply->elements >= at_least;
}

// Stream ids "ms-n" by number.
bool IsBefore(std::string_view a, std::string_view b) {
  auto parts = [](std::string_view id) {
    std::pair<uint64_t, uint64_t> value{0, 0};
    size_t dash = std::min(id.find('-'), id.size());
    std::from_chars(id.data(), id.data() + dash, value.first);
    if (dash < id.size()) std::from_chars(id.data() + dash + 1, id.data() + id.size(), value.second);
    return value;
  };
  return parts(a) < parts(b);
}

}  // namespace

struct Wakeups::State : std::enable_shared_from_this<Wakeups::State> {
  State(Executor e, std::string u, std::function<void(std::string, int64_t)> h)
      : executor(std::move(e)), url(std::move(u)), heard(std::move(h)) {}

  void Start() {
    Address address = ParseUrl(url);
    if (!address.valid()) {
      telemetry::Log(telemetry::Level::kError, "redis.bad_url", {{"setting", "redis_url"}});  // it may hold a password
      return;
    }
    std::weak_ptr<State> weak = weak_from_this();
    announcer = std::make_shared<Link>(executor, address, [](bool) {});
    reader = std::make_shared<Link>(executor, address, [weak](bool ready) {
      auto self = weak.lock();
      if (!self) return;
      telemetry::Log(ready ? telemetry::Level::kInfo : telemetry::Level::kWarning,
                     ready ? "redis.connected" : "redis.lost");
      if (ready) self->Continue();
    });
    announcer->Start();
    reader->Start();
  }

  void Stop() {
    heard = nullptr;
    for (auto& link : {announcer, reader}) {
      if (link) link->Stop();
    }
  }

  void Announce(const std::string& source, int64_t seq) {
    if (!announcer || announcer->pending() >= kPendingMax) return;
    announcer->Send({"XADD", kStream, "MAXLEN", "~", kStreamLength, "*", "source", source, "seq", std::to_string(seq)},
                    kAnswer, [](redisReply*) {});
  }

  // From where it was before the connection broke; at first from the stream's end.
  void Continue() {
    if (last_id.empty()) {
      FindEnd();
    } else {
      Read();
    }
  }

  void FindEnd() {
    reader->Send({"XREVRANGE", kStream, "+", "-", "COUNT", "1"}, kAnswer, [weak = weak_from_this()](redisReply* reply) {
      auto self = weak.lock();
      if (!self || !reply) return;
      if (!IsArray(reply, 0)) return self->reader->Drop();
      std::string end = "0-0";
      if (IsArray(reply, 1) && IsArray(reply->element[0], 1)) end = Text(reply->element[0]->element[0]);
      // Ids follow the server's clock: after a loss of everything and a clock that went back they start below ours.
      if (self->last_id.empty()) {
        self->last_id = end;
      } else if (IsBefore(end, self->last_id)) {
        self->last_id = "0-0";
      }
      self->Read();
    });
  }

  void Read() {
    reader->Send({"XREAD", "COUNT", kReadCount, "BLOCK", std::to_string(kBlock.count()), "STREAMS", kStream, last_id},
                 kBlock + kAnswer, [weak = weak_from_this()](redisReply* reply) {
                   auto self = weak.lock();
                   if (self && reply) self->OnRead(reply);
                 });
  }

  void OnRead(redisReply* reply) {
    if (reply->type == REDIS_REPLY_NIL) return FindEnd();
    if (!IsArray(reply, 1) || !IsArray(reply->element[0], 2)) return reader->Drop();
    const redisReply* entries = reply->element[0]->element[1];
    if (!IsArray(entries, 1)) return reader->Drop();
    for (size_t i = 0; i < entries->elements; ++i) {
      const redisReply* entry = entries->element[i];
      if (!IsArray(entry, 2)) continue;
      last_id = Text(entry->element[0]);
      Hear(entry->element[1]);
      if (!heard) return;  // stopped by what heard it
    }
    Read();
  }

  void Hear(const redisReply* fields) {
    if (!IsArray(fields, 4)) return;
    std::string_view source, seq;
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
      std::string_view name = Text(fields->element[i]);
      if (name == "source") source = Text(fields->element[i + 1]);
      if (name == "seq") seq = Text(fields->element[i + 1]);
    }
    int64_t number = 0;
    auto [end, error] = std::from_chars(seq.data(), seq.data() + seq.size(), number);
    if (source.empty() || seq.empty() || error != std::errc() || end != seq.data() + seq.size()) return;
    auto call = heard;  // lives on if it stops us
    if (call) call(std::string(source), number);
  }

  Executor executor;
  std::string url;
  std::function<void(std::string, int64_t)> heard;
  std::shared_ptr<Link> announcer, reader;
  std::string last_id;
};

Wakeups::Wakeups(Executor executor, std::string url, std::function<void(std::string source, int64_t seq)> heard)
    : state_(std::make_shared<State>(std::move(executor), std::move(url), std::move(heard))) {}

Wakeups::~Wakeups() { Stop(); }

void Wakeups::Start() { state_->Start(); }
void Wakeups::Stop() { state_->Stop(); }
void Wakeups::Announce(std::string source, int64_t seq) { state_->Announce(source, seq); }

bool Wakeups::connected() const { return state_->announcer && state_->announcer->ready() && state_->reader->ready(); }

}  // namespace millrace::redis
