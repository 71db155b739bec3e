// SPDX-License-Identifier: Apache-2.0
// The use cases of operations: bookings, work orders, and the saga that moves their money.
#pragma once

#include <functional>
#include <string>

#include "common/events/consumer.h"
#include "common/postgres/writer.h"
#include "common/rpc/channel.h"
#include "common/tasks/tasks.h"
#include "millrace/operations/v1/operations.pb.h"
#include "services/operations/store/store.h"

namespace millrace::operations {

// What the use cases stand on. Everything outlives Operations.
struct Ports {
  Executor executor;
  postgres::Database& worker;
  postgres::Database& reader;
  tasks::Runner& tasks;
  std::function<rpc::Channel&(std::string_view service)> channel;
};

class Operations {
 public:
  explicit Operations(Ports ports);

  postgres::Writer<Set>& writer() { return writer_; }
  events::Sink& sink() { return sink_; }
  // Registers the handlers of due work: hold, void, capture, booking_deadline, work_order_deadline.
  void HandleTasks();

  Task<Result<v1::Booking>> CreateBooking(CallContext context, v1::CreateBookingRequest request);
  Task<Result<v1::Booking>> GetBooking(CallContext context, v1::GetBookingRequest request);
  Task<Result<v1::ListBookingsResponse>> ListBookings(CallContext context, v1::ListBookingsRequest request);
  Task<Result<v1::Booking>> ApproveBooking(CallContext context, v1::BookingVerbRequest request);
  Task<Result<v1::WorkOrder>> GetWorkOrder(CallContext context, v1::GetWorkOrderRequest request);
  Task<Result<v1::ListWorkOrdersResponse>> ListWorkOrders(CallContext context, v1::ListWorkOrdersRequest request);
  Task<Result<v1::SnapshotReservationsResponse>> SnapshotReservations(CallContext context,
                                                                      v1::SnapshotReservationsRequest request);
  // Decline, Cancel, CheckIn, Start, CheckOut, Close: one event of the table each.
  Task<Result<v1::Booking>> ActOnBooking(CallContext context, v1::BookingVerbRequest request, BookingEvent event,
                                         const char* method);
  Task<Result<v1::WorkOrder>> ActOnWorkOrder(CallContext context, v1::WorkOrderVerbRequest request, WorkEvent event,
                                             const char* method);

 private:
  // CreateBooking in steps; see create.cpp.
  struct Wanted;
  Task<Result<postgres::Outcome>> Place(std::shared_ptr<Wanted> wanted);
  Task<Result<void>> LearnListing(std::shared_ptr<Wanted> wanted);
  Task<void> HoldNow(Uuid booking);
  Task<Result<v1::Booking>> Answer(CallContext context, std::shared_ptr<Wanted> wanted, std::optional<Error> refusal);

  // Saga steps; see saga.cpp.
  Task<Result<void>> RunHold(tasks::DueTask task);
  Task<Result<void>> RunVoid(tasks::DueTask task);
  Task<Result<void>> RunCapture(tasks::DueTask task);
  Task<Result<void>> RunBookingDeadline(tasks::DueTask task);
  Task<Result<void>> RunWorkDeadline(tasks::DueTask task);
  // Ends the task; a HELD booking moves by `event` if it is given, otherwise keeps `missing`.
  Task<Result<void>> Settle(tasks::DueTask task, std::optional<BookingEvent> event, int64_t missing);
  Task<Result<void>> End(tasks::DueTask task);

  Ports ports_;
  OperationsStore store_;
  postgres::Writer<Set> writer_;
  events::WriterSink<Set> sink_;
};

// Facts of other services (facts.cpp): what an event needs, and its effect.
void NeedFor(Set& set, const events::v1::Event& event);
Result<void> ApplyFact(Set& set, const events::v1::Event& event);
// Keeps a listing as it is now; an older version changes nothing.
void LearnBookable(Set& set, const std::string& payload);

// Fills the reply's headers from a message with an etag, parsed from an outcome.
template <class Message>
Result<Message> Reply(const CallContext& context, const Result<postgres::Outcome>& outcome) {
  if (!outcome) return std::unexpected<Error>(outcome.error());
  Message message;
  if (!message.ParseFromString(outcome->response)) return Fail(Error::Internal("unreadable outcome"));
  context.reply->replayed = outcome->replayed;
  context.reply->etag = message.etag();
  return message;
}

}  // namespace millrace::operations
