// SPDX-License-Identifier: Apache-2.0
// Webhook endpoints and their delivery log: what their owners command and read. dispatcher.h sends.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/base/address.h"
#include "common/base/call_context.h"
#include "common/postgres/writer.h"
#include "millrace/notifications/v1/notifications.pb.h"
#include "services/notifications/app/secret_box.h"
#include "services/notifications/store/webhook_set.h"

namespace millrace::notifications {

// The addresses of a host's name or of a literal address; empty if it has none.
using Resolver = std::function<Task<Result<std::vector<std::string>>>(std::string host)>;

inline constexpr int64_t kEndpointsPerOrganization = 20;
inline constexpr std::chrono::hours kOldSecretSigns{24};  // wall time

// Lives on the loop.
class Webhooks {
 public:
  // `allowed`: addresses that may be called although they are not public, or by http.
  Webhooks(postgres::Writer<WebhookSet>& writer, postgres::Database& reader, SecretBox secrets,
           std::vector<Cidr> allowed, Resolver resolver);

  Task<Result<v1::WebhookEndpoint>> Create(CallContext context, v1::CreateWebhookEndpointRequest request);
  Task<Result<v1::WebhookEndpoint>> Get(CallContext context, v1::GetWebhookEndpointRequest request);
  Task<Result<v1::ListWebhookEndpointsResponse>> List(CallContext context, v1::ListWebhookEndpointsRequest request);
  Task<Result<v1::WebhookEndpoint>> Update(CallContext context, v1::UpdateWebhookEndpointRequest request);
  Task<Result<v1::DeleteWebhookEndpointResponse>> Delete(CallContext context, v1::DeleteWebhookEndpointRequest request);
  Task<Result<v1::WebhookEndpoint>> RotateSecret(CallContext context, v1::WebhookEndpointVerbRequest request);
  Task<Result<v1::WebhookDelivery>> Ping(CallContext context, v1::WebhookEndpointVerbRequest request);
  Task<Result<v1::WebhookEndpoint>> Enable(CallContext context, v1::WebhookEndpointVerbRequest request);
  Task<Result<v1::ReplayWebhookEndpointResponse>> Replay(CallContext context, v1::ReplayWebhookEndpointRequest request);
  Task<Result<v1::WebhookDelivery>> GetDelivery(CallContext context, v1::GetWebhookDeliveryRequest request);
  Task<Result<v1::ListWebhookDeliveriesResponse>> ListDeliveriesOf(CallContext context,
                                                                   v1::ListWebhookDeliveriesRequest request);
  Task<Result<v1::WebhookDelivery>> ReplayDelivery(CallContext context, v1::ReplayWebhookDeliveryRequest request);

 private:
  using Change = std::function<Result<void>(WebhookSet&, EndpointRow&)>;

  // Errors: UNSAFE_URL.
  Task<Result<void>> CheckUrl(std::string url);
  // Runs a command that answers with an endpoint, and makes its secret readable if it holds one.
  Task<Result<v1::WebhookEndpoint>> SubmitEndpoint(CallContext context, postgres::Command<WebhookSet> command);
  // Changes an endpoint of the caller's organization and answers with it; with its secret if `reveal`.
  Task<Result<v1::WebhookEndpoint>> ChangeEndpoint(CallContext context, std::string method, Uuid id, Change change,
                                                   bool reveal);
  // The message in an outcome; the secret in it, sealed, becomes readable.
  template <class Message>
  Task<Result<Message>> Submit(CallContext context, postgres::Command<WebhookSet> command);
  void Reveal(v1::WebhookEndpoint* endpoint) const;

  postgres::Writer<WebhookSet>& writer_;
  postgres::Database& reader_;
  SecretBox secrets_;
  std::vector<Cidr> allowed_;
  Resolver resolver_;
};

}  // namespace millrace::notifications
