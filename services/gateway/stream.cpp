// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/stream.h"

#include <algorithm>

#include "common/base/limits.h"
#include "common/base/words.h"
#include "common/http/json.h"
#include "services/gateway/transcode.h"

namespace millrace::gateway {
namespace {

using notifications::v1::FeedEvent;
using notifications::v1::WaitFeedRequest;
using notifications::v1::WaitFeedResponse;
using Clock = std::chrono::steady_clock;

// A wait ends this long after the caller's credential was last found good, so that a stream whose key is revoked ends
// within 5 s.
constexpr std::chrono::milliseconds kTrusted{4500};
constexpr std::chrono::seconds kPing{15};
// Between two looks that found nothing, however fast they were answered.
constexpr std::chrono::milliseconds kPace{100};

// `first`: answers at once.
Task<Result<WaitFeedResponse>> Wait(Feed feed, WaitFeedRequest request, bool first) {
  Result<StreamCaller> caller = co_await feed.caller();
  if (!caller) co_return std::unexpected<Error>(std::move(caller).error());
  auto left = std::chrono::ceil<std::chrono::milliseconds>(caller->asked + kTrusted - Clock::now());
  request.set_wait_ms(first ? 0 : static_cast<int>(std::clamp<int64_t>(left.count(), 1, kTrusted.count())));
  CallContext context = std::move(caller->context);
  context.deadline = WallNow() + std::chrono::milliseconds(request.wait_ms()) + limits::kCallDeadline;
  Result<WaitFeedResponse> answer = co_await rpc::Call<WaitFeedResponse>(
      *feed.notifications, "millrace.notifications.v1.Notifications.WaitFeed", std::move(context), std::move(request));
  co_return answer;
}

// "a,b" as two.
void SplitCommas(google::protobuf::RepeatedPtrField<std::string>* values) {
  google::protobuf::RepeatedPtrField<std::string> out;
  for (const std::string& value : *values) {
    for (std::string& word : SplitWords(value)) *out.Add() = std::move(word);
  }
  values->Swap(&out);
}

// The id of a frame that is no event's: a seq in digits, from where a client that comes back goes on.
std::string PlaceOf(const WaitFeedResponse& answer) { return "id: " + std::to_string(answer.next_after_seq()) + "\n"; }

std::string Lines(const WaitFeedResponse& answer) {
  std::string out;
  if (answer.reset()) out += PlaceOf(answer) + "event: reset\ndata: {}\n\n";
  for (const FeedEvent& event : answer.events()) {
    out += "id: " + event.id() + "\nevent: " + event.type() + "\ndata: " + http::WriteJson(event) + "\n\n";
  }
  return out;
}

Task<void> Run(Feed feed, WaitFeedRequest request, WaitFeedResponse first, std::shared_ptr<http::BodyWriter> writer) {
  // Where it starts is said at once, lest a client that is cut off before its first event miss some.
  std::string text = "retry: 3000\n" + (first.events().empty() ? PlaceOf(first) : std::string()) + "\n" + Lines(first);
  auto last = Clock::now();
  request.clear_after_id();
  request.set_after_seq(first.next_after_seq());
  while (!writer->closed()) {
    if (text.empty() && Clock::now() - last >= kPing) text = ": ping\n\n";
    if (!text.empty()) {
      bool open = co_await writer->Write(std::move(text));
      if (!open) co_return;
      last = Clock::now();
      text.clear();
    }
    Result<WaitFeedResponse> answer = co_await Wait(feed, request, false);
    // The client comes back with the last id it has seen, and then learns what is wrong.
    if (!answer) co_return;
    text = Lines(*answer);
    request.set_after_seq(answer->next_after_seq());
    if (text.empty()) co_await Sleep(kPace);
  }
}

}  // namespace

Result<WaitFeedRequest> ReadStreamRequest(const http::Request& request) {
  WaitFeedRequest wait;
  MILLRACE_CHECK(ReadQuery(request.query, &wait, {"wait_ms", "limit"}));
  SplitCommas(wait.mutable_types());
  SplitCommas(wait.mutable_topics());
  std::string last(request.fields.Get("Last-Event-ID"));
  if (last.empty()) return wait;
  wait.clear_after_seq();
  wait.clear_after_id();
  constexpr size_t kSeqDigits = 18;
  if (last.size() <= kSeqDigits && last.find_first_not_of("0123456789") == last.npos) {
    wait.set_after_seq(std::stoll(last));
  } else if (ParseId("evt", last)) {
    wait.set_after_id(std::move(last));
  } else {
    return Fail(ErrorCode::kInvalidId, {{"field", "Last-Event-ID"}, {"expected", "evt_01J9ZK3V6M2E8QW4T7Y1N5R0AB"}});
  }
  return wait;
}

Task<Result<http::Response>> OpenStream(Feed feed, WaitFeedRequest request) {
  Result<WaitFeedResponse> first = co_await Wait(feed, request, true);
  if (!first) co_return std::unexpected<Error>(std::move(first).error());
  http::Response response;
  response.fields.Set("Content-Type", "text/event-stream");
  response.fields.Set("Cache-Control", "no-store");
  response.fields.Set("X-Accel-Buffering", "no");
  response.stream = [feed, request, first = *std::move(first)](std::shared_ptr<http::BodyWriter> writer) {
    return Run(feed, request, first, std::move(writer));
  };
  co_return response;
}

}  // namespace millrace::gateway
