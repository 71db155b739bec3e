// SPDX-License-Identifier: Apache-2.0
// The two state machines of operations, as data. Numbers of the states are those of the messages.
#pragma once

#include "common/base/state_table.h"

namespace millrace::operations {

enum class BookingState {
  kProposed = 1,
  kHeld = 2,
  kConfirmed = 3,
  kCheckedIn = 4,
  kInUse = 5,
  kCheckedOut = 6,
  kClosed = 7,
  kDeclined = 8,
  kExpired = 9,
  kCanceled = 10,
  kNoShow = 11,
  kInterrupted = 12,
};

enum class BookingEvent {
  kApprove,
  kDecline,
  kCancel,
  kExpire,
  kFund,
  kCheckIn,
  kStart,
  kCheckOut,
  kNoShow,
  kClose,
  kInterrupt,
};

enum class WorkState {
  kPlanned = 1,
  kReleased = 2,
  kInProgress = 3,
  kPaused = 4,
  kDelivered = 5,
  kInInspection = 6,
  kAccepted = 7,
  kPartlyAccepted = 8,
  kRejected = 9,
  kRework = 10,
  kClosed = 11,
  kAborted = 12,
};

enum class WorkEvent {
  kRelease,
  kStart,
  kDeliver,
  kAccept,
  kReject,
  kRework,
  kClose,
  kAbort,
};

using BookingTable = StateTable<BookingState, BookingEvent>;
using WorkTable = StateTable<WorkState, WorkEvent>;

const BookingTable& Bookings();
const WorkTable& WorkOrders();

// A booking that still counts against the buyer's exposure.
bool IsOpen(BookingState state);
// A booking that keeps its capacity.
bool KeepsCapacity(BookingState state);

}  // namespace millrace::operations
