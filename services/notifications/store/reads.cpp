// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/store/reads.h"

#include "common/postgres/asking.h"
#include "services/notifications/store/envelope.h"

namespace millrace::notifications {
namespace {

using postgres::Asking;
using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

#define FEED_COLUMNS "event_id, seq, type, subject, subject_version, runtime.micros(time), payload_type, payload"
constexpr Statement kRead = {"feed_read", "SELECT " FEED_COLUMNS " FROM read_event($1, $2, $3)"};
constexpr Statement kList = {"feed_list", "SELECT " FEED_COLUMNS " FROM list_events($1, $2, $3, $4, $5, $6, $7)"};
#undef FEED_COLUMNS
constexpr Statement kHead = {"feed_head", "SELECT head FROM feed_state"};
constexpr Statement kNews = {
    "feed_news",
    "SELECT seq, type, array_to_string(parties, ',') FROM feed_event WHERE seq > $1 ORDER BY seq LIMIT $2"};
constexpr Statement kStart = {"feed_start", "SELECT r_start, r_head, r_reset FROM start_of_wait($1, $2, $3, $4)"};

v1::FeedEvent ReadRow(const Row& row, const Uuid& receiver) {
  KeptEvent event;
  event.id = row.Id(0);
  event.seq = row.Int(1);
  event.type = row.Text(2);
  event.subject = row.Text(3);
  event.subject_version = row.Int(4);
  event.time = row.At(5);
  event.payload_type = row.Text(6);
  event.payload = row.Bytes(7);
  return Envelope(event, receiver);
}

}  // namespace

Task<Result<std::optional<v1::FeedEvent>>> ReadEvent(postgres::Database& reader, CallContext context, Uuid id) {
  Params params = Asking(context);
  Uuid receiver = context.organization;
  params.Id(id);
  Result<Rows> rows = co_await reader.Query(kRead, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::optional<v1::FeedEvent> event;
  if (!rows->empty()) event = ReadRow((*rows)[0], receiver);
  co_return std::move(event);
}

Task<Result<std::vector<v1::FeedEvent>>> ListFeed(postgres::Database& reader, CallContext context,
                                                  Selection selection) {
  Params params = Asking(context);
  if (selection.from) {
    params.Int(*selection.from);
  } else if (selection.newest_first) {
    params.Null();
  } else {
    params.Int(0);
  }
  params.Bool(selection.newest_first).Int(selection.rows).Texts(selection.types).Text(selection.subject);
  Result<Rows> rows = co_await reader.Query(kList, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<v1::FeedEvent> events;
  for (Row row : *rows) events.push_back(ReadRow(row, context.organization));
  co_return std::move(events);
}

Task<Result<Start>> StartOfWait(postgres::Database& reader, CallContext context, std::optional<int64_t> after,
                                Uuid after_id) {
  Params params = Asking(context);
  if (after) {
    params.Int(*after);
  } else {
    params.Null();
  }
  params.Id(after_id);
  Result<Rows> rows = co_await reader.Query(kStart, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  Row row = (*rows)[0];
  co_return Start{row.Int(0), row.Int(1), row.Bool(2)};
}

Task<Result<int64_t>> ReadHead(postgres::Database& worker) {
  Params params;
  Result<Rows> rows = co_await worker.Query(kHead, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  co_return (*rows)[0].Int(0);
}

Task<Result<std::vector<News>>> ReadNews(postgres::Database& worker, int64_t after, int limit) {
  Params params;
  params.Int(after).Int(limit);
  Result<Rows> rows = co_await worker.Query(kNews, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::vector<News> news;
  for (Row row : *rows) {
    News& one = news.emplace_back();
    one.seq = row.Int(0);
    one.type = row.Text(1);
    std::string parties = row.Text(2);
    for (size_t at = 0; at < parties.size(); at += 37) one.parties.push_back(Uuid::FromHex(parties.substr(at, 36)));
  }
  co_return std::move(news);
}

}  // namespace millrace::notifications
