// SPDX-License-Identifier: Apache-2.0
#include "services/listing/app/convert.h"

#include "millrace/type/error.pb.h"

namespace millrace::listing {

void SetTime(Time time, google::protobuf::Timestamp* message) {
  int64_t micros = Micros(time);
  int64_t seconds = micros >= 0 ? micros / 1000000 : -((999999 - micros) / 1000000);
  message->set_seconds(seconds);
  message->set_nanos(static_cast<int32_t>(micros - seconds * 1000000) * 1000);
}

v1::Resource ToMessage(const ResourceRow& row) {
  v1::Resource message = row.message;
  message.set_id(FormatId("res", row.id));
  message.set_organization_id(FormatId("org", row.organization));
  SetTime(row.create_time, message.mutable_create_time());
  SetTime(row.update_time, message.mutable_update_time());
  message.set_etag(std::to_string(row.version));
  return message;
}

v1::Listing ToMessage(const ListingRow& row, bool with_actions) {
  v1::Listing message = row.message;
  message.set_id(FormatId("lst", row.id));
  message.set_organization_id(FormatId("org", row.organization));
  message.set_resource_id(FormatId("res", row.resource));
  message.set_state(static_cast<v1::Listing::State>(row.state));
  message.set_state_reason(row.state_reason);
  message.set_version(row.version);
  message.set_etag(std::to_string(row.version));
  SetTime(row.create_time, message.mutable_create_time());
  SetTime(row.update_time, message.mutable_update_time());
  if (!with_actions) return message;
  const auto* wait = domain::States().WaitIn(row.state);
  std::set<domain::Event> seen;
  for (const auto* transition : domain::States().From(row.state)) {
    bool outcome = wait && wait->outcome == transition->event;
    if ((transition->actors == kSystem && !outcome) || !seen.insert(transition->event).second) continue;
    // A suspension ends with the organization's reinstatement, not by the operator's verb here.
    if (row.state_before && transition->event == domain::Event::kPublish) continue;
    type::Action* action = message.add_actions();
    action->set_action(std::string(domain::Name(transition->event)));
    for (std::string_view actor : ActorNames(transition->actors)) action->add_actors(std::string(actor));
    if (outcome && row.deadline) SetTime(*row.deadline, action->mutable_deadline_time());
  }
  return message;
}

v1::Bookable ToBookable(const ListingRow& listing, const ResourceRow* resource) {
  v1::Bookable bookable;
  *bookable.mutable_listing() = ToMessage(listing, false);
  if (resource) *bookable.mutable_resource() = ToMessage(*resource);
  return bookable;
}

v1::Import ToMessage(const ImportRow& row) {
  v1::Import message;
  message.set_id(FormatId("imp", row.id));
  message.set_organization_id(FormatId("org", row.organization));
  v1::Import::State state = v1::Import::STATE_UNSPECIFIED;
  v1::Import::State_Parse(row.state, &state);
  message.set_state(state);
  *message.mutable_summary() = row.summary;
  SetTime(row.create_time, message.mutable_create_time());
  SetTime(row.expire_time, message.mutable_expire_time());
  return message;
}

std::vector<v1::ImportFailure> ToFailures(const ImportLine& line, Language language) {
  type::ErrorDetail faults;
  faults.ParseFromString(line.faults);
  std::vector<v1::ImportFailure> failures;
  for (const auto& fault : faults.violations()) {
    ErrorCode code = ErrorCodeByName(fault.code()).value_or(ErrorCode::kImportRow);
    v1::ImportFailure failure;
    failure.set_row(line.line);
    failure.set_column(fault.pointer());
    failure.set_code(fault.code());
    failure.set_detail(Detail(code, ErrorParams(fault.params().begin(), fault.params().end()), language));
    failures.push_back(std::move(failure));
  }
  return failures;
}

}  // namespace millrace::listing
