// SPDX-License-Identifier: Apache-2.0
// Every limit that a client can meet, by name.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace millrace::limits {

inline constexpr size_t kHttpHeaderBytes = 8 * 1024;
inline constexpr size_t kHttpBodyBytes = 1024 * 1024;
inline constexpr size_t kImportBodyBytes = 64 * 1024 * 1024;
inline constexpr size_t kAttachmentBytes = 16 * 1024 * 1024;
inline constexpr size_t kDocumentBytes = 5 * 1024 * 1024;
inline constexpr int kJsonDepth = 64;
inline constexpr int kPageSizeDefault = 50;
inline constexpr int kPageSizeMax = 500;
inline constexpr size_t kViolationsReported = 100;
inline constexpr size_t kBatchCommands = 64;
inline constexpr size_t kWriterQueue = 4096;
inline constexpr int kEventsPerPull = 500;
inline constexpr int kEventsPerStamp = 5000;
inline constexpr int kTasksPerPoll = 100;
inline constexpr size_t kTaskLanes = 16;
inline constexpr int kReservationsPerBooking = 32;
inline constexpr int kAlternatives = 5;
inline constexpr int kMatchesMax = 50;
inline constexpr std::chrono::seconds kCallDeadline{10};
// Of a call that checks or takes over a file of up to 100,000 rows.
inline constexpr std::chrono::seconds kImportDeadline{300};
// How far ahead a booking or a demand may lie: what follows it keeps within the years that the wire has.
inline constexpr std::chrono::hours kHorizon{24 * 36525};  // a hundred years
inline constexpr int kRowsPerPrune = 5000;
inline constexpr std::chrono::hours kIdempotencyKept{72};
inline constexpr std::chrono::hours kEventsKept{14 * 24};

}  // namespace millrace::limits
