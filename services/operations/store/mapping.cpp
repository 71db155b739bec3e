// SPDX-License-Identifier: Apache-2.0
#include "services/operations/store/mapping.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>

#include "common/crypto/crypto.h"
#include "common/terms/terms.h"

namespace millrace::operations {
namespace {

void SetTime(Time time, google::protobuf::Timestamp* out) {
  int64_t micros = Micros(time);
  int64_t seconds = micros / 1000000, rest = micros % 1000000;
  if (rest < 0) {
    rest += 1000000;
    --seconds;
  }
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(rest * 1000));
}

Time GetTime(const google::protobuf::Timestamp& time) {
  return FromMicros(time.seconds() * 1000000 + time.nanos() / 1000);
}

std::optional<Time> OptionalTime(bool there, const google::protobuf::Timestamp& time) {
  return there ? std::optional<Time>(GetTime(time)) : std::nullopt;
}

// Verbs from the table, the default outcome behind them.
template <class State, class Event, class Skip>
void AddActions(const StateTable<State, Event>& table, State state, const std::optional<Default<Event>>& fallback,
                Skip skip, google::protobuf::RepeatedPtrField<type::Action>* out) {
  for (const auto* row : table.From(state)) {
    uint8_t actors = row->actors & static_cast<uint8_t>(~kSystem);
    if (actors == 0 || skip(row->event)) continue;
    type::Action* action = out->Add();
    action->set_action(std::string(table.event_name(row->event)));
    for (std::string_view name : ActorNames(actors)) action->add_actors(std::string(name));
  }
  if (!fallback) return;
  type::Action* action = out->Add();
  action->set_action(std::string(table.event_name(fallback->outcome)));
  action->add_actors("system");
  SetTime(fallback->deadline, action->mutable_deadline_time());
}

pricing::Price PriceOf(const listing::v1::Price& message) {
  pricing::Price price;
  for (const auto& line : message.lines()) {
    price.lines.push_back({line.code(), line.quantity_minutes(), line.unit_price(), line.amount()});
  }
  price.net = message.net().amount();
  price.vat = message.vat().amount();
  price.total = message.total().amount();
  price.deposit = message.deposit().amount();
  price.currency = message.total().currency();
  return price;
}

void RenderLegs(const Booking& booking, v1::Booking* message) {
  for (const Leg& leg : booking.legs) {
    v1::Reservation* reservation = message->add_reservations();
    reservation->set_resource_id(FormatId("res", leg.resource));
    terms::FromInterval(leg.window, reservation->mutable_window());
    terms::FromInterval(leg.blocked, reservation->mutable_blocked_window());
    reservation->set_units(static_cast<int32_t>(leg.units));
    reservation->set_parent_leg(leg.parent_leg);
    if (leg.released) SetTime(*leg.released, reservation->mutable_release_time());
  }
}

}  // namespace

v1::Booking Render(const Trade& trade) {
  const Booking& booking = trade.booking;
  v1::Booking message;
  message.set_id(FormatId("bkg", booking.id));
  message.set_buyer_id(FormatId("org", booking.buyer));
  message.set_provider_id(FormatId("org", booking.provider));
  message.set_listing_id(FormatId("lst", booking.listing));
  message.set_listing_version(booking.listing_version);
  message.set_resource_id(FormatId("res", booking.resource));
  terms::FromInterval(booking.window, message.mutable_window());
  message.set_units(static_cast<int32_t>(booking.units));
  if (!booking.demand.IsNil()) message.set_demand_id(FormatId("dem", booking.demand));
  message.set_work(booking.work);
  message.set_external_id(booking.external_id);
  message.set_state(static_cast<v1::Booking::State>(booking.state));
  *message.mutable_price() = terms::ToMessage(booking.agreement.price);
  RenderLegs(booking, &message);
  if (!booking.work_order.IsNil()) message.set_work_order_id(FormatId("wo", booking.work_order));
  if (booking.escrow) message.set_escrow_id(FormatId("esc", crypto::DeriveId(booking.id, "escrow")));
  message.set_canceled_by(booking.canceled_by);
  message.set_state_reason(booking.reason);
  auto fallback = DefaultOf(trade);
  const bool begun = WorkHasBegun(trade);
  auto skip = [&](BookingEvent event) { return event == BookingEvent::kClose && trade.work.has_value(); };
  AddActions(Bookings(), booking.state, fallback, skip, message.mutable_actions());
  for (type::Action& action : *message.mutable_actions()) {
    if (begun && booking.state == BookingState::kConfirmed && action.action() == "cancel") {
      action.clear_actors();
      action.add_actors("provider");
    }
  }
  if (fallback) {
    SetTime(fallback->deadline, message.mutable_deadline_time());
    message.set_default_outcome(std::string(Bookings().event_name(fallback->outcome)));
  }
  if (booking.check_in_time) SetTime(*booking.check_in_time, message.mutable_check_in_time());
  if (booking.check_out_time) SetTime(*booking.check_out_time, message.mutable_check_out_time());
  if (booking.accept_time) SetTime(*booking.accept_time, message.mutable_accept_time());
  message.set_deemed_accepted(booking.deemed_accepted);
  SetTime(booking.create_time, message.mutable_create_time());
  SetTime(booking.update_time, message.mutable_update_time());
  message.set_etag(std::to_string(booking.version));
  message.set_version(booking.version);
  return message;
}

v1::WorkOrder RenderWork(const Trade& trade) {
  const WorkOrder& work = *trade.work;
  v1::WorkOrder message;
  message.set_id(FormatId("wo", work.id));
  message.set_booking_id(FormatId("bkg", trade.booking.id));
  message.set_buyer_id(FormatId("org", trade.booking.buyer));
  message.set_provider_id(FormatId("org", trade.booking.provider));
  message.set_work(work.work);
  message.set_state(static_cast<v1::WorkOrder::State>(work.state));
  message.set_deliverable(work.deliverable);
  message.set_state_reason(work.reason);
  auto fallback = WorkDefaultOf(trade);
  auto skip = [](WorkEvent) { return false; };
  AddActions(WorkOrders(), work.state, fallback, skip, message.mutable_actions());
  if (fallback) SetTime(fallback->deadline, message.mutable_deadline_time());
  if (work.deliver_time) SetTime(*work.deliver_time, message.mutable_deliver_time());
  message.set_rejections(static_cast<int32_t>(work.rejections));
  SetTime(work.create_time, message.mutable_create_time());
  SetTime(work.update_time, message.mutable_update_time());
  message.set_etag(std::to_string(work.version));
  return message;
}

Booking BookingOf(const v1::Booking& message) {
  Booking booking;
  booking.id = IdOrNil(message.id());
  booking.buyer = IdOrNil(message.buyer_id());
  booking.provider = IdOrNil(message.provider_id());
  booking.listing = IdOrNil(message.listing_id());
  booking.resource = IdOrNil(message.resource_id());
  booking.demand = IdOrNil(message.demand_id());
  booking.listing_version = message.listing_version();
  booking.window = terms::ToInterval(message.window());
  booking.units = std::max(1, message.units());
  booking.work = message.work();
  booking.external_id = message.external_id();
  booking.state = static_cast<BookingState>(message.state());
  booking.agreement.price = PriceOf(message.price());
  for (const v1::Reservation& reservation : message.reservations()) {
    Leg leg{booking.id, IdOrNil(reservation.resource_id()), terms::ToInterval(reservation.window()),
            terms::ToInterval(reservation.blocked_window())};
    leg.units = reservation.units();
    leg.parent_leg = reservation.parent_leg();
    leg.released = OptionalTime(reservation.has_release_time(), reservation.release_time());
    booking.legs.push_back(std::move(leg));
  }
  booking.work_order = IdOrNil(message.work_order_id());
  booking.escrow = !message.escrow_id().empty();
  booking.canceled_by = message.canceled_by();
  booking.reason = message.state_reason();
  booking.check_in_time = OptionalTime(message.has_check_in_time(), message.check_in_time());
  booking.check_out_time = OptionalTime(message.has_check_out_time(), message.check_out_time());
  booking.accept_time = OptionalTime(message.has_accept_time(), message.accept_time());
  booking.deemed_accepted = message.deemed_accepted();
  booking.create_time = GetTime(message.create_time());
  booking.update_time = GetTime(message.update_time());
  booking.version = message.version();
  return booking;
}

WorkOrder WorkOf(const v1::WorkOrder& message) {
  WorkOrder work;
  work.id = IdOrNil(message.id());
  work.work = message.work();
  work.state = static_cast<WorkState>(message.state());
  work.deliverable = message.deliverable();
  work.reason = message.state_reason();
  work.deliver_time = OptionalTime(message.has_deliver_time(), message.deliver_time());
  work.rejections = message.rejections();
  work.create_time = GetTime(message.create_time());
  work.update_time = GetTime(message.update_time());
  work.version = std::stoll("0" + message.etag());
  return work;
}

Bookable BookableOf(const listing::v1::Bookable& message) {
  using Listing = listing::v1::Listing;
  Bookable bookable;
  bookable.listing = IdOrNil(message.listing().id());
  bookable.provider = IdOrNil(message.listing().organization_id());
  bookable.resource = IdOrNil(message.listing().resource_id());
  bookable.version = message.listing().version();
  switch (message.listing().state()) {
    case Listing::IN_REVIEW:
      bookable.state = Bookable::State::kInReview;
      break;
    case Listing::PUBLISHED:
      bookable.state = Bookable::State::kPublished;
      break;
    case Listing::PAUSED:
      bookable.state = Bookable::State::kPaused;
      break;
    case Listing::RETIRED:
      bookable.state = Bookable::State::kRetired;
      break;
    case Listing::BLOCKED:
      bookable.state = Bookable::State::kBlocked;
      break;
    default:
      bookable.state = Bookable::State::kDraft;
      break;
  }
  bookable.capacity = std::max(1, message.resource().units());
  for (const std::string& parent : message.resource().parent_ids()) bookable.parents.push_back(IdOrNil(parent));
  bookable.rules = terms::ToRules(message.listing().calendar());
  bookable.plan = terms::ToPlan(message.listing().price_plan());
  bookable.approval_required = message.listing().terms().approval_required();
  bookable.funding_minutes = message.listing().terms().funding_window_minutes();
  bookable.acceptance_minutes = message.listing().terms().acceptance_window_minutes();
  return bookable;
}

listing::v1::PricePlan PlanMessage(const pricing::Plan& plan) {
  listing::v1::PricePlan message;
  message.set_currency(plan.currency);
  message.set_unit(static_cast<listing::v1::PricePlan::RateUnit>(plan.unit));
  for (const pricing::Step& step : plan.steps) {
    auto* out = message.add_steps();
    out->set_from_minutes(step.from_minutes);
    out->set_unit_price(step.unit_price);
  }
  message.set_shift_minutes(plan.shift_minutes);
  message.set_setup_fee(plan.setup_fee);
  message.set_minimum_charge(plan.minimum_charge);
  message.set_deposit(plan.deposit);
  message.set_vat_basis_points(plan.vat_basis_points);
  message.set_vat_included(plan.vat_included);
  message.set_no_show_basis_points(plan.no_show_basis_points);
  message.set_late_return_unit_price(plan.late_return_unit_price);
  for (const pricing::CancellationTier& tier : plan.cancellation) {
    auto* out = message.add_cancellation();
    out->set_hours_before(tier.hours_before);
    out->set_fee_basis_points(tier.fee_basis_points);
  }
  return message;
}

std::string Bytes(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace millrace::operations
