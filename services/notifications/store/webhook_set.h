// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/postgres/writer.h"
#include "services/notifications/store/envelope.h"

namespace millrace::notifications {

// States and reasons are named as in the tables and in the contract.
struct EndpointRow {
  Uuid id, organization;
  bool sees_all = false;  // the operator's
  std::string url;
  std::vector<std::string> types;
  std::string description;
  std::string state = "ENABLED", disabled_reason;
  std::optional<Time> disable_time;
  std::string secret, old_secret;  // sealed
  std::optional<Time> old_secret_until;
  int64_t version = 0;
  Time create_time, update_time;
  bool changed = false;
};

struct AttemptRow {
  Uuid delivery, organization;
  int number = 0;
  Time time;
  int status = 0;
  std::string error;
  int64_t latency_ms = 0;
  std::string request, response;
};

struct DeliveryRow {
  Uuid id;
  int64_t n = 0;
  Uuid organization, endpoint, event_id;
  std::string event_type, trigger, state = "PENDING", failure;
  int attempts = 0;
  Time due_at;
  int64_t fence = 0;
  Time create_time;
  std::optional<Time> end_time;
  bool fresh = false, changed = false;
  bool event_kept = false;  // the event is still in the feed
};

// Events of the feed that an endpoint asks for, at most kReplayedPerCall of them.
struct ReplayRange {
  Uuid endpoint;
  Time from, to;
  // After Load.
  std::vector<int64_t> seqs;
  std::optional<Time> next;  // of the first that was left out
};

struct WebhookSet : postgres::WorkingSet {
  std::set<Uuid> want_endpoints, want_deliveries;
  std::set<Uuid> want_counts;  // organizations; locked until the commit
  std::vector<ReplayRange> ranges;
  // After Load.
  Time wall;
  std::map<Uuid, EndpointRow> endpoints;  // also DELETED ones
  std::map<Uuid, DeliveryRow> deliveries;
  std::map<Uuid, int64_t> counts;  // endpoints of each organization
  // To be saved beside what is changed or fresh.
  std::vector<AttemptRow> attempts;
  std::vector<size_t> replayed;  // of ranges
};

inline constexpr int kReplayedPerCall = 2000;

class WebhookStore : public postgres::Store<WebhookSet> {
 public:
  void Load(postgres::Transaction& transaction, WebhookSet& set) override;
  void Save(postgres::Transaction& transaction, WebhookSet& set) override;
};

// A claimed delivery with all that its attempt needs.
struct DueDelivery {
  Uuid id;
  int64_t fence = 0;
  int attempts = 0;  // this one included
  Uuid endpoint, organization;
  std::string url;
  std::string secret, old_secret;  // sealed; old: empty if there is none or its time is over
  std::string trigger;
  std::optional<KeptEvent> event;  // nothing if it is not kept any more; a ping's is made here
};

// How many of an endpoint's deliveries this process has in hand.
struct InHand {
  std::vector<Uuid> endpoints;
  std::vector<int64_t> counts;
};

// Takes at most `rows` deliveries that are due, oldest first, and of each endpoint no more than leaves `per_endpoint`
// in hand; nobody else gets them before `lease` is over. Errors: UNAVAILABLE, INTERNAL.
Task<Result<std::vector<DueDelivery>>> ClaimDeliveries(postgres::Database& worker, InHand in_hand, int per_endpoint,
                                                       int rows, std::chrono::seconds lease);
// Gives up what is on its way to endpoints that are disabled or gone, at most 1,000; the number.
Task<Result<int64_t>> GiveUpDeliveries(postgres::Database& worker);
// Removes at most limits::kRowsPerPrune deliveries older than 30 days with their attempts, and deleted endpoints
// without deliveries; the number of deliveries.
Task<Result<int64_t>> PruneDeliveries(postgres::Database& worker);

}  // namespace millrace::notifications
