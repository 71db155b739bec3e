// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/transcode.h"

#include <algorithm>
#include <set>

#include "common/http/json.h"
#include "google/api/httpbody.pb.h"

namespace millrace::gateway {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kIdempotencyKeyMin = 8;
constexpr size_t kIdempotencyKeyMax = 255;

std::string MediaType(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (type.ends_with(' ') || type.ends_with('\t')) type.pop_back();
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::tolower(c); });
  return type;
}

Result<void> ReadBody(const Route& route, const http::Request& request, Message* message) {
  auto refuse = [](std::string accept) {
    return Fail(ErrorCode::kUnsupportedMediaType, {{"accept", std::move(accept)}});
  };
  if (route.rule.body.empty()) {
    if (!request.body.empty()) return refuse("(no body)");
    return {};
  }
  std::string_view content_type = request.fields.Get("Content-Type");
  if (route.raw_body) {
    // What clients send that wrap a file in a form, or that were not told its type: no file's bytes as they are.
    std::string type = MediaType(content_type);
    if (type == "multipart/form-data" || type == "application/x-www-form-urlencoded")
      return refuse("the file itself, with its own type");
    if (request.body.empty()) return Fail(Error::At(StripOf(route), ErrorCode::kRequired));
    auto* raw =
        static_cast<google::api::HttpBody*>(message->GetReflection()->MutableMessage(message, route.body_field));
    raw->set_content_type(content_type.empty() ? "application/octet-stream" : std::string(content_type));
    raw->set_data(request.body);
    return {};
  }
  // A verb without anything to say needs no body.
  if (request.body.empty() && route.rule.body == "*") return {};
  if (!request.body.empty() && MediaType(content_type) != "application/json") return refuse("application/json");
  if (!route.body_field) return http::ReadJson(request.body, message);
  return http::ReadJson(request.body, message->GetReflection()->MutableMessage(message, route.body_field),
                        StripOf(route));
}

bool IsSet(const Message& message, const FieldDescriptor* field) {
  return message.GetReflection()->HasField(message, field);
}

Error QueryError(std::string field, std::string reason) {
  return Error(ErrorCode::kInvalidQuery, {{"field", std::move(field)}, {"reason", std::move(reason)}});
}

// The field that a dotted name leads to, and the message that holds it; nullptr if there is none.
const FieldDescriptor* Walk(std::string_view name, Message** message) {
  while (true) {
    size_t dot = name.find('.');
    const FieldDescriptor* field = (*message)->GetDescriptor()->FindFieldByName(std::string(name.substr(0, dot)));
    if (!field || field->is_map()) return nullptr;
    bool nested = field->message_type() && field->message_type()->full_name() != "google.protobuf.Timestamp";
    if (dot == name.npos) return nested ? nullptr : field;
    if (!nested || field->is_repeated()) return nullptr;
    *message = (*message)->GetReflection()->MutableMessage(*message, field);
    name.remove_prefix(dot + 1);
  }
}

// One entity tag without quotes; nothing for a weak one or a list.
std::optional<std::string> ReadTag(std::string_view text) {
  if (text == "*") return "*";
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  if (text.empty() || text.find_first_of("\", ") != text.npos || text.starts_with("W/")) return std::nullopt;
  return std::string(text);
}

// RFC 9110 §13.1.2: weak comparison with any tag of the list.
bool NoneMatchFails(std::string_view header, std::string_view etag) {
  if (header.empty() || etag.empty()) return false;
  if (header == "*") return true;
  std::string wanted = "\"" + std::string(etag) + "\"";
  while (!header.empty()) {
    size_t comma = header.find(',');
    std::string_view part = header.substr(0, comma);
    header = comma == header.npos ? std::string_view() : header.substr(comma + 1);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (part.starts_with("W/")) part.remove_prefix(2);
    if (part == wanted) return true;
  }
  return false;
}

std::string StringField(const Message& message, const char* name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (!field || field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return "";
  return message.GetReflection()->GetString(message, field);
}

// What names the thing that was made: its id or hash, or that of the first thing in an answer that holds several.
std::string NewId(const Message& message) {
  for (const char* name : {"id", "sha256"}) {
    std::string id = StringField(message, name);
    if (!id.empty()) return id;
  }
  const FieldDescriptor* first =
      message.GetDescriptor()->field_count() > 0 ? message.GetDescriptor()->field(0) : nullptr;
  if (!first || first->is_repeated() || !first->message_type() || !IsSet(message, first)) return "";
  return StringField(message.GetReflection()->GetMessage(message, first), "id");
}

}  // namespace

std::string StripOf(const Route& route) { return route.body_field ? "#/" + route.body_field->name() : ""; }

Result<void> ReadQuery(std::string_view query, Message* message, const std::vector<std::string>& closed) {
  MILLRACE_TRY(auto pairs, http::ParseQuery(query));
  std::set<std::string> seen;
  std::vector<Violation> violations;
  for (const auto& [name, value] : pairs) {
    Message* holder = message;
    std::string top = name.substr(0, name.find('.'));
    const FieldDescriptor* field = std::ranges::find(closed, top) == closed.end() ? Walk(name, &holder) : nullptr;
    if (!field) return Fail(QueryError(name, "there is no such parameter"));
    if (!field->is_repeated() && !seen.insert(name).second) return Fail(QueryError(name, "it stands more than once"));
    std::string pointer = "#/" + name;
    std::ranges::replace(pointer, '.', '/');
    Result<void> read = http::ReadText(value, holder, field, pointer);
    if (!read) violations.insert(violations.end(), read.error().violations.begin(), read.error().violations.end());
  }
  if (!violations.empty()) return Fail(Error::Of(std::move(violations)));
  return {};
}

Result<std::unique_ptr<Message>> ReadRequest(const RoutingTable::Match& match, const http::Request& request) {
  const Route& route = *match.route;
  std::unique_ptr<Message> message(route.request->New());
  MILLRACE_CHECK(ReadBody(route, request, message.get()));
  std::vector<std::string> closed;
  std::vector<Violation> violations;
  for (const auto& [field, value] : match.parameters) {
    closed.push_back(field->name());
    std::string pointer = "#/" + field->name();
    if (IsSet(*message, field)) {  // the body of a "*" route may not repeat what the path says
      violations.push_back({pointer, ErrorCode::kUnknownField, {{"field", field->name()}}});
      continue;
    }
    Result<void> read = http::ReadText(value, message.get(), field, pointer);
    if (!read) violations.insert(violations.end(), read.error().violations.begin(), read.error().violations.end());
  }
  if (!violations.empty()) return Fail(Error::Of(std::move(violations)));
  if (route.body_field) closed.push_back(route.body_field->name());
  if (route.rule.body == "*") {
    // Only the wish for a dry run may stand in either place.
    const auto* type = message->GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      if (type->field(i)->name() != "validate_only") closed.push_back(type->field(i)->name());
    }
  }
  MILLRACE_CHECK(ReadQuery(request.query, message.get(), closed));
  return message;
}

Result<void> ReadConditions(const http::Fields& fields, CallContext* context) {
  if (fields.Has("Idempotency-Key")) {
    std::string_view key = fields.Get("Idempotency-Key");
    if (key.size() >= 2 && key.front() == '"' && key.back() == '"') key = key.substr(1, key.size() - 2);
    bool visible = std::ranges::all_of(key, [](char c) { return c > 0x20 && c < 0x7F && c != '"'; });
    if (key.size() < kIdempotencyKeyMin || key.size() > kIdempotencyKeyMax || !visible)
      return Fail(ErrorCode::kIdempotencyKeyInvalid);
    context->idempotency_key = key;
  }
  if (fields.Has("If-Match")) {
    auto tag = ReadTag(fields.Get("If-Match"));
    if (!tag) return Fail(ErrorCode::kEtagMismatch);
    context->if_match = *std::move(tag);
  }
  return {};
}

http::Response WriteResponse(const Route& route, const http::Request& request, const Message& message,
                             const ReplyInfo& reply) {
  http::Response response;
  response.fields.Set("Cache-Control", "no-store");
  response.fields.Set("X-Content-Type-Options", "nosniff");
  if (!reply.etag.empty()) response.fields.Set("ETag", "\"" + reply.etag + "\"");
  if (reply.replayed) response.fields.Set("Idempotent-Replayed", "true");
  bool reads = request.method == "GET" || request.method == "HEAD";
  if (reads && NoneMatchFails(request.fields.Get("If-None-Match"), reply.etag)) {
    response.status = 304;
    return response;
  }
  response.status = route.rules->http_status() ? route.rules->http_status() : 200;
  if (message.GetDescriptor()->full_name() == "google.api.HttpBody") {
    const auto& raw = static_cast<const google::api::HttpBody&>(message);
    response.fields.Set("Content-Type", raw.content_type().empty() ? "application/octet-stream" : raw.content_type());
    // What somebody stored here must not run with this origin's rights.
    response.fields.Set("Content-Security-Policy", "sandbox; default-src 'none'");
    response.body = raw.data();
    return response;
  }
  response.fields.Set("Content-Type", "application/json");
  std::string id = NewId(message);
  if (response.status == 201 && !id.empty())
    response.fields.Set("Location", request.path + "/" + http::PercentEncode(id));
  response.body = http::WriteJson(message);
  return response;
}

}  // namespace millrace::gateway
