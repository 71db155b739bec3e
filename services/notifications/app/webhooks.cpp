// SPDX-License-Identifier: Apache-2.0
#include "services/notifications/app/webhooks.h"

#include "common/rpc/page.h"
#include "services/notifications/domain/webhook.h"
#include "services/notifications/store/times.h"
#include "services/notifications/store/webhook_reads.h"

namespace millrace::notifications {
namespace {

using Command = postgres::Command<WebhookSet>;
constexpr char kUrlPointer[] = "#/webhook_endpoint/url";

// The endpoint if it is there and the organization's own; another's is as absent as none.
Result<EndpointRow*> Own(WebhookSet& set, const Uuid& id, const Uuid& organization) {
  auto found = set.endpoints.find(id);
  bool own =
      found != set.endpoints.end() && found->second.organization == organization && found->second.state != "DELETED";
  if (!own) return Fail(ErrorCode::kNotFound);
  return &found->second;
}

Result<void> CheckEtag(const EndpointRow& row, const std::string& if_match) {
  if (if_match.empty() || if_match == "*" || if_match == std::to_string(row.version)) return {};
  return Fail(ErrorCode::kEtagMismatch);
}

Result<void> CheckEnabled(const EndpointRow& row) {
  if (row.state == "ENABLED") return {};
  return Fail(ErrorCode::kStateConflict, {{"state", row.state}, {"action", "replay"}, {"allowed", "enable, ping"}});
}

void Touch(const WebhookSet& set, EndpointRow& row) {
  ++row.version;
  row.update_time = set.now;
  row.changed = true;
}

void SetContent(const v1::WebhookEndpoint& from, EndpointRow& row) {
  row.url = from.url();
  row.types.assign(from.types().begin(), from.types().end());
  row.description = from.description();
}

DeliveryRow& AddDelivery(WebhookSet& set, const EndpointRow& endpoint, Uuid event, std::string type,
                         std::string trigger) {
  Uuid id = Uuid::New();
  DeliveryRow& row = set.deliveries[id];
  row.id = id;
  row.organization = endpoint.organization;
  row.endpoint = endpoint.id;
  row.event_id = event;
  row.event_type = std::move(type);
  row.trigger = std::move(trigger);
  row.due_at = row.create_time = set.wall;
  row.fresh = true;
  return row;
}

}  // namespace

Webhooks::Webhooks(postgres::Writer<WebhookSet>& writer, postgres::Database& reader, SecretBox secrets,
                   std::vector<Cidr> allowed, Resolver resolver)
    : writer_(writer),
      reader_(reader),
      secrets_(std::move(secrets)),
      allowed_(std::move(allowed)),
      resolver_(std::move(resolver)) {}

Task<Result<void>> Webhooks::CheckUrl(std::string text) {
  MILLRACE_CO_TRY(domain::Url url, domain::ReadUrl(text, kUrlPointer));
  std::string host = url.host;
  Result<std::vector<std::string>> ips = co_await resolver_(std::move(host));
  if (!ips) co_return std::unexpected<Error>(std::move(ips).error());
  co_return domain::CheckAddresses(url, *ips, allowed_, kUrlPointer);
}

void Webhooks::Reveal(v1::WebhookEndpoint* endpoint) const {
  if (endpoint->secret().empty()) return;
  std::optional<std::string> sealed = crypto::Base64Decode(endpoint->secret());
  std::optional<std::string> secret = secrets_.Open(IdOrNil(endpoint->id()), sealed.value_or(std::string()));
  endpoint->set_secret(secret.value_or(std::string()));
}

template <class Message>
Task<Result<Message>> Webhooks::Submit(CallContext context, Command command) {
  Result<postgres::Outcome> outcome = co_await writer_.Submit(std::move(command));
  if (!outcome) co_return std::unexpected<Error>(std::move(outcome).error());
  context.reply->replayed = outcome->replayed;
  Message message;
  message.ParseFromString(outcome->response);
  co_return message;
}

Task<Result<v1::WebhookEndpoint>> Webhooks::Create(CallContext context, v1::CreateWebhookEndpointRequest request) {
  std::string url = request.webhook_endpoint().url();
  Result<void> safe = co_await CheckUrl(std::move(url));
  MILLRACE_CO_CHECK(std::move(safe));
  Uuid id = Uuid::New(), organization = context.organization;
  bool sees_all = context.IsOperator();
  std::string sealed = secrets_.Seal(id, SecretBox::Make());
  Command command;
  command.header = postgres::CommandHeader::Of(context, "CreateWebhookEndpoint");
  command.need = [organization](WebhookSet& set) { set.want_counts.insert(organization); };
  command.decide = [=,
                    content = std::move(*request.mutable_webhook_endpoint())](WebhookSet& set) -> Result<std::string> {
    if (set.counts[organization] >= kEndpointsPerOrganization) {
      return Fail(ErrorCode::kTooLong,
                  {{"field", "webhook_endpoints"}, {"max", std::to_string(kEndpointsPerOrganization)}});
    }
    ++set.counts[organization];
    EndpointRow& row = set.endpoints[id];
    row.id = id;
    row.organization = organization;
    row.sees_all = sees_all;
    row.secret = sealed;
    row.create_time = set.now;
    SetContent(content, row);
    Touch(set, row);
    v1::WebhookEndpoint answer = Present(row);
    // Kept with the key as it is at rest; Reveal() makes it readable on the way out.
    answer.set_secret(crypto::Base64(sealed));
    return answer.SerializeAsString();
  };
  Result<v1::WebhookEndpoint> made = co_await SubmitEndpoint(std::move(context), std::move(command));
  co_return std::move(made);
}

Task<Result<v1::WebhookEndpoint>> Webhooks::SubmitEndpoint(CallContext context, Command command) {
  auto reply = context.reply;
  bool only_check = context.validate_only;
  Result<v1::WebhookEndpoint> endpoint = co_await Submit<v1::WebhookEndpoint>(std::move(context), std::move(command));
  if (!endpoint) co_return std::unexpected<Error>(std::move(endpoint).error());
  Reveal(&*endpoint);
  if (only_check) endpoint->clear_secret();  // nothing was made
  reply->etag = endpoint->etag();
  co_return std::move(endpoint);
}

Task<Result<v1::WebhookEndpoint>> Webhooks::ChangeEndpoint(CallContext context, std::string method, Uuid id,
                                                           Change change, bool reveal) {
  Command command;
  command.header = postgres::CommandHeader::Of(context, method);
  command.need = [id](WebhookSet& set) { set.want_endpoints.insert(id); };
  command.decide = [id, change = std::move(change), reveal, organization = context.organization,
                    if_match = context.if_match](WebhookSet& set) -> Result<std::string> {
    MILLRACE_TRY(EndpointRow * row, Own(set, id, organization));
    MILLRACE_CHECK(CheckEtag(*row, if_match));
    MILLRACE_CHECK(change(set, *row));
    v1::WebhookEndpoint answer = Present(*row);
    if (reveal) answer.set_secret(crypto::Base64(row->secret));
    return answer.SerializeAsString();
  };
  Result<v1::WebhookEndpoint> changed = co_await SubmitEndpoint(std::move(context), std::move(command));
  co_return std::move(changed);
}

Task<Result<v1::WebhookEndpoint>> Webhooks::Update(CallContext context, v1::UpdateWebhookEndpointRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("whk", request.id()));
  std::string url = request.webhook_endpoint().url();
  Result<void> safe = co_await CheckUrl(std::move(url));
  MILLRACE_CO_CHECK(std::move(safe));
  Change change = [content = std::move(*request.mutable_webhook_endpoint())](WebhookSet& set, EndpointRow& row) {
    SetContent(content, row);
    Touch(set, row);
    return Result<void>();
  };
  Result<v1::WebhookEndpoint> changed =
      co_await ChangeEndpoint(std::move(context), "UpdateWebhookEndpoint", id, std::move(change), false);
  co_return std::move(changed);
}

Task<Result<v1::DeleteWebhookEndpointResponse>> Webhooks::Delete(CallContext context,
                                                                 v1::DeleteWebhookEndpointRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("whk", request.id()));
  Change change = [](WebhookSet& set, EndpointRow& row) {
    row.state = "DELETED";
    row.disabled_reason.clear();
    row.secret.clear();
    row.old_secret.clear();
    row.old_secret_until.reset();
    Touch(set, row);
    return Result<void>();
  };
  auto reply = context.reply;
  Result<v1::WebhookEndpoint> gone =
      co_await ChangeEndpoint(std::move(context), "DeleteWebhookEndpoint", id, std::move(change), false);
  if (!gone) co_return std::unexpected<Error>(std::move(gone).error());
  reply->etag.clear();
  co_return v1::DeleteWebhookEndpointResponse();
}

Task<Result<v1::WebhookEndpoint>> Webhooks::RotateSecret(CallContext context, v1::WebhookEndpointVerbRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("whk", request.id()));
  std::string sealed = secrets_.Seal(id, SecretBox::Make());
  Change change = [sealed](WebhookSet& set, EndpointRow& row) {
    row.old_secret = std::exchange(row.secret, sealed);
    row.old_secret_until = set.wall + kOldSecretSigns;
    Touch(set, row);
    return Result<void>();
  };
  Result<v1::WebhookEndpoint> changed =
      co_await ChangeEndpoint(std::move(context), "RotateWebhookSecret", id, std::move(change), true);
  co_return std::move(changed);
}

Task<Result<v1::WebhookEndpoint>> Webhooks::Enable(CallContext context, v1::WebhookEndpointVerbRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("whk", request.id()));
  Change change = [](WebhookSet& set, EndpointRow& row) {
    if (row.state == "ENABLED") return Result<void>();
    row.state = "ENABLED";
    row.disabled_reason.clear();
    row.disable_time.reset();
    Touch(set, row);
    return Result<void>();
  };
  Result<v1::WebhookEndpoint> changed =
      co_await ChangeEndpoint(std::move(context), "EnableWebhookEndpoint", id, std::move(change), false);
  co_return std::move(changed);
}

Task<Result<v1::WebhookDelivery>> Webhooks::Ping(CallContext context, v1::WebhookEndpointVerbRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("whk", request.id()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "PingWebhookEndpoint");
  command.need = [id](WebhookSet& set) { set.want_endpoints.insert(id); };
  command.decide = [id, organization = context.organization](WebhookSet& set) -> Result<std::string> {
    MILLRACE_TRY(EndpointRow * endpoint, Own(set, id, organization));
    return Present(AddDelivery(set, *endpoint, Uuid::New(), "webhook_endpoint.ping", "PING")).SerializeAsString();
  };
  Result<v1::WebhookDelivery> made = co_await Submit<v1::WebhookDelivery>(std::move(context), std::move(command));
  co_return std::move(made);
}

Task<Result<v1::ReplayWebhookEndpointResponse>> Webhooks::Replay(CallContext context,
                                                                 v1::ReplayWebhookEndpointRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("whk", request.id()));
  Time from = ReadTime(request.from_time()), to = ReadTime(request.to_time());
  if (to <= from) co_return Fail(Error::At("#/to_time", ErrorCode::kEndBeforeStart));
  // Its place among the ranges of the batch, known once `need` has run.
  auto index = std::make_shared<size_t>(0);
  Command command;
  command.header = postgres::CommandHeader::Of(context, "ReplayWebhookEndpoint");
  command.need = [id, from, to, index](WebhookSet& set) {
    set.want_endpoints.insert(id);
    *index = set.ranges.size();
    set.ranges.push_back({id, from, to});
  };
  command.decide = [id, index, organization = context.organization](WebhookSet& set) -> Result<std::string> {
    MILLRACE_TRY(EndpointRow * endpoint, Own(set, id, organization));
    MILLRACE_CHECK(CheckEnabled(*endpoint));
    const ReplayRange& range = set.ranges[*index];
    set.replayed.push_back(*index);
    v1::ReplayWebhookEndpointResponse answer;
    answer.set_deliveries(static_cast<int>(range.seqs.size()));
    if (range.next) SetTime(*range.next, answer.mutable_next_from_time());
    return answer.SerializeAsString();
  };
  Result<v1::ReplayWebhookEndpointResponse> answer =
      co_await Submit<v1::ReplayWebhookEndpointResponse>(std::move(context), std::move(command));
  co_return std::move(answer);
}

Task<Result<v1::WebhookDelivery>> Webhooks::ReplayDelivery(CallContext context,
                                                           v1::ReplayWebhookDeliveryRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("dlv", request.id()));
  Command command;
  command.header = postgres::CommandHeader::Of(context, "ReplayWebhookDelivery");
  command.need = [id](WebhookSet& set) { set.want_deliveries.insert(id); };
  command.decide = [id, organization = context.organization](WebhookSet& set) -> Result<std::string> {
    auto found = set.deliveries.find(id);
    // What is not in the feed, or not any more, cannot be sent again.
    if (found == set.deliveries.end() || !found->second.event_kept) return Fail(ErrorCode::kNotFound);
    MILLRACE_TRY(EndpointRow * endpoint, Own(set, found->second.endpoint, organization));
    MILLRACE_CHECK(CheckEnabled(*endpoint));
    Uuid event = found->second.event_id;
    std::string type = found->second.event_type;
    return Present(AddDelivery(set, *endpoint, event, std::move(type), "REPLAY")).SerializeAsString();
  };
  Result<v1::WebhookDelivery> made = co_await Submit<v1::WebhookDelivery>(std::move(context), std::move(command));
  co_return std::move(made);
}

Task<Result<v1::WebhookEndpoint>> Webhooks::Get(CallContext context, v1::GetWebhookEndpointRequest request) {
  MILLRACE_CO_TRY(Uuid id, ParseId("whk", request.id()));
  auto reply = context.reply;
  Uuid first;
  Result<std::vector<v1::WebhookEndpoint>> found = co_await ListEndpoints(reader_, std::move(context), first, 1, id);
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  if (found->empty()) co_return Fail(ErrorCode::kNotFound);
  reply->etag = found->front().etag();
  co_return std::move(found->front());
}

Task<Result<v1::ListWebhookEndpointsResponse>> Webhooks::List(CallContext context,
                                                              v1::ListWebhookEndpointsRequest request) {
  std::string filter = context.organization.Hex() + (context.IsOperator() ? " all" : " own") + " webhook_endpoints";
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  Uuid after = page.after, any;
  int rows = page.size + 1;
  Result<std::vector<v1::WebhookEndpoint>> found =
      co_await ListEndpoints(reader_, std::move(context), after, rows, any);
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  v1::ListWebhookEndpointsResponse response;
  bool more = found->size() > static_cast<size_t>(page.size);
  if (more) found->resize(page.size);
  if (more) response.set_next_page_token(rpc::NextPageToken(IdOrNil(found->back().id()), filter));
  for (v1::WebhookEndpoint& endpoint : *found) *response.add_data() = std::move(endpoint);
  co_return std::move(response);
}

Task<Result<v1::WebhookDelivery>> Webhooks::GetDelivery(CallContext context, v1::GetWebhookDeliveryRequest request) {
  DeliverySelection selection;
  selection.rows = 1;
  MILLRACE_CO_TRY(Uuid id, ParseId("dlv", request.id()));
  selection.id = id;
  Result<std::vector<FoundDelivery>> found =
      co_await ListDeliveries(reader_, std::move(context), std::move(selection), true);
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  if (found->empty()) co_return Fail(ErrorCode::kNotFound);
  co_return std::move(found->front().message);
}

Task<Result<v1::ListWebhookDeliveriesResponse>> Webhooks::ListDeliveriesOf(CallContext context,
                                                                           v1::ListWebhookDeliveriesRequest request) {
  DeliverySelection selection;
  selection.endpoint = IdOrNil(request.endpoint_id());
  selection.event = IdOrNil(request.event_id());
  if (request.state() != v1::WebhookDelivery::STATE_UNSPECIFIED)
    selection.state = v1::WebhookDelivery::State_Name(request.state());
  std::string filter = context.organization.Hex() + (context.IsOperator() ? " all " : " own ") + request.endpoint_id() +
                       " " + request.event_id() + " " + selection.state;
  MILLRACE_CO_TRY(rpc::Page page, rpc::ReadPage(request.page_size(), request.page_token(), filter));
  if (!page.after.IsNil()) selection.before = rpc::NumberOf(page.after);
  selection.rows = page.size + 1;
  Result<std::vector<FoundDelivery>> found =
      co_await ListDeliveries(reader_, std::move(context), std::move(selection), false);
  if (!found) co_return std::unexpected<Error>(std::move(found).error());
  v1::ListWebhookDeliveriesResponse response;
  bool more = found->size() > static_cast<size_t>(page.size);
  if (more) found->resize(page.size);
  if (more) response.set_next_page_token(rpc::NextPageToken(rpc::PlaceOf(found->back().n), filter));
  for (FoundDelivery& delivery : *found) *response.add_data() = std::move(delivery.message);
  co_return std::move(response);
}

}  // namespace millrace::notifications
