// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/app/feed.h"

#include <algorithm>
#include <chrono>

#include "common/base/limits.h"
#include "common/rpc/page.h"
#include "services/notifications/store/envelope.h"
#include "services/notifications/store/reads.h"
#include "services/notifications/store/times.h"

namespace millrace::notifications {
namespace {

using std::chrono::milliseconds;

// One row of the task table: the same id at every start.
const Uuid kPruneId = Uuid::FromHex("00000000-0000-8000-8000-6d696c6c7261");
constexpr std::chrono::hours kPruneEvery{24};
constexpr std::chrono::seconds kPruneRest{10};  // after a prune that left some
// Left of the caller's deadline for the answer itself.
constexpr milliseconds kAnswerTime{300};

Result<void> TakeIn(FeedSet& set, const events::v1::Event& event) {
  if (event.parties().empty()) return {};  // internal: nobody's feed
  FeedRow row;
  MILLRACE_TRY(row.event_id, ParseId("evt", event.id()));
  row.source = event.source();
  row.type = event.type();
  row.subject = event.aggregate();
  row.subject_version = event.aggregate_version();
  row.time = ReadTime(event.time());
  for (const std::string& party : event.parties()) {
    MILLRACE_TRY(Uuid organization, ParseId("org", party));
    if (std::find(row.parties.begin(), row.parties.end(), organization) == row.parties.end())
      row.parties.push_back(organization);
  }
  row.payload_type = event.payload_type();
  row.payload = event.payload();
  BoundPayload(row.subject, &row.payload_type, &row.payload);
  set.rows.push_back(std::move(row));
  return {};
}

}  // namespace

Feed::Feed(Executor executor, postgres::Database& worker, postgres::Database& reader, postgres::Writer<FeedSet>& writer)
    : executor_(std::move(executor)),
      reader_(reader),
      writer_(writer),
      sink_(
          worker, writer, [](FeedSet& set, const events::v1::Event& event) { set.wanted += !event.parties().empty(); },
          TakeIn),
      watch_(executor_, worker) {}

Task<Result<int64_t>> Feed::Position(std::string source) {
  Result<int64_t> position = co_await sink_.Position(std::move(source));
  co_return std::move(position);
}

Task<Result<void>> Feed::Apply(std::string source, std::vector<events::v1::Event> events) {
  Result<void> applied = co_await sink_.Apply(std::move(source), std::move(events));
  watch_.Signal();  // also after a failure: a part may have been taken in
  co_return std::move(applied);
}

Task<Result<v1::FeedEvent>> Feed::GetEvent(CallContext context, v1::GetEventRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("evt", request.id()));
  Result<std::optional<v1::FeedEvent>> found = co_await ReadEvent(reader_, std::move(context), id);
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  if (!*found) co_return Fail(ErrorCode::kNotFound);
  co_return **std::move(found);
}

Task<Result<v1::ListEventsResponse>> Feed::ListEvents(CallContext context, v1::ListEventsRequest request) {
  std::string filter = context.organization.Hex() + (context.IsOperator() ? "/all/" : "/own/") + request.type() + "/" +
                       SubjectId(request.subject());
  for (const std::string& type : request.types()) filter += "," + type;
  if (request.has_after_seq()) filter += "/" + std::to_string(request.after_seq());
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Selection selection;
  selection.newest_first = !request.has_after_seq();
  if (!page.after.IsNil()) {
    selection.from = rpc::NumberOf(page.after);
  } else if (request.has_after_seq()) {
    selection.from = request.after_seq();
  }
  selection.rows = page.size + 1;  // one more tells whether there is a next page
  selection.types.assign(request.types().begin(), request.types().end());
  if (!request.type().empty()) selection.types.push_back(request.type());
  selection.subject = SubjectId(request.subject());
  Result<std::vector<v1::FeedEvent>> found = co_await ListFeed(reader_, std::move(context), std::move(selection));
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  v1::ListEventsResponse response;
  bool more = found->size() > static_cast<size_t>(page.size);
  if (more) found->resize(page.size);
  if (more) response.set_next_page_token(rpc::NextPageToken(rpc::PlaceOf(found->back().seq()), filter));
  for (v1::FeedEvent& event : *found) *response.add_data() = std::move(event);
  co_return std::move(response);
}

Task<Result<v1::WaitFeedResponse>> Feed::WaitFeed(CallContext context, v1::WaitFeedRequest request) {
  auto waiter = std::make_shared<Watch::Waiter>(executor_);
  waiter->organization = context.organization;
  waiter->all = context.IsOperator();
  waiter->types.assign(request.types().begin(), request.types().end());
  waiter->types.insert(waiter->types.end(), request.topics().begin(), request.topics().end());
  // Among the waiters before the first look: what comes in between wakes it.
  std::unique_ptr<Watch::Registration> registration;
  if (request.wait_ms() > 0) registration = watch_.Register(waiter);
  Result<v1::WaitFeedResponse> response = co_await WaitFrom(std::move(context), std::move(request), waiter);
  registration.reset();
  if (watch_.idle()) watch_.Signal();  // it need not follow for nobody
  co_return std::move(response);
}

Task<Result<v1::WaitFeedResponse>> Feed::WaitFrom(CallContext context, v1::WaitFeedRequest request,
                                                  std::shared_ptr<Watch::Waiter> waiter) {
  Time end = WallNow() + milliseconds(request.wait_ms());
  if (context.deadline != Time::max()) end = std::min(end, Time(context.deadline - kAnswerTime));
  std::optional<int64_t> after;
  if (request.has_after_seq()) after = request.after_seq();
  Uuid after_id = IdOrNil(request.after_id());
  Selection selection;
  selection.rows = request.limit() > 0 ? std::min(request.limit(), limits::kPageSizeMax) : limits::kPageSizeMax;
  selection.types = waiter->types;
  v1::WaitFeedResponse response;
  while (true) {
    // A call that does not wait asks the database, which knows more than the watch of a moment ago.
    bool remembered = request.wait_ms() > 0 && after && after_id.IsNil() && watch_.Knows(*after);
    if (remembered && !watch_.Any(*after, *waiter)) {
      after = watch_.head();
      response.set_next_after_seq(*after);
    } else {
      Result<Start> start = co_await StartOfWait(reader_, context, after, after_id);
      if (!start) co_return std::unexpected<Error>(std::move(start).error());
      response.set_reset(start->reset);
      response.set_next_after_seq(start->head);
      if (start->reset) co_return std::move(response);
      if (start->after < start->head) {
        selection.from = start->after;
        Result<std::vector<v1::FeedEvent>> found = co_await ListFeed(reader_, context, selection);
        if (!found) co_return std::unexpected<Error>(std::move(found).error());
        // Everything up to the head was there to be listed; a full list ends before it, a later one may end after it.
        bool full = found->size() == static_cast<size_t>(selection.rows);
        if (!found->empty())
          response.set_next_after_seq(full ? found->back().seq() : std::max(start->head, found->back().seq()));
        for (v1::FeedEvent& event : *found) *response.add_events() = std::move(event);
      }
      // What lies before the head is not for this caller: from there on.
      after = start->head;
      after_id = Uuid();
    }
    Time now = WallNow();
    if (!response.events().empty() || now >= end || watch_.stopping()) co_return std::move(response);
    Duration wait = end - now;
    co_await waiter->wakeup.Wait(wait);
  }
}

void Feed::Stop() { watch_.Stop(); }

Task<Result<void>> Feed::SchedulePruning() {
  postgres::Command<FeedSet> command;
  command.header.method = "schedule";
  command.decide = [](FeedSet& set) -> Result<std::string> {
    set.tasks.push_back({kPruneId, kPruneTask, kPruneId, set.now, ""});
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<void>> Feed::Prune(tasks::DueTask task) {
  postgres::Command<FeedSet> command;
  command.header.method = kPruneTask;
  command.need = [](FeedSet& set) { set.prune = true; };
  postgres::EndedTask ended = task.Ended();
  command.decide = [ended](FeedSet& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    Duration next = set.prune_count == kPruneRows ? Duration(kPruneRest) : Duration(kPruneEvery);
    set.tasks.push_back({kPruneId, kPruneTask, kPruneId, set.now + next, ""});
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

}  // namespace millrace::notifications
