// SPDX-License-Identifier: Apache-2.0
// RPC handlers without gRPC types, and the one place where every call enters a service.
#pragma once

#include <google/protobuf/message.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/async/task.h"
#include "common/base/call_context.h"
#include "common/base/result.h"

namespace millrace::rpc {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

using Handler = std::function<Task<Result<std::unique_ptr<Message>>>(CallContext, std::unique_ptr<Message>)>;

// The handlers of one service ("listing"), by the RPC's full name ("millrace.listing.v1.ListingService.GetListing").
class Service {
 public:
  explicit Service(std::string name) : name_(std::move(name)) {}
  const std::string& name() const { return name_; }

  // Registers the handler of an RPC. Ends the program if the RPC does not exist, has other types, or has a handler
  // already.
  template <class Request, class Response>
  void On(std::string_view method, std::function<Task<Result<Response>>(CallContext, Request)> handler) {
    Register(method, Request::descriptor()->full_name(), Response::descriptor()->full_name(),
             [handler = std::move(handler)](CallContext context, std::unique_ptr<Message> request) {
               return Invoke<Request, Response>(handler, std::move(context), std::move(request));
             });
  }

  // Where a call enters, by whatever transport. In order: the deadline (DEADLINE_EXCEEDED), the method's rules
  // (UNAUTHENTICATED, INSUFFICIENT_SCOPE, ORGANIZATION_NOT_VERIFIED, ETAG_REQUIRED, IDEMPOTENCY_KEY_REQUIRED or
  // _INVALID), the fields' rules (all violations at once), the fingerprint, then the handler. An exception out of a
  // handler is INTERNAL, with its cause logged. Passes the crash point "<service>.before_answer" after a handler whose
  // method needs a key.
  Task<Result<std::unique_ptr<Message>>> Dispatch(const MethodDescriptor* method, CallContext context,
                                                  std::unique_ptr<Message> request);
  bool Has(const MethodDescriptor* method) const;

 private:
  template <class Request, class Response>
  static Task<Result<std::unique_ptr<Message>>> Invoke(
      std::function<Task<Result<Response>>(CallContext, Request)> handler, CallContext context,
      std::unique_ptr<Message> request) {
    Request typed = std::move(static_cast<Request&>(*request));
    Result<Response> response = co_await handler(std::move(context), std::move(typed));
    if (!response) co_return std::unexpected<Error>(std::move(response).error());
    std::unique_ptr<Message> message = std::make_unique<Response>(*std::move(response));
    co_return std::move(message);
  }
  void Register(std::string_view method, const std::string& request, const std::string& response, Handler handler);

  std::string name_;
  std::map<const MethodDescriptor*, Handler> handlers_;
};

}  // namespace millrace::rpc
