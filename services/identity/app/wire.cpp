// SPDX-License-Identifier: Apache-2.0
#include "services/identity/app/wire.h"

#include "services/identity/domain/organization.h"

namespace millrace::identity {

void SetTime(google::protobuf::Timestamp* out, Time time) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  out->set_seconds(seconds.time_since_epoch().count());
  out->set_nanos(static_cast<int32_t>((time - seconds).count() * 1000));
}

Time ReadTime(const google::protobuf::Timestamp& timestamp) {
  return FromMicros(timestamp.seconds() * 1'000'000 + timestamp.nanos() / 1000);
}

v1::Organization Present(v1::Organization message, int64_t version) {
  message.set_etag(std::to_string(version));
  auto state = static_cast<domain::State>(message.state());
  const auto& table = domain::OrganizationTable();
  const auto* wait = table.WaitIn(state);
  for (const auto* row : table.From(state)) {
    auto* action = message.add_actions();
    action->set_action(std::string(table.event_name(row->event)));
    for (std::string_view actor : ActorNames(row->actors)) action->add_actors(std::string(actor));
    if (wait && wait->outcome == row->event) {
      SetTime(action->mutable_deadline_time(), ReadTime(message.create_time()) + domain::kPendingFor);
    }
  }
  return message;
}

v1::Site Present(v1::Site message, int64_t version) {
  message.set_etag(std::to_string(version));
  return message;
}

v1::ApiKey Present(const KeyRow& key) {
  v1::ApiKey out;
  out.ParseFromString(key.public_keys);
  out.set_id(FormatId("key", key.id));
  out.set_organization_id(FormatId("org", key.organization));
  out.set_display_name(key.display_name);
  for (const std::string& role : key.roles) out.add_roles(role);
  for (const std::string& scope : key.scopes) out.add_scopes(scope);
  if (!key.member.IsNil()) out.set_member_id(FormatId("usr", key.member));
  out.set_hint(key.hint);
  SetTime(out.mutable_create_time(), key.create_time);
  if (key.revoke_time) SetTime(out.mutable_revoke_time(), *key.revoke_time);
  if (key.expire_time) SetTime(out.mutable_expire_time(), *key.expire_time);
  if (key.last_use_time) SetTime(out.mutable_last_use_time(), *key.last_use_time);
  out.set_secret_version(key.secret_version);
  if (key.previous_until && !key.revoke_time) {
    SetTime(out.mutable_previous_secret_expire_time(), *key.previous_until);
  }
  out.set_etag(std::to_string(key.version));
  return out;
}

}  // namespace millrace::identity
