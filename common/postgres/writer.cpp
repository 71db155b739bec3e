// SPDX-License-Identifier: Apache-2.0
#include "common/postgres/writer.h"

#include <map>
#include <tuple>

#include "common/base/crash_point.h"
#include "common/base/limits.h"
#include "common/telemetry/call.h"
#include "common/telemetry/metrics.h"
#include "common/telemetry/span.h"

namespace millrace::postgres {

CommandHeader CommandHeader::Of(const CallContext& context, std::string_view method) {
  CommandHeader header;
  header.organization = context.organization;
  header.method = method;
  header.key = context.validate_only ? std::string() : context.idempotency_key;
  header.fingerprint = context.fingerprint;
  header.traceparent = context.traceparent;
  header.validate_only = context.validate_only;
  header.act = context.act;
  header.request_id = context.request_id;
  return header;
}

bool KeptWithKey(const Error& error) {
  int status = Entry(error.code).http_status;
  return status == 402 || status == 404 || status == 409 || status == 422;
}

namespace {

constexpr Statement kPrune = {
    "writer_prune",
    "DELETE FROM idempotency WHERE (organization, method, key) IN (SELECT organization, method, key FROM idempotency "
    "WHERE create_time < clock_timestamp() - make_interval(hours => $1::int) ORDER BY create_time LIMIT $2)"};

}  // namespace

Task<Result<int64_t>> PruneOutcomes(Database& worker) {
  auto work = [](Transaction& tx) {
    Params params;
    params.Int(limits::kIdempotencyKept.count()).Int(limits::kRowsPerPrune);
    return static_cast<int64_t>(tx.Execute(kPrune, params).affected());
  };
  Result<int64_t> pruned = co_await worker.Run(work);
  co_return std::move(pruned);
}

namespace detail {
namespace {

// One row for each command: business time, and the kept outcome if its key was used.
constexpr Statement kLookUp = {
    "writer_look_up",
    "SELECT runtime.micros(runtime.now()), i.fingerprint, i.outcome "
    "FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS k (organization, method, key, ordinal) "
    "LEFT JOIN idempotency i ON i.organization = k.organization AND i.method = k.method AND i.key = k.key "
    "ORDER BY k.ordinal"};
constexpr Statement kKeep = {"writer_keep",
                             "INSERT INTO idempotency (organization, method, key, fingerprint, outcome) "
                             "SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bytea[])"};
constexpr Statement kEvents = {
    "writer_events",
    "INSERT INTO event (event_id, type, aggregate, aggregate_version, time, parties, payload_type, payload, "
    "traceparent) "
    "SELECT event_id, type, aggregate, version, $5::timestamptz, parties::uuid[], payload_type, payload, traceparent "
    "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $6::text[], $7::text[], $8::bytea[], $9::text[]) "
    "WITH ORDINALITY AS e (event_id, type, aggregate, version, parties, payload_type, payload, traceparent, ordinal) "
    "ORDER BY ordinal"};
// A row that is made again under an id begins with a higher fence than the row before it ever had, or a claimant of
// that one could end this one.
constexpr Statement kTasks = {"writer_tasks",
                              "INSERT INTO task (id, kind, subject, due_at, payload, fence) "
                              "SELECT *, runtime.micros(clock_timestamp()) "
                              "FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::timestamptz[], $5::bytea[]) "
                              "ON CONFLICT (id) DO UPDATE SET due_at = excluded.due_at, payload = excluded.payload, "
                              "attempts = 0, fence = task.fence + 1"};
constexpr Statement kEndTasks = {"writer_end_tasks",
                                 "DELETE FROM task t USING unnest($1::uuid[], $2::bigint[]) AS e (id, fence) WHERE "
                                 "t.id = e.id AND t.fence = e.fence"};
constexpr Statement kCancelTasks = {"writer_cancel_tasks", "DELETE FROM task WHERE id = ANY ($1::uuid[])"};
constexpr Statement kPosition = {"writer_position",
                                 "INSERT INTO position (source, seq) VALUES ($1, $2) "
                                 "ON CONFLICT (source) DO UPDATE SET seq = excluded.seq WHERE position.seq < $3"};

constexpr Statement kPark = {"writer_park",
                             "INSERT INTO parked_event (source, seq, aggregate, cause) VALUES ($1, $2, $3, $4) ON "
                             "CONFLICT (source, seq) DO NOTHING"};

// A kept outcome: one letter, then the response's bytes, or the error.
std::string Pack(const Result<std::string>& outcome) {
  if (outcome) return "R" + *outcome;
  const Error& error = outcome.error();
  std::string out = "E";
  auto put = [&out](std::string_view text) { out += std::to_string(text.size()) + ":" + std::string(text); };
  auto put_map = [&](const auto& map) {
    put(std::to_string(map.size()));
    for (const auto& [name, value] : map) {
      put(name);
      put(value);
    }
  };
  put(Name(error.code));
  put_map(error.params);
  put_map(error.extensions);
  put(std::to_string(error.violations.size()));
  for (const Violation& violation : error.violations) {
    put(violation.pointer);
    put(Name(violation.code));
    put_map(violation.params);
  }
  return out;
}

Result<std::string> Unpack(std::string_view packed) {
  if (packed.starts_with('R')) return std::string(packed.substr(1));
  packed.remove_prefix(1);
  auto take = [&packed] {
    size_t colon = packed.find(':');
    size_t size = std::stoul(std::string(packed.substr(0, colon)));
    std::string text(packed.substr(colon + 1, size));
    packed.remove_prefix(colon + 1 + size);
    return text;
  };
  auto take_map = [&] {
    std::map<std::string, std::string> map;
    for (size_t n = std::stoul(take()); n > 0; --n) {
      std::string name = take();
      map[std::move(name)] = take();
    }
    return map;
  };
  auto code = [&] { return ErrorCodeByName(take()).value_or(ErrorCode::kInternal); };
  Error error(code());
  error.params = take_map();
  error.extensions = take_map();
  for (size_t n = std::stoul(take()); n > 0; --n) {
    Violation violation;
    violation.pointer = take();
    violation.code = code();
    violation.params = take_map();
    error.violations.push_back(std::move(violation));
  }
  return Fail(std::move(error));
}

telemetry::Histogram& BatchSizes() {
  static const telemetry::Buckets sizes{{1, 2, 4, 8, 16, 32, 64}, 1};
  static telemetry::Histogram& histogram =
      telemetry::Histograms::Make("millrace_writer_batch_commands",
                                  "Commands that one transaction of the batch writer decided.", {}, sizes)
          .With();
  return histogram;
}

// The batch works for its first command; the others are linked.
telemetry::Span SpanOf(const std::vector<std::shared_ptr<Slot>>& slots) {
  telemetry::Span span("writer.batch", telemetry::SpanKind::kInternal, slots.front()->header.traceparent);
  if (!span.recorded()) return span;
  span.Set("millrace.method", slots.front()->header.method);
  span.Set("millrace.commands", std::to_string(slots.size()));
  for (size_t i = 1; i < slots.size(); ++i) span.Link(slots[i]->header.traceparent);
  return span;
}

// Another claimant took the task that a command wanted to end.
struct FenceLost {};

// Another process has applied events that a command wanted to apply.
struct PositionMoved {};

// A command was refused because its twin, sent to another process, had its effect meanwhile.
struct TwinCame {};

// A validate_only command has decided: everything goes back.
struct RolledBack {};

}  // namespace

WriterCore::WriterCore(Executor executor, Database& database, Batch batch)
    : executor_(std::move(executor)), database_(database), batch_(std::move(batch)) {}

WriterCore::~WriterCore() = default;

Task<Result<Outcome>> WriterCore::Submit(std::shared_ptr<Slot> slot) {
  if (queue_.size() >= limits::kWriterQueue) {
    ErrorParams params;
    params["seconds"] = "1";
    co_return Fail(ErrorCode::kRateLimited, std::move(params));
  }
  queue_.push_back(slot);
  std::function<void(std::function<void()>)> start = [this, slot](std::function<void()> resume) {
    slot->resume = std::move(resume);
    if (!running_) {
      running_ = true;
      Spawn(executor_, Drain(), "writer");
    }
  };
  co_await millrace::detail::Suspend(std::move(start));
  co_return std::move(*slot->outcome);
}

Task<void> WriterCore::Drain() {
  while (!queue_.empty()) {
    auto slots = std::make_shared<std::vector<std::shared_ptr<Slot>>>();
    while (!queue_.empty() && slots->size() < limits::kBatchCommands) {
      // A check only is a batch of its own, since the batch is rolled back.
      if (!slots->empty() && (queue_.front()->header.validate_only || slots->front()->header.validate_only)) break;
      slots->push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    std::function<bool()> work = [this, slots] {
      BatchSizes().Observe(static_cast<int64_t>(slots->size()));
      const CommandHeader& first = slots->front()->header;
      telemetry::Span span = SpanOf(*slots);
      telemetry::CallScope scope(telemetry::Call::Of(span.Traceparent(first.traceparent), first.request_id));
      RunBatch(*slots);
      return true;
    };
    bool ran = co_await RunOn(database_.pool(), std::move(work));
    (void)ran;
    for (auto& slot : *slots) slot->resume();
    if (on_commit) on_commit();
  }
  running_ = false;
}

// The whole batch in one transaction; if PostgreSQL refuses it, each command alone, so that one cannot spoil the
// others.
void WriterCore::RunBatch(std::vector<std::shared_ptr<Slot>>& slots) {
  constexpr int kAttempts = 5;
  Error failure(ErrorCode::kInternal);
  for (int attempt = 1; attempt <= (slots.size() > 1 ? 1 : kAttempts); ++attempt) {
    for (auto& slot : slots) slot->outcome.reset();
    try {
      RunOnce(slots);
      return;
    } catch (const SqlError& e) {
      failure = e.ToError();
      if (!e.Transient()) break;
    } catch (const ConnectionLost& e) {
      if (!e.in_commit() && attempt < 3 && slots.size() == 1) continue;
      if (e.in_commit() || slots.size() == 1) {
        for (auto& slot : slots) slot->outcome = std::unexpected<Error>(Error::Unavailable(e.what()));
        return;
      }
    } catch (const RolledBack&) {
      return;
    } catch (const TwinCame&) {
      failure = Error::Unavailable("a twin of the command is being decided");
    } catch (const PositionMoved&) {
      failure = Error::Unavailable("the events were applied by another process");
      break;
    } catch (const FenceLost&) {
      if (slots.size() == 1) {
        slots[0]->outcome = std::unexpected<Error>(Error(ErrorCode::kIdempotencyInProgress));
        return;
      }
    } catch (const std::exception& e) {
      failure = Error::Internal(e.what());
      break;
    }
  }
  if (slots.size() == 1) {
    slots[0]->outcome = std::unexpected<Error>(std::move(failure));
    return;
  }
  for (auto& slot : slots) {
    std::vector<std::shared_ptr<Slot>> alone = {slot};
    RunBatch(alone);
  }
}

void WriterCore::RunOnce(std::vector<std::shared_ptr<Slot>>& slots) {
  database_.RunThrowing([&](Transaction& tx) {
    std::unique_ptr<WorkingSet> set = batch_.make();
    std::vector<Uuid> organizations;
    std::vector<std::string> methods, keys;
    for (auto& slot : slots) {
      organizations.push_back(slot->header.organization);
      methods.push_back(slot->header.method);
      keys.push_back(slot->header.key);
    }
    // A command before sign-in (registration) has no organization; its keys share the nil one.
    std::vector<std::string> organization_texts;
    for (const Uuid& id : organizations) organization_texts.push_back(id.Hex());
    Rows kept = tx.Execute(kLookUp, Params().Texts(organization_texts).Texts(methods).Texts(keys));
    set->now = kept[0].At(0);

    using Key = std::tuple<Uuid, std::string, std::string>;
    std::map<Key, Slot*> first;  // of this batch
    std::vector<Slot*> to_decide;
    for (size_t i = 0; i < slots.size(); ++i) {
      Slot& slot = *slots[i];
      if (slot.header.key.empty()) {
        to_decide.push_back(&slot);
        continue;
      }
      if (!kept[i].IsNull(1)) {
        if (kept[i].Bytes(1) != slot.header.fingerprint) {
          slot.outcome = std::unexpected<Error>(Error(ErrorCode::kIdempotencyKeyReused));
        } else {
          Result<std::string> stored = Unpack(kept[i].Bytes(2));
          slot.outcome =
              stored ? Result<Outcome>(Outcome{*std::move(stored), true}) : std::unexpected<Error>(stored.error());
        }
        continue;
      }
      auto [found, fresh] = first.emplace(Key{slot.header.organization, slot.header.method, slot.header.key}, &slot);
      if (fresh) {
        to_decide.push_back(&slot);
      } else {
        // The twin is decided in this very batch; its outcome is kept under the key by the time of the retry.
        bool same = found->second->header.fingerprint == slot.header.fingerprint;
        slot.outcome =
            std::unexpected<Error>(Error(same ? ErrorCode::kIdempotencyInProgress : ErrorCode::kIdempotencyKeyReused));
      }
    }
    if (to_decide.empty()) return;

    for (Slot* slot : to_decide) slot->need(*set);
    batch_.load(tx, *set);

    std::vector<std::string> kept_organizations, kept_methods, kept_keys, fingerprints, outcomes, traces;
    std::vector<std::string> refused_organizations, refused_methods, refused_keys;
    for (Slot* slot : to_decide) {
      Result<std::string> decided = slot->decide(*set);
      if (decided && !slot->header.act.empty()) {
        set->events.push_back(
            {"act.performed", slot->header.request_id, 1, {}, "millrace.events.v1.Act", slot->header.act});
      }
      traces.resize(set->events.size(), slot->header.traceparent);
      if (!slot->header.key.empty() && (decided || KeptWithKey(decided.error()))) {
        kept_organizations.push_back(slot->header.organization.Hex());
        kept_methods.push_back(slot->header.method);
        kept_keys.push_back(slot->header.key);
        fingerprints.push_back(slot->header.fingerprint);
        outcomes.push_back(Pack(decided));
      } else if (!slot->header.key.empty()) {
        refused_organizations.push_back(slot->header.organization.Hex());
        refused_methods.push_back(slot->header.method);
        refused_keys.push_back(slot->header.key);
      }
      slot->outcome = decided ? Result<Outcome>(Outcome{*std::move(decided), false})
                              : std::unexpected<Error>(std::move(decided).error());
    }
    // A refusal that is not kept meets no key in the table. It may come of a twin that held the locks before and has
    // committed: then the twin's outcome is the answer.
    if (!refused_keys.empty()) {
      Params params;
      params.Texts(refused_organizations).Texts(refused_methods).Texts(refused_keys);
      for (Row row : tx.Execute(kLookUp, params)) {
        if (!row.IsNull(1)) throw TwinCame();
      }
    }
    batch_.save(tx, *set);
    if (slots.front()->header.validate_only) throw RolledBack();

    if (!outcomes.empty()) {
      tx.Execute(kKeep, Params()
                            .Texts(kept_organizations)
                            .Texts(kept_methods)
                            .Texts(kept_keys)
                            .BytesArray(fingerprints)
                            .BytesArray(outcomes));
    }
    if (!set->events.empty()) {
      std::vector<Uuid> ids;
      std::vector<std::string> types, aggregates, parties, payload_types, payloads;
      std::vector<int64_t> versions;
      for (const NewEvent& event : set->events) {
        ids.push_back(Uuid::New());
        types.push_back(event.type);
        aggregates.push_back(event.aggregate);
        versions.push_back(event.aggregate_version);
        std::vector<std::string> hex;
        for (const Uuid& party : event.parties) hex.push_back(party.Hex());
        parties.push_back(ArrayLiteral(hex));
        payload_types.push_back(event.payload_type);
        payloads.push_back(event.payload);
      }
      tx.Execute(kEvents, Params()
                              .Ids(ids)
                              .Texts(types)
                              .Texts(aggregates)
                              .Ints(versions)
                              .At(set->now)
                              .Texts(parties)
                              .Texts(payload_types)
                              .BytesArray(payloads)
                              .Texts(traces));
    }
    if (!set->ended_tasks.empty()) {
      std::vector<Uuid> ids;
      std::vector<int64_t> fences;
      for (const EndedTask& task : set->ended_tasks) {
        ids.push_back(task.id);
        fences.push_back(task.fence);
      }
      if (tx.Execute(kEndTasks, Params().Ids(ids).Ints(fences)).affected() != ids.size()) throw FenceLost();
    }
    if (!set->cancelled_tasks.empty()) tx.Execute(kCancelTasks, Params().Ids(set->cancelled_tasks));
    if (!set->tasks.empty()) {
      std::vector<Uuid> ids, subjects;
      std::vector<std::string> kinds, payloads;
      std::vector<Time> due;
      for (const NewTask& task : set->tasks) {
        ids.push_back(task.id);
        kinds.push_back(task.kind);
        subjects.push_back(task.subject);
        due.push_back(task.due_at);
        payloads.push_back(task.payload);
      }
      tx.Execute(kTasks, Params().Ids(ids).Texts(kinds).Ids(subjects).Times(due).BytesArray(payloads));
    }
    for (const AppliedEvents& events : set->applied) {
      Params params;
      params.Text(events.source).Int(events.last).Int(events.first);
      if (tx.Execute(kPosition, params).affected() != 1) throw PositionMoved();
    }
    for (const ParkedEvent& event : set->parked) {
      tx.Execute(kPark, Params().Text(event.source).Int(event.seq).Text(event.aggregate).Text(event.cause));
    }
    CrashPoint("writer.before_commit");
  });
  CrashPoint("writer.after_commit");
}

}  // namespace detail
}  // namespace millrace::postgres
