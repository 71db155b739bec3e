// SPDX-License-Identifier: Apache-2.0
// What callers read: as themselves, through functions that name who asks, so that row-level security decides.
#include "common/base/limits.h"
#include "common/postgres/asking.h"
#include "common/rpc/page.h"
#include "services/operations/app/operations.h"
#include "services/operations/store/mapping.h"

namespace millrace::operations {
namespace {

using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;
using postgres::Transaction;

constexpr Statement kReadBooking = {"ops_read_booking", "SELECT * FROM read_booking($1, $2, $3)"};
constexpr Statement kReadWork = {"ops_read_work", "SELECT * FROM read_work_order($1, $2, $3)"};
constexpr Statement kListBookings = {"ops_list_bookings",
                                     "SELECT id, payload FROM list_bookings($1, $2, $3, $4, $5, $6, $7)"};
constexpr Statement kListWorks = {"ops_list_works", "SELECT id, payload FROM list_work_orders($1, $2, $3, $4, $5)"};
constexpr Statement kHead = {"ops_head", "SELECT head FROM event_log"};
constexpr Statement kSnapshot = {
    "ops_snapshot",
    "SELECT b.payload FROM (SELECT DISTINCT booking_id FROM reservation WHERE release_time IS NULL "
    "AND ($1::uuid IS NULL OR booking_id > $1::uuid) ORDER BY booking_id LIMIT $2) r "
    "JOIN booking b ON b.id = r.booking_id ORDER BY b.id"};

template <class Message>
Result<Message> One(const CallContext& context, const Result<Rows>& rows) {
  if (!rows) return std::unexpected<Error>(rows.error());
  Message message;
  if (rows->empty()) return Fail(ErrorCode::kNotFound);
  if (!message.ParseFromString((*rows)[0].Bytes(0))) return Fail(Error::Internal("unreadable payload"));
  context.reply->etag = message.etag();
  return message;
}

template <class Response>
Result<Response> Page(const Result<Rows>& rows, int size, const std::string& filter) {
  if (!rows) return std::unexpected<Error>(rows.error());
  Response response;
  int count = 0;
  Uuid last;
  for (Row row : *rows) {
    if (++count > size) {
      response.set_next_page_token(rpc::NextPageToken(last, filter));
      break;
    }
    if (!response.add_data()->ParseFromString(row.Bytes(1))) return Fail(Error::Internal("unreadable payload"));
    last = row.Id(0);
  }
  return response;
}

}  // namespace

Task<Result<v1::Booking>> Operations::GetBooking(CallContext context, v1::GetBookingRequest request) {
  Params params = postgres::Asking(context);
  params.Id(IdOrNil(request.id()));
  Result<Rows> rows = co_await ports_.reader.Query(kReadBooking, std::move(params));
  co_return One<v1::Booking>(context, rows);
}

Task<Result<v1::WorkOrder>> Operations::GetWorkOrder(CallContext context, v1::GetWorkOrderRequest request) {
  Params params = postgres::Asking(context);
  params.Id(IdOrNil(request.id()));
  Result<Rows> rows = co_await ports_.reader.Query(kReadWork, std::move(params));
  co_return One<v1::WorkOrder>(context, rows);
}

Task<Result<v1::ListBookingsResponse>> Operations::ListBookings(CallContext context, v1::ListBookingsRequest request) {
  std::string filter = context.organization.Hex() + "|bookings|" + std::to_string(request.state()) + "|" +
                       request.listing_id() + "|" + request.external_id();
  Result<rpc::Page> page = rpc::ReadPage(request.page_size(), request.page_token(), filter);
  if (!page) co_return std::unexpected<Error>(std::move(page).error());
  Params params = postgres::Asking(context);
  params.Id(page->after).Int(request.state());
  params.Id(IdOrNil(request.listing_id())).Text(request.external_id()).Int(page->size + 1);
  Result<Rows> rows = co_await ports_.reader.Query(kListBookings, std::move(params));
  co_return Page<v1::ListBookingsResponse>(rows, page->size, filter);
}

Task<Result<v1::ListWorkOrdersResponse>> Operations::ListWorkOrders(CallContext context,
                                                                    v1::ListWorkOrdersRequest request) {
  std::string filter = context.organization.Hex() + "|work_orders|" + std::to_string(request.state());
  Result<rpc::Page> page = rpc::ReadPage(request.page_size(), request.page_token(), filter);
  if (!page) co_return std::unexpected<Error>(std::move(page).error());
  Params params = postgres::Asking(context);
  params.Id(page->after).Int(request.state()).Int(page->size + 1);
  Result<Rows> rows = co_await ports_.reader.Query(kListWorks, std::move(params));
  co_return Page<v1::ListWorkOrdersResponse>(rows, page->size, filter);
}

Task<Result<v1::SnapshotReservationsResponse>> Operations::SnapshotReservations(
    CallContext, v1::SnapshotReservationsRequest request) {
  Uuid after = IdOrNil(request.after_id());
  int limit = request.limit() <= 0 ? limits::kEventsPerPull : std::min<int>(request.limit(), limits::kEventsPerPull);
  auto read = [after, limit](Transaction& tx) {
    v1::SnapshotReservationsResponse response;
    // The head first: what is read after it holds at least those events' effects.
    response.set_seq(tx.Execute(kHead)[0].Int(0));
    Rows rows = tx.Execute(kSnapshot, Params().Id(after).Int(limit + 1));
    for (Row row : rows) {
      if (response.data_size() == limit) {
        response.set_more(true);
        break;
      }
      response.add_data()->ParseFromString(row.Bytes(0));
    }
    return response;
  };
  Result<v1::SnapshotReservationsResponse> response = co_await ports_.worker.Run(read);
  co_return std::move(response);
}

}  // namespace millrace::operations
