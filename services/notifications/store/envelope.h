// SPDX-License-Identifier: Apache-2.0
// The one writer of the envelope in which events go out: lists, streams and webhooks send what it makes.
#pragma once

#include <string>
#include <string_view>

#include "common/base/id.h"
#include "common/base/time.h"
#include "millrace/notifications/v1/notifications.pb.h"

namespace millrace::notifications {

// Every service that writes facts which concern organizations, this one too.
inline constexpr const char* kSources[] = {"identity", "listing", "matching",     "operations",
                                           "escrow",   "credit",  "notifications"};

// An event as the feed keeps it.
struct KeptEvent {
  Uuid id;
  int64_t seq = 0;
  std::string type, subject;  // subject: "bkg_…"
  int64_t subject_version = 0;
  Time time;
  std::string payload_type, payload;
};

// As `receiver` gets it.
v1::FeedEvent Envelope(const KeptEvent& event, const Uuid& receiver);

// The path of an object below /v1 by its id: "bookings/bkg_…"; the id alone if no RPC of the contract gets its kind.
std::string SubjectPath(std::string_view id);
// The id in a path or an id.
std::string SubjectId(std::string_view path);

// Replaces the payload by TruncatedData if its JSON would make the event too long. An event's JSON has less than
// kEventBytes, what stands around the payload less than the difference.
inline constexpr size_t kEventBytes = 20'000;
inline constexpr size_t kPayloadJsonBytes = 19'000;
void BoundPayload(std::string_view subject, std::string* payload_type, std::string* payload);

}  // namespace millrace::notifications
