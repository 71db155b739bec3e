// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/exchange.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace millrace::rpc {
namespace {

std::string BytesOf(const Uuid& id) { return id.IsNil() ? std::string() : std::string(id.bytes.begin(), id.bytes.end()); }

Uuid IdOf(const std::string& bytes) {
  Uuid id;
  if (bytes.size() == id.bytes.size()) std::ranges::copy(bytes, id.bytes.begin());
  return id;
}

}  // namespace

void AfterThisTurn(const Executor& executor, std::function<void()> work) {
  // A handler that is posted by another one runs after the next look at the sockets.
  boost::asio::post(executor, [executor, work = std::move(work)]() mutable {
    boost::asio::post(executor, std::move(work));
  });
}

void WriteContext(const CallContext& context, runtime::v1::CallContext* out) {
  out->set_organization(BytesOf(context.organization));
  out->set_actor(context.actor);
  out->set_member(BytesOf(context.member));
  for (const std::string& role : context.roles) out->add_roles(role);
  for (const std::string& scope : context.scopes) out->add_scopes(scope);
  out->set_organization_verified(context.organization_verified);
  out->set_request_id(context.request_id);
  out->set_traceparent(context.traceparent);
  out->set_idempotency_key(context.idempotency_key);
  out->set_if_match(context.if_match);
  out->set_validate_only(context.validate_only);
  out->set_english(context.language == Language::kEn);
  out->mutable_headers()->insert(context.headers.begin(), context.headers.end());
  out->set_raw_body(context.raw_body);
}

CallContext ReadContext(const runtime::v1::CallContext& in) {
  CallContext context;
  context.organization = IdOf(in.organization());
  context.actor = in.actor();
  context.member = IdOf(in.member());
  context.roles = {in.roles().begin(), in.roles().end()};
  context.scopes = {in.scopes().begin(), in.scopes().end()};
  context.organization_verified = in.organization_verified();
  context.request_id = in.request_id();
  context.traceparent = in.traceparent();
  context.idempotency_key = in.idempotency_key();
  context.if_match = in.if_match();
  context.validate_only = in.validate_only();
  context.language = in.english() ? Language::kEn : Language::kZh;
  context.headers = {in.headers().begin(), in.headers().end()};
  context.raw_body = in.raw_body();
  return context;
}

}  // namespace millrace::rpc
