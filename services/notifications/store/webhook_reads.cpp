// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/store/webhook_reads.h"

#include <map>

#include "common/base/words.h"
#include "common/postgres/asking.h"
#include "services/notifications/store/times.h"

namespace millrace::notifications {
namespace {

using postgres::Asking;
using postgres::Params;
using postgres::Row;
using postgres::Rows;
using postgres::Statement;

constexpr Statement kEndpoints = {
    "webhook_endpoints",
    "SELECT r_id, r_organization, r_url, array_to_string(r_types, ','), r_description, r_state, r_reason, "
    "runtime.micros(r_disable_time), CASE WHEN r_old_secret_until > clock_timestamp() THEN "
    "runtime.micros(r_old_secret_until) END, r_version, runtime.micros(r_create_time), runtime.micros(r_update_time) "
    "FROM list_webhook_endpoints($1, $2, $3, $4, $5)"};
constexpr Statement kDeliveries = {
    "webhook_deliveries",
    "SELECT id, n, organization, endpoint, event_id, event_type, trigger, state, failure, attempts, "
    "runtime.micros(due_at), runtime.micros(create_time), runtime.micros(end_time) "
    "FROM list_webhook_deliveries($1, $2, $3, $4, $5, $6, $7, $8)"};
#define ATTEMPT_COLUMNS "delivery, number, runtime.micros(time), status, error, latency_ms"
constexpr Statement kAttempts = {"webhook_attempts",
                                 "SELECT " ATTEMPT_COLUMNS " FROM list_webhook_attempts($1, $2, $3::uuid[])"};
constexpr Statement kAttemptTexts = {"webhook_attempt_texts",
                                     "SELECT " ATTEMPT_COLUMNS
                                     ", request, response FROM list_webhook_attempts($1, $2, $3::uuid[])"};
#undef ATTEMPT_COLUMNS

v1::WebhookAttempt ReadAttempt(const Row& row, bool texts) {
  v1::WebhookAttempt attempt;
  attempt.set_number(static_cast<int>(row.Int(1)));
  SetTime(row.At(2), attempt.mutable_time());
  attempt.set_status(static_cast<int>(row.Int(3)));
  attempt.set_error(row.Text(4));
  attempt.set_latency_ms(row.Int(5));
  if (texts) {
    attempt.set_request(row.Text(6));
    attempt.set_response(row.Text(7));
  }
  return attempt;
}

}  // namespace

v1::WebhookEndpoint Present(const EndpointRow& row) {
  using Endpoint = v1::WebhookEndpoint;
  Endpoint out;
  out.set_id(FormatId("whk", row.id));
  out.set_organization_id(FormatId("org", row.organization));
  out.set_url(row.url);
  for (const std::string& type : row.types) out.add_types(type);
  out.set_description(row.description);
  out.set_state(row.state == "ENABLED" ? Endpoint::ENABLED : Endpoint::DISABLED);
  if (row.disabled_reason == "GONE") out.set_disabled_reason(Endpoint::GONE);
  if (row.disabled_reason == "RETRIES_EXHAUSTED") out.set_disabled_reason(Endpoint::RETRIES_EXHAUSTED);
  if (row.disable_time) SetTime(*row.disable_time, out.mutable_disable_time());
  if (row.old_secret_until) SetTime(*row.old_secret_until, out.mutable_old_secret_expire_time());
  SetTime(row.create_time, out.mutable_create_time());
  SetTime(row.update_time, out.mutable_update_time());
  out.set_etag(std::to_string(row.version));
  return out;
}

v1::WebhookDelivery Present(const DeliveryRow& row) {
  v1::WebhookDelivery out;
  out.set_id(FormatId("dlv", row.id));
  out.set_endpoint_id(FormatId("whk", row.endpoint));
  out.set_event_id(FormatId("evt", row.event_id));
  out.set_event_type(row.event_type);
  v1::WebhookDelivery::Trigger trigger = v1::WebhookDelivery::TRIGGER_UNSPECIFIED;
  v1::WebhookDelivery::Trigger_Parse(row.trigger, &trigger);
  out.set_trigger(trigger);
  v1::WebhookDelivery::State state = v1::WebhookDelivery::STATE_UNSPECIFIED;
  v1::WebhookDelivery::State_Parse(row.state, &state);
  out.set_state(state);
  out.set_failure(row.failure);
  out.set_attempt_count(row.attempts);
  if (row.state == "PENDING") SetTime(row.due_at, out.mutable_next_attempt_time());
  SetTime(row.create_time, out.mutable_create_time());
  if (row.end_time) SetTime(*row.end_time, out.mutable_end_time());
  return out;
}

Task<Result<std::vector<v1::WebhookEndpoint>>> ListEndpoints(postgres::Database& reader, CallContext context,
                                                             Uuid after, int rows, Uuid id) {
  Params params = Asking(context);
  params.Id(after).Int(rows).Id(id);
  Result<Rows> found = co_await reader.Query(kEndpoints, std::move(params));
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  std::vector<v1::WebhookEndpoint> endpoints;
  for (Row row : *found) {
    EndpointRow endpoint;
    endpoint.id = row.Id(0);
    endpoint.organization = row.Id(1);
    endpoint.url = row.Text(2);
    endpoint.types = SplitWords(row.Text(3));
    endpoint.description = row.Text(4);
    endpoint.state = row.Text(5);
    endpoint.disabled_reason = row.Text(6);
    endpoint.disable_time = row.OptionalAt(7);
    endpoint.old_secret_until = row.OptionalAt(8);
    endpoint.version = row.Int(9);
    endpoint.create_time = row.At(10);
    endpoint.update_time = row.At(11);
    endpoints.push_back(Present(endpoint));
  }
  co_return std::move(endpoints);
}

Task<Result<std::vector<FoundDelivery>>> ListDeliveries(postgres::Database& reader, CallContext context,
                                                        DeliverySelection selection, bool texts) {
  Params params = Asking(context);
  if (selection.before) {
    params.Int(*selection.before);
  } else {
    params.Null();
  }
  params.Int(selection.rows).Id(selection.id).Id(selection.endpoint).Id(selection.event).Text(selection.state);
  Result<Rows> found = co_await reader.Query(kDeliveries, std::move(params));
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  std::vector<FoundDelivery> deliveries;
  std::map<Uuid, size_t> place;
  std::vector<Uuid> ids;
  for (Row row : *found) {
    DeliveryRow delivery;
    delivery.id = row.Id(0);
    delivery.n = row.Int(1);
    delivery.endpoint = row.Id(3);
    delivery.event_id = row.Id(4);
    delivery.event_type = row.Text(5);
    delivery.trigger = row.Text(6);
    delivery.state = row.Text(7);
    delivery.failure = row.Text(8);
    delivery.attempts = static_cast<int>(row.Int(9));
    delivery.due_at = row.At(10);
    delivery.create_time = row.At(11);
    delivery.end_time = row.OptionalAt(12);
    place[delivery.id] = deliveries.size();
    ids.push_back(delivery.id);
    deliveries.push_back({delivery.n, Present(delivery)});
  }
  if (ids.empty()) co_return std::move(deliveries);
  Params of = Asking(context);
  of.Ids(ids);
  const Statement& statement = texts ? kAttemptTexts : kAttempts;
  Result<Rows> attempts = co_await reader.Query(statement, std::move(of));
  if (!attempts) co_return std::unexpected<Error>(std::move(attempts).error());
  for (Row row : *attempts) *deliveries[place[row.Id(0)]].message.add_attempts() = ReadAttempt(row, texts);
  co_return std::move(deliveries);
}

}  // namespace millrace::notifications
