// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "common/base/crash_point.h"
#include "common/base/words.h"
#include "common/crypto/crypto.h"
#include "common/rpc/channel.h"
#include "common/rpc/metadata.h"
#include "common/rpc/validator.h"
#include "common/telemetry/call.h"
#include "common/telemetry/log.h"
#include "common/telemetry/span.h"
#include "google/api/annotations.pb.h"
#include "google/api/httpbody.pb.h"
#include "millrace/events/v1/events.pb.h"
#include "millrace/type/options.pb.h"

namespace millrace::rpc {
namespace {

constexpr size_t kIdempotencyKeyMin = 8;
constexpr size_t kIdempotencyKeyMax = 255;
constexpr size_t kActRequestBytes = 4 * 1024;

[[noreturn]] void Die(std::string_view why, std::string_view method) {
  std::fprintf(stderr, "rpc: %.*s: %.*s\n", static_cast<int>(method.size()), method.data(),
               static_cast<int>(why.size()), why.data());
  std::abort();
}

const type::MethodRules& RulesOf(const MethodDescriptor* method) {
  return method->options().GetExtension(type::method);
}

// Who may call. A method without roles is for every caller with a key; an internal one for services alone.
Result<void> CheckCaller(const type::MethodRules& rules, const CallContext& context) {
  if (rules.public_()) return {};
  if (context.organization.IsNil() && !context.IsService()) return Fail(ErrorCode::kUnauthenticated);
  auto refused = [](std::string roles) { return Fail(ErrorCode::kInsufficientScope, {{"roles", std::move(roles)}}); };
  if (rules.internal() && !context.IsService()) return refused("service");
  if (!rules.roles().empty() &&
      std::ranges::none_of(rules.roles(), [&](const std::string& r) { return context.Has(r); })) {
    return refused(JoinWords(rules.roles(), ", "));
  }
  if (rules.verified() && !context.organization_verified) return Fail(ErrorCode::kOrganizationNotVerified);
  return {};
}

// The headers that a method asks for.
Result<void> CheckHeaders(const type::MethodRules& rules, const CallContext& context) {
  if (rules.if_match() && context.if_match.empty()) return Fail(ErrorCode::kEtagRequired);
  if (!rules.idempotency_key()) return {};
  const std::string& key = context.idempotency_key;
  if (key.empty()) return Fail(ErrorCode::kIdempotencyKeyRequired);
  bool visible = std::ranges::all_of(key, [](char c) { return c > 0x20 && c < 0x7f; });
  if (key.size() < kIdempotencyKeyMin || key.size() > kIdempotencyKeyMax || !visible) {
    return Fail(ErrorCode::kIdempotencyKeyInvalid);
  }
  return {};
}

Result<void> CheckCall(const MethodDescriptor* method, const CallContext& context, const Message& request) {
  if (context.deadline <= WallNow()) return Fail(ErrorCode::kDeadlineExceeded);
  const type::MethodRules& rules = RulesOf(method);
  MILLRACE_CHECK(CheckCaller(rules, context));
  MILLRACE_CHECK(CheckHeaders(rules, context));
  std::vector<Violation> violations = Validate(request, rules.internal());
  if (!violations.empty()) return Fail(Error::Of(std::move(violations)));
  return {};
}

// Whether the call needs another person's approval. A check only needs it too: it answers as if it were done.
bool NeedsApproval(const MethodDescriptor* method, const CallContext& context) {
  return RulesOf(method).two_person() && context.IsOperator();
}

// Whether the audit log wants the call over a route: a command by an office, or whatever is marked.
bool IsAct(const MethodDescriptor* method, const CallContext& context) {
  const type::MethodRules& rules = RulesOf(method);
  if (rules.internal() || context.validate_only || !method->options().HasExtension(google::api::http)) return false;
  if (rules.audited()) return true;
  if (!method->options().GetExtension(google::api::http).get().empty()) return false;
  return context.IsOperator() || context.Has("regulator");
}

// Empties the fields that no log may show.
void Redact(Message* message) {
  if (auto* file = dynamic_cast<google::api::HttpBody*>(message)) file->clear_data();
  const auto* reflection = message->GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const auto* field : fields) {
    if (field->options().GetExtension(type::field).secret()) {
      reflection->ClearField(message, field);
    } else if (field->message_type() && !field->is_map()) {
      int count = field->is_repeated() ? reflection->FieldSize(*message, field) : 1;
      for (int i = 0; i < count; ++i) {
        Redact(field->is_repeated() ? reflection->MutableRepeatedMessage(message, field, i)
                                    : reflection->MutableMessage(message, field));
      }
    }
  }
}

std::string Cut(std::string text) {
  size_t cut = std::min(text.size(), kActRequestBytes);
  while (cut < text.size() && cut > 0 && (text[cut] & 0xC0) == 0x80) --cut;  // no half character
  text.resize(cut);
  return text;
}

std::string ActOf(const MethodDescriptor* method, const CallContext& context, const Message& request) {
  events::v1::Act act;
  act.set_method(method->full_name());
  if (!context.organization.IsNil()) act.set_organization_id(FormatId("org", context.organization));
  act.set_actor(context.actor);
  if (!context.member.IsNil()) act.set_member_id(FormatId("usr", context.member));
  for (const std::string& role : context.roles) act.add_roles(role);
  const auto* id = request.GetDescriptor()->FindFieldByName("id");
  if (id && id->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_STRING && !id->is_repeated()) {
    act.set_subject(request.GetReflection()->GetString(request, id));
  }
  act.set_request(Cut(ReadableJson(request)));
  act.set_request_id(context.request_id);
  if (NeedsApproval(method, context)) act.set_approval_id(context.idempotency_key);
  return act.SerializeAsString();
}

}  // namespace

std::string Fingerprint(const MethodDescriptor* method, const Message& request) {
  std::string bytes = method->full_name();
  bytes += '\0';
  request.ByteSizeLong();  // fills the sizes that the serialization relies on
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    request.SerializeWithCachedSizes(&out);
  }
  return crypto::Sha256(bytes);
}

std::string ReadableJson(const Message& request) {
  std::unique_ptr<Message> shown(request.New());
  shown->CopyFrom(request);
  Redact(shown.get());
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  (void)google::protobuf::util::MessageToJsonString(*shown, &json, options);
  return json;
}

void ShowInAct(const Message& request, std::string* act) {
  events::v1::Act parsed;
  parsed.ParseFromString(*act);
  parsed.set_request(Cut(ReadableJson(request)));
  *act = parsed.SerializeAsString();
}

const MethodDescriptor* FindMethod(std::string_view full_name) {
  const MethodDescriptor* method =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(std::string(full_name));
  if (method == nullptr) Die("there is no such RPC", full_name);
  return method;
}

void Service::Register(std::string_view name, const std::string& request, const std::string& response,
                       Handler handler) {
  const MethodDescriptor* method = FindMethod(name);
  if (method->input_type()->full_name() != request || method->output_type()->full_name() != response) {
    Die("takes or returns another message", name);
  }
  const type::MethodRules& rules = RulesOf(method);
  if (rules.two_person() && (!rules.idempotency_key() || rules.public_() || rules.internal())) {
    Die("needs two persons, so an idempotency key and a caller over a route", name);
  }
  if (!handlers_.emplace(method, std::move(handler)).second) Die("has a handler already", name);
}

bool Service::Has(const MethodDescriptor* method) const { return handlers_.contains(method); }

Task<Result<void>> Service::CheckApproval(const MethodDescriptor* method, const CallContext& context,
                                          std::string fingerprint) {
  auto required = [&] { return Fail(ErrorCode::kApprovalRequired, {{"method", method->full_name()}}); };
  if (!IsId("apr", context.idempotency_key)) co_return required();
  if (context.member.IsNil()) co_return Fail(ErrorCode::kMemberRequired);
  if (!approvals_) co_return Fail(Error::Unavailable("nobody here knows of approvals"));
  ApprovalUse use{context.idempotency_key, method->full_name(), std::move(fingerprint), context.organization,
                  context.member,          context.traceparent, context.deadline};
  Result<void> stands = co_await approvals_(std::move(use));
  // A bare NOT_FOUND would speak of the object that the command names.
  if (!stands && stands.error().code == ErrorCode::kNotFound) co_return required();
  co_return std::move(stands);
}

Task<Result<std::unique_ptr<Message>>> Service::Dispatch(const MethodDescriptor* method, CallContext context,
                                                         std::unique_ptr<Message> request) {
  auto found = handlers_.find(method);
  if (found == handlers_.end()) {
    co_return Fail(ErrorCode::kNoSuchRoute, {{"method", "RPC"}, {"path", method->full_name()}});
  }
  MILLRACE_CO_CHECK(CheckCall(method, context, *request));
  bool keyed = RulesOf(method).idempotency_key();
  if (!context.idempotency_key.empty()) {
    auto given = context.headers.find(std::string(kFingerprintHeader));
    context.fingerprint = given == context.headers.end() ? Fingerprint(method, *request)
                                                         : crypto::Sha256(method->full_name() + '\0' + given->second);
  }
  if (IsAct(method, context)) context.act = ActOf(method, context, *request);
  // Of the request itself, whatever its key stands for.
  std::string content = NeedsApproval(method, context) ? Fingerprint(method, *request) : std::string();
  telemetry::Span span(method->full_name(), telemetry::SpanKind::kServer, context.traceparent);
  if (span.recorded()) {
    context.traceparent = span.Traceparent(context.traceparent);
    span.Set("rpc.system", "millrace");
    span.Set("rpc.service", name_);
  }
  telemetry::CallScope scope(telemetry::Call::Of(context.traceparent, context.request_id));
  Result<std::unique_ptr<Message>> answer = Fail(ErrorCode::kInternal);
  try {
    Result<void> may;
    if (!content.empty()) may = co_await CheckApproval(method, context, std::move(content));
    if (may) {
      answer = co_await found->second(std::move(context), std::move(request));
    } else {
      answer = std::unexpected<Error>(std::move(may).error());
    }
  } catch (const std::exception& failure) {
    answer = std::unexpected(Error::Internal(failure.what()));
  } catch (...) {
    answer = std::unexpected(Error::Internal("an exception that is none of the library's"));
  }
  if (!answer && answer.error().code == ErrorCode::kInternal) {
    telemetry::Log(telemetry::Level::kError, "rpc.internal",
                   {{"method", method->full_name()}, {"cause", answer.error().cause}});
  }
  if (!answer) span.Fail(Name(answer.error().code));
  if (keyed) CrashPoint(name_ + ".before_answer");
  co_return std::move(answer);
}

}  // namespace millrace::rpc
