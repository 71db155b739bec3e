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
#include "common/base/id.h"
#include "common/base/result.h"

namespace millrace::rpc {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

using Handler = std::function<Task<Result<std::unique_ptr<Message>>>(CallContext, std::unique_ptr<Message>)>;

// Two equal requests of a method have equal fingerprints: SHA-256 over its name and the request's bytes, with maps
// sorted and fields in number order. An idempotency key and an approval stand for one fingerprint.
std::string Fingerprint(const MethodDescriptor* method, const Message& request);
// The fields that are set, as JSON, without secrets and files: what persons and the audit log may read.
std::string ReadableJson(const Message& request);
// Makes a serialized events.v1.Act show `request`, cut at 4 KiB.
void ShowInAct(const Message& request, std::string* act);

// A command that wants to run under another person's approval.
struct ApprovalUse {
  std::string approval;  // apr_…
  std::string method;    // full name
  std::string fingerprint;
  Uuid organization, member;  // who runs it
  std::string traceparent;
  Time deadline = Time::max();
};
// Errors: NOT_FOUND (no such approval), those of an approval that does not stand, UNAVAILABLE.
using ApprovalCheck = std::function<Task<Result<void>>(ApprovalUse)>;

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
  // _INVALID), the fields' rules (all violations at once), the fingerprint, the approval (APPROVAL_REQUIRED,
  // MEMBER_REQUIRED and the check's), then the handler. An exception out of a handler is INTERNAL, with its cause
  // logged. Passes the crash point "<service>.before_answer" after a handler whose method needs a key.
  Task<Result<std::unique_ptr<Message>>> Dispatch(const MethodDescriptor* method, CallContext context,
                                                  std::unique_ptr<Message> request);
  bool Has(const MethodDescriptor* method) const;
  // Who says whether a command that needs two persons may run. Without it none does.
  void CheckApprovalsBy(ApprovalCheck check) { approvals_ = std::move(check); }

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
  // That a command which needs two persons has its approval: the idempotency key names it.
  Task<Result<void>> CheckApproval(const MethodDescriptor* method, const CallContext& context, std::string fingerprint);

  std::string name_;
  std::map<const MethodDescriptor*, Handler> handlers_;
  ApprovalCheck approvals_;
};

}  // namespace millrace::rpc
