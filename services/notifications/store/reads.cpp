// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/store/reads.h"

namespace millrace::notifications {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

#define FEED_COLUMNS \
  "event_id, seq, type, subject, subject_version, runtime.micros(time), source, payload_type, payload"
constexpr Statement kRead = {"feed_read", "SELECT " FEED_COLUMNS " FROM read_event($1, $2, $3)"};
constexpr Statement kList = {"feed_list", "SELECT " FEED_COLUMNS " FROM list_events($1, $2, $3, $4, $5, $6, $7)"};
#undef FEED_COLUMNS
constexpr Statement kStart = {"feed_start", "SELECT r_start, r_head, r_reset FROM start_of_wait($1, $2, $3, $4)"};

v1::FeedEvent ReadRow(const Row& row) {
  v1::FeedEvent event;
  event.set_id(FormatId("evt", row.Id(0)));
  event.set_seq(row.Int(1));
  event.set_type(row.Text(2));
  event.set_subject(row.Text(3));
  event.set_subject_version(row.Int(4));
  int64_t micros = row.Int(5);
  event.mutable_time()->set_seconds(micros / 1000000);
  event.mutable_time()->set_nanos(static_cast<int32_t>(micros % 1000000) * 1000);
  event.set_source(row.Text(6));
  std::string payload_type = row.Text(7);
  if (!payload_type.empty()) {
    event.mutable_data()->set_type_url("type.googleapis.com/" + payload_type);
    event.mutable_data()->set_value(row.Bytes(8));
  }
  return event;
}

Params Asking(const CallContext& context) {
  std::string roles;
  for (const std::string& role : context.roles) roles += (roles.empty() ? "" : ",") + role;
  Params params;
  params.Id(context.organization).Text(roles);
  return params;
}

}  // namespace

Task<Result<std::optional<v1::FeedEvent>>> ReadEvent(postgres::Database& reader, CallContext context, Uuid id) {
  Params params = Asking(context);
  params.Id(id);
  Result<Rows> rows = co_await reader.Query(kRead, std::move(params));
  if (!rows) co_return std::unexpected<Error>(std::move(rows).error());
  std::optional<v1::FeedEvent> event;
  if (!rows->empty()) event = ReadRow((*rows)[0]);
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
  for (Row row : *rows) events.push_back(ReadRow(row));
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

}  // namespace millrace::notifications
