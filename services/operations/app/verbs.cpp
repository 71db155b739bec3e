// SPDX-License-Identifier: Apache-2.0
// What the parties do with bookings and work orders.
#include "services/operations/app/operations.h"
#include "services/operations/store/mapping.h"

namespace millrace::operations {
namespace {

struct Caller {
  Uuid organization;
  bool buys, provides;  // by the key's roles, which may be fewer than the organization's

  static Caller Of(const CallContext& context) {
    return {context.organization, context.Has("buyer"), context.Has("provider")};
  }
};

// As what the caller acts on this trade. Errors: NOT_FOUND if it is none of its business, INSUFFICIENT_SCOPE if its key
// has not the role of its side.
Result<Actor> ActorIn(const TradeRow* row, const Caller& caller) {
  if (row && caller.organization == row->trade.booking.buyer) {
    if (caller.buys) return kBuyer;
    return Fail(ErrorCode::kInsufficientScope, {{"roles", "buyer"}});
  }
  if (row && caller.organization == row->trade.booking.provider) {
    if (caller.provides) return kProvider;
    return Fail(ErrorCode::kInsufficientScope, {{"roles", "provider"}});
  }
  return Fail(ErrorCode::kNotFound);
}

}  // namespace

Task<Result<v1::Booking>> Operations::ActOnBooking(CallContext context, v1::BookingVerbRequest request,
                                                   BookingEvent event, const char* method) {
  Uuid id = IdOrNil(request.id());
  Caller caller = Caller::Of(context);
  std::string reason = request.reason();
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, method);
  command.need = [id](Set& set) { set.want_bookings.insert(id); };
  command.decide = [id, caller, reason, event](Set& set) -> Result<std::string> {
    TradeRow* row = set.Find(id);
    MILLRACE_TRY(Actor actor, ActorIn(row, caller));
    MILLRACE_TRY(Decision decision, operations::ActOnBooking(row->trade, event, actor, reason, set.now));
    set.Commit(*row, std::move(decision));
    return Bytes(Render(row->trade));
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  co_return Reply<v1::Booking>(context, outcome);
}

Task<Result<v1::Booking>> Operations::ApproveBooking(CallContext context, v1::BookingVerbRequest request) {
  Uuid id = IdOrNil(request.id());
  Caller caller = Caller::Of(context);
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, "ApproveBooking");
  command.need = [id](Set& set) { set.want_approval.insert(id); };
  command.decide = [id, caller](Set& set) -> Result<std::string> {
    TradeRow* row = set.Find(id);
    MILLRACE_TRY(Actor actor, ActorIn(row, caller));
    const Booking& booking = row->trade.booking;
    // The table first: what is not PROPOSED, or not the provider's to approve, has no capacity to check.
    MILLRACE_CHECK(Approve(row->trade, actor, {}, set.now));
    auto bookable = set.bookables.find(booking.listing);
    if (bookable == set.bookables.end()) return Fail(Error::Internal("a booking of an unknown listing"));
    if (!set.around.contains(booking.resource))
      return Fail(ErrorCode::kUnavailable);  // the listing moved within this batch
    MILLRACE_TRY(std::vector<Leg> legs,
                 CheckApproval(booking, bookable->second.value, set.around[booking.resource], set.taken, set.now));
    MILLRACE_TRY(Decision decision, Approve(row->trade, actor, std::move(legs), set.now));
    set.Commit(*row, std::move(decision));
    return Bytes(Render(row->trade));
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  co_return Reply<v1::Booking>(context, outcome);
}

Task<Result<v1::WorkOrder>> Operations::ActOnWorkOrder(CallContext context, v1::WorkOrderVerbRequest request,
                                                       WorkEvent event, const char* method) {
  Uuid id = IdOrNil(request.id());
  Caller caller = Caller::Of(context);
  std::string note = request.note();
  postgres::Command<Set> command;
  command.header = postgres::CommandHeader::Of(context, method);
  command.need = [id](Set& set) { set.want_works.insert(id); };
  command.decide = [id, caller, note, event](Set& set) -> Result<std::string> {
    TradeRow* row = set.FindWork(id);
    MILLRACE_TRY(Actor actor, ActorIn(row, caller));
    MILLRACE_TRY(Decision decision, ActOnWork(row->trade, event, actor, note, set.now));
    set.Commit(*row, std::move(decision));
    return Bytes(RenderWork(row->trade));
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  co_return Reply<v1::WorkOrder>(context, outcome);
}

}  // namespace millrace::operations
