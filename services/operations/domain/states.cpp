// SPDX-License-Identifier: Apache-2.0
#include "services/operations/domain/states.h"

namespace millrace::operations {
namespace {

using B = BookingState;
using E = BookingEvent;
using W = WorkState;
using V = WorkEvent;

constexpr Transition<B, E> kBookingRows[] = {
    {B::kProposed, E::kApprove, B::kHeld, kProvider, "calendar and capacity are free", "reserve, ask the hold"},
    {B::kProposed, E::kDecline, B::kDeclined, kProvider, "", ""},
    {B::kProposed, E::kCancel, B::kCanceled, kBothParties, "", ""},
    {B::kProposed, E::kExpire, B::kExpired, kSystem, "not approved in time", ""},
    {B::kHeld, E::kFund, B::kConfirmed, kSystem, "escrow says HELD", "release the work order"},
    {B::kHeld, E::kCancel, B::kCanceled, kBothParties, "", "release capacity, void the hold"},
    {B::kHeld, E::kExpire, B::kExpired, kSystem, "escrow says VOIDED or EXPIRED", "release capacity"},
    {B::kConfirmed, E::kCheckIn, B::kCheckedIn, kProvider, "at most 30 minutes before the start", ""},
    {B::kConfirmed, E::kCancel, B::kCanceled, kBothParties, "buyer: no work has begun",
     "release capacity; buyer: capture the tier's fee; provider: void"},
    {B::kConfirmed, E::kNoShow, B::kNoShow, kSystem, "no work has begun", "release capacity, capture the no-show fee"},
    {B::kConfirmed, E::kCheckOut, B::kCheckedOut, kSystem, "work has begun", "release capacity"},
    {B::kCheckedIn, E::kStart, B::kInUse, kBothParties, "", ""},
    {B::kCheckedIn, E::kCheckOut, B::kCheckedOut, kProvider | kSystem, "", "release capacity"},
    {B::kInUse, E::kCheckOut, B::kCheckedOut, kProvider | kSystem, "", "release capacity"},
    {B::kCheckedIn, E::kInterrupt, B::kInterrupted, kSystem, "the work order is aborted", "release capacity, void"},
    {B::kInUse, E::kInterrupt, B::kInterrupted, kSystem, "the work order is aborted", "release capacity, void"},
    {B::kCheckedOut, E::kInterrupt, B::kInterrupted, kSystem, "the work order is aborted", "void"},
    {B::kCheckedOut, E::kClose, B::kClosed, kBuyer | kSystem, "no work order, or it is accepted", "capture the price"},
};

constexpr Wait<B, E> kBookingWaits[] = {
    {B::kProposed, E::kExpire, "6 days, at most the start"},
    {B::kHeld, E::kExpire, "the funding window (24 h), at most the window's end"},
    {B::kConfirmed, E::kNoShow, "the window's end"},
    {B::kCheckedIn, E::kCheckOut, "24 h after the window's end"},
    {B::kInUse, E::kCheckOut, "24 h after the window's end"},
    {B::kCheckedOut, E::kClose, "the acceptance window (48 h); with a work order, the work order's"},
};

constexpr Transition<W, V> kWorkRows[] = {
    {W::kPlanned, V::kRelease, W::kReleased, kSystem, "the booking is funded", ""},
    {W::kPlanned, V::kAbort, W::kAborted, kSystem, "the booking has ended", ""},
    {W::kReleased, V::kStart, W::kInProgress, kProvider, "", ""},
    {W::kReleased, V::kAbort, W::kAborted, kSystem, "late, or the booking has ended", "the booking is interrupted"},
    {W::kInProgress, V::kDeliver, W::kDelivered, kProvider, "", ""},
    {W::kInProgress, V::kAbort, W::kAborted, kSystem, "late, or the booking has ended", "the booking is interrupted"},
    {W::kDelivered, V::kAccept, W::kAccepted, kBuyer | kSystem, "", "closes once the booking is checked out"},
    {W::kDelivered, V::kReject, W::kRejected, kBuyer, "with a note", "goes on to rework at once"},
    {W::kDelivered, V::kAbort, W::kAborted, kSystem, "the booking has ended", ""},
    {W::kRejected, V::kRework, W::kRework, kSystem, "", ""},
    {W::kRework, V::kStart, W::kInProgress, kProvider, "", ""},
    {W::kRework, V::kAbort, W::kAborted, kSystem, "late, or the booking has ended", "the booking is interrupted"},
    {W::kAccepted, V::kClose, W::kClosed, kSystem, "the booking is checked out", "the booking closes"},
    {W::kAccepted, V::kAbort, W::kAborted, kSystem, "the booking was canceled", ""},
};

constexpr Wait<W, V> kWorkWaits[] = {
    {W::kPlanned, V::kAbort, "the booking's"},
    {W::kReleased, V::kAbort, "7 days after the window's end"},
    {W::kInProgress, V::kAbort, "7 days after the window's end, or after it began if that is later"},
    {W::kDelivered, V::kAccept, "the acceptance window (48 h)"},
    {W::kRework, V::kAbort, "7 days after the window's end, or after the rejection if that is later"},
    {W::kAccepted, V::kClose, "the booking's check-out"},
};

std::string_view BookingStateName(B state) {
  constexpr std::string_view kNames[] = {
      "STATE_UNSPECIFIED", "PROPOSED", "HELD",     "CONFIRMED", "CHECKED_IN", "IN_USE", "CHECKED_OUT", "CLOSED",
      "DECLINED",          "EXPIRED",  "CANCELED", "NO_SHOW",   "INTERRUPTED"};
  return kNames[static_cast<int>(state)];
}

std::string_view BookingEventName(E event) {
  constexpr std::string_view kNames[] = {"approve", "decline",  "cancel", "expire", "fund",     "checkIn",
                                         "start",   "checkOut", "noShow", "close",  "interrupt"};
  return kNames[static_cast<int>(event)];
}

std::string_view WorkStateName(W state) {
  constexpr std::string_view kNames[] = {
      "STATE_UNSPECIFIED", "PLANNED",         "RELEASED", "IN_PROGRESS", "PAUSED", "DELIVERED", "IN_INSPECTION",
      "ACCEPTED",          "PARTLY_ACCEPTED", "REJECTED", "REWORK",      "CLOSED", "ABORTED"};
  return kNames[static_cast<int>(state)];
}

std::string_view WorkEventName(V event) {
  constexpr std::string_view kNames[] = {"release", "start", "deliver", "accept", "reject", "rework", "close", "abort"};
  return kNames[static_cast<int>(event)];
}

}  // namespace

const BookingTable& Bookings() {
  static constexpr BookingTable kTable = {kBookingRows, kBookingWaits, BookingStateName, BookingEventName};
  return kTable;
}

const WorkTable& WorkOrders() {
  static constexpr WorkTable kTable = {kWorkRows, kWorkWaits, WorkStateName, WorkEventName};
  return kTable;
}

bool IsOpen(BookingState state) { return state <= B::kCheckedOut; }

bool KeepsCapacity(BookingState state) { return state >= B::kHeld && state <= B::kInUse; }

}  // namespace millrace::operations
