// SPDX-License-Identifier: Apache-2.0
#include "services/matching/app/demands.h"

#include "common/base/geo.h"
#include "common/base/limits.h"
#include "common/crypto/crypto.h"
#include "common/rpc/page.h"
#include "common/terms/terms.h"
#include "services/matching/app/wire.h"
#include "services/matching/store/reads.h"

namespace millrace::matching {
namespace {

using domain::DemandEvent;
using domain::DemandState;

Uuid ExpireTaskId(const Uuid& demand) { return crypto::DeriveId(demand, "expire"); }

Violation Wrong(std::string field, ErrorCode code, ErrorParams params = {}) {
  std::string name = field.substr(field.rfind('/') + 1);
  params.emplace("field", name);
  return {"#/demand/" + field, code, std::move(params)};
}

void CheckCodes(const v1::Requirement& requirement, std::vector<Violation>& out) {
  const auto& taxonomy = taxonomy::Taxonomy::BuiltIn();
  for (int i = 0; i < requirement.processes_size(); ++i) {
    if (taxonomy.Process(requirement.processes(i)) != nullptr) continue;
    out.push_back(Wrong("requirement/processes/" + std::to_string(i), ErrorCode::kUnknownProcess,
                        {{"process", requirement.processes(i)}}));
  }
  for (int i = 0; i < requirement.materials_size(); ++i) {
    if (taxonomy.Material(requirement.materials(i)) != nullptr) continue;
    out.push_back(Wrong("requirement/materials/" + std::to_string(i), ErrorCode::kUnknownMaterial,
                        {{"material", requirement.materials(i)}}));
  }
}

void CheckPlace(v1::Requirement& requirement, std::vector<Violation>& out) {
  if (!requirement.has_place()) {
    if (requirement.max_distance_km() > 0) out.push_back(Wrong("requirement/place", ErrorCode::kRequired));
    return;
  }
  type::Place& place = *requirement.mutable_place();
  if (!(place.longitude() >= -180 && place.longitude() <= 180)) {
    out.push_back(Wrong("requirement/place/longitude", ErrorCode::kOutOfRange, {{"min", "-180"}, {"max", "180"}}));
  }
  if (!(place.latitude() >= -90 && place.latitude() <= 90)) {
    out.push_back(Wrong("requirement/place/latitude", ErrorCode::kOutOfRange, {{"min", "-90"}, {"max", "90"}}));
  }
  Point point{place.longitude(), place.latitude()};
  if (place.coordinate_system() == type::Place::GCJ02) point = FromGcj02(point);
  if (place.coordinate_system() == type::Place::BD09) point = FromBd09(point);
  place.set_longitude(point.longitude);
  place.set_latitude(point.latitude);
  place.set_coordinate_system(type::Place::WGS84);
}

// What can be said without the time; puts the place into WGS 84 and reads the text.
Result<void> Prepare(v1::Demand& demand) {
  std::vector<Violation> out;
  v1::Requirement& requirement = *demand.mutable_requirement();
  CheckCodes(requirement, out);
  CheckPlace(requirement, out);
  Interval window = terms::ToInterval(requirement.window());
  int64_t minutes = window.Length() / std::chrono::minutes(1);
  if (window.end <= window.start) {
    out.push_back(Wrong("requirement/window/end_time", ErrorCode::kEndBeforeStart));
  } else if (requirement.duration_minutes() > minutes) {
    out.push_back(Wrong("requirement/duration_minutes", ErrorCode::kOutOfRange,
                        {{"min", "1"}, {"max", std::to_string(minutes)}}));
  }
  if (requirement.has_budget() && requirement.budget().amount() < 0) {
    out.push_back(Wrong("requirement/budget/amount", ErrorCode::kOutOfRange,
                        {{"min", "0"}, {"max", std::to_string(kMaxMoneyAmount - 1)}}));
  }
  if (!demand.has_deadline_time()) *demand.mutable_deadline_time() = requirement.window().end_time();
  if (ReadTime(demand.deadline_time()) > window.end) {
    out.push_back(Wrong("deadline_time", ErrorCode::kOutOfRange, {{"min", "now"}, {"max", FormatTime(window.end)}}));
  }
  if (!out.empty()) return Fail(Error::Of(std::move(out)));
  *demand.mutable_understood() = Understand(demand);
  return {};
}

void Log(DemandSet& set, const std::string& type, const DemandRow& row) {
  set.events.push_back({type,
                        row.message.id(),
                        row.version,
                        {row.organization},
                        "millrace.matching.v1.Demand",
                        Present(row.message, row.version).SerializeAsString()});
}

void ArmDeadline(DemandSet& set, const DemandRow& row) {
  set.tasks.push_back(
      {ExpireTaskId(row.id), std::string(kExpireTask), row.id, ReadTime(row.message.deadline_time()), ""});
}

std::string EventType(DemandEvent event) {
  switch (event) {
    case DemandEvent::kPublish:
      return "demand.published";
    case DemandEvent::kWithdraw:
      return "demand.withdrawn";
    case DemandEvent::kAward:
      return "demand.awarded";
    case DemandEvent::kReopen:
      return "demand.reopened";
    case DemandEvent::kFulfil:
      return "demand.fulfilled";
    case DemandEvent::kExpire:
      return "demand.expired";
  }
  return "";
}

// Moves a demand by the state table, with its event and its deadline's task. STATE_CONFLICT if there is no such row.
Result<void> Move(DemandSet& set, DemandRow& row, DemandEvent event, uint8_t actor) {
  const auto& table = domain::DemandTable();
  auto from = static_cast<DemandState>(row.message.state());
  const auto* found = table.Find(from, event, actor);
  if (found == nullptr) return Fail(table.Conflict(from, event, actor));
  row.message.set_state(static_cast<v1::Demand::State>(found->to));
  SetTime(row.message.mutable_update_time(), set.now);
  ++row.version;
  row.changed = true;
  bool waited = table.WaitIn(from) != nullptr, waits = table.WaitIn(found->to) != nullptr;
  // The task that fires ends itself.
  if (waited && !waits && event != DemandEvent::kExpire) set.cancelled_tasks.push_back(ExpireTaskId(row.id));
  if (!waited && waits) ArmDeadline(set, row);
  Log(set, EventType(event), row);
  return {};
}

Result<DemandRow*> Own(DemandSet& set, const Uuid& id, const Uuid& organization) {
  auto found = set.demands.find(id);
  if (found == set.demands.end() || found->second.organization != organization) return Fail(ErrorCode::kNotFound);
  return &found->second;
}

Result<std::string> DecideCreate(DemandSet& set, const v1::Demand& wanted, const Uuid& id, const Uuid& organization) {
  for (auto [field, time] : {std::pair("requirement/window/end_time", &wanted.requirement().window().end_time()),
                             std::pair("deadline_time", &wanted.deadline_time())}) {
    if (ReadTime(*time) > set.now + limits::kHorizon) {
      return Fail(Error::At(std::string("#/demand/") + field, ErrorCode::kOutOfRange,
                            {{"min", FormatTime(set.now)}, {"max", FormatTime(set.now + limits::kHorizon)}}));
    }
    if (ReadTime(*time) > set.now) continue;
    return Fail(Error::At(std::string("#/demand/") + field, ErrorCode::kWindowInPast, {{"now", FormatTime(set.now)}}));
  }
  if (!wanted.external_id().empty() && !set.taken_external_ids.emplace(organization, wanted.external_id()).second) {
    return Fail(Error::At("#/demand/external_id", ErrorCode::kAlreadyExists, {{"value", wanted.external_id()}}));
  }
  DemandRow& row = set.demands[id];
  row = {id, organization, 1, wanted, true};
  row.message.set_id(FormatId("dem", id));
  row.message.set_organization_id(FormatId("org", organization));
  row.message.set_state(wanted.draft() ? v1::Demand::DRAFT : v1::Demand::OPEN);
  row.message.clear_draft();
  SetTime(row.message.mutable_create_time(), set.now);
  SetTime(row.message.mutable_update_time(), set.now);
  ArmDeadline(set, row);
  Log(set, "demand.created", row);
  return Present(row.message, row.version).SerializeAsString();
}

// Which event of a demand a booking's event is, if any.
std::optional<DemandEvent> MeaningOf(const std::string& type) {
  if (type == "booking.held" || type == "booking.confirmed") return DemandEvent::kAward;
  if (type == "booking.closed") return DemandEvent::kFulfil;
  if (type == "booking.expired" || type == "booking.declined" || type == "booking.canceled" ||
      type == "booking.no_show" || type == "booking.interrupted") {
    return DemandEvent::kReopen;
  }
  return std::nullopt;
}

}  // namespace

Task<Result<v1::Demand>> Demands::Submit(CallContext context, postgres::Command<DemandSet> command) {
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  v1::Demand demand;
  demand.ParseFromString(outcome->response);
  reply->replayed = outcome->replayed;
  reply->etag = demand.etag();
  co_return std::move(demand);
}

Task<Result<v1::Demand>> Demands::Create(CallContext context, v1::CreateDemandRequest request) {
  MILLRACE_CO_CHECK(Prepare(*request.mutable_demand()));
  Uuid id = Uuid::New(), organization = context.organization;
  auto wanted = std::make_shared<v1::Demand>(std::move(*request.mutable_demand()));
  postgres::Command<DemandSet> command;
  command.header = postgres::CommandHeader::Of(context, "CreateDemand");
  if (request.validate_only()) command.header.validate_only = true;
  command.need = [wanted, organization](DemandSet& set) {
    if (!wanted->external_id().empty()) set.want_external_ids.emplace(organization, wanted->external_id());
  };
  command.decide = [wanted, id, organization](DemandSet& set) { return DecideCreate(set, *wanted, id, organization); };
  Result<v1::Demand> demand = co_await Submit(std::move(context), std::move(command));
  co_return std::move(demand);
}

Task<Result<v1::Demand>> Demands::Verb(DemandEvent event, std::string method, CallContext context,
                                       v1::DemandVerbRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("dem", request.id()));
  Uuid organization = context.organization;
  postgres::Command<DemandSet> command;
  command.header = postgres::CommandHeader::Of(context, method);
  command.need = [id](DemandSet& set) { set.want_demands.insert(id); };
  command.decide = [id, organization, event, reason = request.reason(),
                    if_match = context.if_match](DemandSet& set) -> Result<std::string> {
    MILLRACE_TRY(DemandRow * row, Own(set, id, organization));
    if (!if_match.empty() && if_match != "*" && if_match != std::to_string(row->version))
      return Fail(ErrorCode::kEtagMismatch);
    if (event == DemandEvent::kPublish && ReadTime(row->message.deadline_time()) <= set.now) {
      return Fail(ErrorCode::kWindowInPast, {{"now", FormatTime(set.now)}});
    }
    std::string before = row->message.state_reason();
    if (event == DemandEvent::kWithdraw) row->message.set_state_reason(reason);
    Result<void> moved = Move(set, *row, event, kBuyer);
    if (!moved) {
      row->message.set_state_reason(before);
      return std::unexpected<Error>(std::move(moved).error());
    }
    return Present(row->message, row->version).SerializeAsString();
  };
  Result<v1::Demand> demand = co_await Submit(std::move(context), std::move(command));
  co_return std::move(demand);
}

Task<Result<v1::Demand>> Demands::Publish(CallContext context, v1::DemandVerbRequest request) {
  return Verb(DemandEvent::kPublish, "PublishDemand", std::move(context), std::move(request));
}

Task<Result<v1::Demand>> Demands::Withdraw(CallContext context, v1::DemandVerbRequest request) {
  return Verb(DemandEvent::kWithdraw, "WithdrawDemand", std::move(context), std::move(request));
}

Task<Result<void>> Demands::Expire(tasks::DueTask task) {
  Uuid id = task.subject;
  postgres::EndedTask ended = task.Ended();
  postgres::Command<DemandSet> command;
  command.header.method = kExpireTask;
  command.need = [id](DemandSet& set) { set.want_demands.insert(id); };
  command.decide = [id, ended](DemandSet& set) -> Result<std::string> {
    set.ended_tasks.push_back(ended);
    auto found = set.demands.find(id);
    if (found == set.demands.end()) return std::string();
    // A verb or a booking may have come between the claim and this lock: then there is nothing to expire.
    auto state = static_cast<DemandState>(found->second.message.state());
    if (domain::DemandTable().Find(state, DemandEvent::kExpire, kSystem) == nullptr) return std::string();
    MILLRACE_CHECK(Move(set, found->second, DemandEvent::kExpire, kSystem));
    return std::string();
  };
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  co_return Result<void>();
}

Task<Result<v1::Demand>> Demands::Get(CallContext context, v1::GetDemandRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("dem", request.id()));
  std::shared_ptr<ReplyInfo> reply = context.reply;
  Result<std::optional<FoundDemand>> read = co_await ReadDemand(reader_, std::move(context), id);
  MILLRACE_CO_TRY(std::optional<FoundDemand> found, std::move(read));
  if (!found) co_return Fail(ErrorCode::kNotFound);
  v1::Demand demand = Present(std::move(found->message), found->version);
  reply->etag = demand.etag();
  co_return std::move(demand);
}

Task<Result<v1::ListDemandsResponse>> Demands::List(CallContext context, v1::ListDemandsRequest request) {
  std::string filter =
      context.organization.Hex() + " demands " + std::to_string(request.state()) + " " + request.external_id();
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Uuid after = page.after;
  int rows = page.size + 1, state = request.state();
  std::string external_id = request.external_id();
  Result<std::vector<FoundDemand>> read =
      co_await ListDemands(reader_, std::move(context), after, rows, state, std::move(external_id));
  MILLRACE_CO_TRY(std::vector<FoundDemand> found, std::move(read));
  auto present = [](FoundDemand& one) { return Present(std::move(one.message), one.version); };
  co_return rpc::PageOf<v1::ListDemandsResponse>(page, filter, found, present);
}

void NeedOfBooking(DemandSet& set, const events::v1::Event& event) {
  operations::v1::Booking booking;
  if (!MeaningOf(event.type()) || !booking.ParseFromString(event.payload()) || booking.demand_id().empty()) return;
  set.want_demands.insert(IdOrNil(booking.demand_id()));
}

Result<void> ApplyBooking(DemandSet& set, const events::v1::Event& event) {
  std::optional<DemandEvent> meaning = MeaningOf(event.type());
  if (!meaning) return {};
  operations::v1::Booking booking;
  if (!booking.ParseFromString(event.payload())) return Fail(Error::Internal("a booking that cannot be read"));
  auto found = set.demands.find(IdOrNil(booking.demand_id()));
  // Anybody may write any id into a booking: only the demand's own buyer answers it.
  if (found == set.demands.end() || booking.buyer_id() != found->second.message.organization_id()) return {};
  DemandRow& row = found->second;
  auto state = static_cast<DemandState>(row.message.state());
  if (state == DemandState::kAwarded && row.message.booking_id() != booking.id()) return {};
  if (domain::DemandTable().Find(state, *meaning, kSystem) == nullptr) return {};
  row.message.set_booking_id(*meaning == DemandEvent::kReopen ? std::string() : booking.id());
  return Move(set, row, *meaning, kSystem);
}

}  // namespace millrace::matching
