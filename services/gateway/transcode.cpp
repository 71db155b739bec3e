// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/transcode.h"

#include <algorithm>
#include <ctime>
#include <functional>
#include <set>

#include "common/base/limits.h"
#include "common/base/time.h"
#include "common/http/json.h"
#include "google/api/httpbody.pb.h"
#include "services/gateway/contract.h"
#include "services/gateway/negotiate.h"

namespace millrace::gateway {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kIdempotencyKeyMin = 8;
constexpr size_t kIdempotencyKeyMax = 255;

Result<void> ReadBody(const Route& route, const http::Request& request, std::string_view body, Message* message) {
  auto refuse = [](std::string accept) {
    return Fail(ErrorCode::kUnsupportedMediaType, {{"accept", std::move(accept)}});
  };
  if (route.rule.body.empty()) {
    if (!body.empty()) return refuse("(no body)");
    return {};
  }
  std::string_view content_type = request.fields.Get("Content-Type");
  if (route.raw_body) {
    // What clients send that wrap a file in a form, or that were not told its type: no file's bytes as they are.
    std::string type = MediaType(content_type);
    if (type == "multipart/form-data" || type == "application/x-www-form-urlencoded")
      return refuse("the file itself, with its own type");
    if (body.empty()) return Fail(Error::At(StripOf(route), ErrorCode::kRequired));
    auto* raw =
        static_cast<google::api::HttpBody*>(message->GetReflection()->MutableMessage(message, route.body_field));
    raw->set_content_type(content_type.empty() ? "application/octet-stream" : std::string(content_type));
    raw->set_data(std::string(body));
    return {};
  }
  // A verb without anything to say needs no body.
  if (body.empty() && route.rule.body == "*") return {};
  if (!body.empty() && MediaType(content_type) != AcceptedTypes(route)) return refuse(AcceptedTypes(route));
  if (!route.body_field) return http::ReadJson(body, message);
  return http::ReadJson(body, message->GetReflection()->MutableMessage(message, route.body_field), StripOf(route));
}

bool IsSet(const Message& message, const FieldDescriptor* field) {
  return message.GetReflection()->HasField(message, field);
}

Violation QueryFault(const std::string& name, std::string reason) {
  return {"?" + name, ErrorCode::kInvalidQuery, {{"field", name}, {"reason", std::move(reason)}}};
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

using Pairs = std::vector<std::pair<std::string, std::string>>;

// Reads parameters into fields; the names that are none of them are gathered with every other fault.
void ReadPairs(const Pairs& pairs, Message* message, const std::function<bool(std::string_view)>& closed,
               std::vector<Violation>* violations) {
  std::set<std::string_view> seen;
  for (const auto& [name, value] : pairs) {
    Message* holder = message;
    const FieldDescriptor* field =
        closed(std::string_view(name).substr(0, name.find('.'))) ? nullptr : Walk(name, &holder);
    if (!field) {
      violations->push_back(QueryFault(name, "there is no such parameter"));
      continue;
    }
    if (!field->is_repeated() && !seen.insert(name).second) {
      violations->push_back(QueryFault(name, "it stands more than once"));
      continue;
    }
    std::string pointer = "#/" + name;
    std::ranges::replace(pointer, '.', '/');
    Result<void> read = http::ReadText(value, holder, field, pointer);
    if (!read) violations->insert(violations->end(), read.error().violations.begin(), read.error().violations.end());
  }
}

// `expand=listing,resource`: names of the route's list, each once.
void ReadExpand(const Route& route, std::string_view value, ReadRequestResult* result,
                std::vector<Violation>* violations) {
  while (!value.empty()) {
    size_t comma = value.find(',');
    std::string_view name = value.substr(0, comma);
    value = comma == value.npos ? std::string_view() : value.substr(comma + 1);
    auto found = std::ranges::find(route.expansions, name, &Expansion::name);
    if (found == route.expansions.end()) {
      std::string allowed;
      for (const Expansion& each : route.expansions) allowed += (allowed.empty() ? "" : ", ") + each.name;
      violations->push_back(QueryFault("expand", "here it may name " + allowed));
      return;
    }
    if (std::ranges::find(result->expansions, &*found) == result->expansions.end())
      result->expansions.push_back(&*found);
  }
}

// Takes the parameters that are the gateway's own out of the query's.
void ReadOwnParameters(const Route& route, Pairs* pairs, ReadRequestResult* result,
                       std::vector<Violation>* violations) {
  const FieldDescriptor* field = result->message->GetDescriptor()->FindFieldByName("validate_only");
  std::erase_if(*pairs, [&](const auto& pair) {
    const auto& [name, value] = pair;
    if (name == "expand" && !route.expansions.empty()) {
      ReadExpand(route, value, result, violations);
      return true;
    }
    if (name != "validate_only" || !route.dry_run) return false;
    if (value != "true" && value != "false") violations->push_back(QueryFault(name, "true or false is expected"));
    if (value == "true") result->validate_only = true;
    if (value == "true" && field) result->message->GetReflection()->SetBool(result->message.get(), field, true);
    return true;
  });
}

// The path's parameters into the message.
void ReadPath(const RoutingTable::Match& match, Message* message, std::vector<Violation>* violations) {
  for (const auto& [field, value] : match.parameters) {
    std::string pointer = "#/" + field->name();
    if (IsSet(*message, field)) {  // the body of a "*" route may not repeat what the path says
      violations->push_back({pointer, ErrorCode::kUnknownField, {{"field", field->name()}}});
      continue;
    }
    Result<void> read = http::ReadText(value, message, field, pointer);
    if (!read) violations->insert(violations->end(), read.error().violations.begin(), read.error().violations.end());
  }
}

bool IsPathParameter(const Route& route, const FieldDescriptor* field) {
  return std::ranges::any_of(route.segments, [&](const auto& segment) { return segment.parameter == field; });
}

// "window.start_time" of "#/window/start_time"; an index and what follows it are not part of a parameter's name.
std::string ParameterName(const FieldDescriptor* field, std::string_view rest) {
  std::string name = field->name();
  while (field && !field->is_repeated() && field->message_type() && !rest.empty()) {
    rest.remove_prefix(1);
    std::string token(rest.substr(0, rest.find('/')));
    rest.remove_prefix(token.size());
    field = field->message_type()->FindFieldByName(token);
    name += "." + token;
  }
  return name;
}

// IMF-fixdate (RFC 9110 §5.6.7) of a wall time.
std::string HttpDate(Time time) {
  auto seconds = static_cast<std::time_t>(Micros(time) / 1'000'000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return text;
}

// Link to the page after this one: the same query with its token.
void AddLink(const Route& route, const http::Request& request, const Message& message, http::Fields* fields) {
  std::string token = route.page ? StringField(message, "next_page_token") : "";
  if (token.empty()) return;
  std::string query;
  std::string_view rest = request.query;
  while (!rest.empty()) {
    size_t end = rest.find('&');
    std::string_view part = rest.substr(0, end);
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
    if (!part.empty() && !part.starts_with("page_token=")) query += std::string(part) + "&";
  }
  fields->Set("Link",
              "<" + request.path + "?" + query + "page_token=" + http::PercentEncode(token) + ">; rel=\"next\"");
}

void AddDeprecation(const Route& route, http::Fields* fields) {
  if (!route.method->options().deprecated()) return;
  Deprecation deprecation = DeprecationOf(CommentOf(route.method->full_name()));
  fields->Set("Deprecation", "@" + std::to_string(deprecation.since));
  if (deprecation.sunset > 0) fields->Set("Sunset", HttpDate(FromMicros(deprecation.sunset * 1'000'000)));
  fields->Add("Link", "</docs#" + route.method->name() + ">; rel=\"deprecation\"");
}

}  // namespace

std::string MediaType(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (type.ends_with(' ') || type.ends_with('\t')) type.pop_back();
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return std::tolower(c); });
  return type;
}

std::string AcceptedTypes(const Route& route) {
  if (route.rule.body.empty()) return "";
  if (route.raw_body) return "*/*";
  return route.patch ? "application/merge-patch+json" : "application/json";
}

std::string StripOf(const Route& route) { return route.body_field ? "#/" + route.body_field->name() : ""; }

void PointAtRequest(const Route& route, Error* error) {
  for (Violation& violation : error->violations) {
    std::string_view pointer = violation.pointer;
    // What is no field was sent in the body.
    if (!pointer.starts_with("#/") || violation.code == ErrorCode::kUnknownField) {
      if (route.body_field && pointer.starts_with(StripOf(route)))
        violation.pointer = "#" + violation.pointer.substr(StripOf(route).size());
      continue;
    }
    std::string_view rest = pointer.substr(2);
    std::string top(rest.substr(0, rest.find('/')));
    rest.remove_prefix(top.size());
    const FieldDescriptor* field = route.method->input_type()->FindFieldByName(top);
    if (field && field == route.body_field) {
      violation.pointer = "#" + std::string(rest);
    } else if (field && (route.rule.body != "*" || IsPathParameter(route, field))) {
      violation.pointer = "?" + ParameterName(field, rest);
    }
  }
}

Result<void> ReadQuery(std::string_view query, Message* message, const std::vector<std::string>& closed) {
  MILLRACE_TRY(Pairs pairs, http::ParseQuery(query));
  std::vector<Violation> violations;
  ReadPairs(
      pairs, message, [&](std::string_view name) { return std::ranges::find(closed, name) != closed.end(); },
      &violations);
  if (!violations.empty()) return Fail(Error::Of(std::move(violations)));
  return {};
}

Result<ReadRequestResult> ReadRequest(const RoutingTable::Match& match, const http::Request& request,
                                      std::string_view body) {
  const Route& route = *match.route;
  ReadRequestResult result;
  result.message.reset(route.request->New());
  MILLRACE_CHECK(ReadBody(route, request, body, result.message.get()));
  std::vector<Violation> violations;
  ReadPath(match, result.message.get(), &violations);
  if (!violations.empty()) return Fail(Error::Of(std::move(violations)));
  if (!request.query.empty()) {
    MILLRACE_TRY(Pairs pairs, http::ParseQuery(request.query));
    ReadOwnParameters(route, &pairs, &result, &violations);
    auto closed = [&](std::string_view name) {
      if (route.rule.body == "*") return true;
      if (route.body_field && name == route.body_field->name()) return true;
      return std::ranges::any_of(match.parameters, [&](const auto& each) { return each.first->name() == name; });
    };
    ReadPairs(pairs, result.message.get(), closed, &violations);
    if (!violations.empty()) return Fail(Error::Of(std::move(violations)));
  }
  if (const auto* field = result.message->GetDescriptor()->FindFieldByName("validate_only")) {
    result.validate_only = result.validate_only || result.message->GetReflection()->GetBool(*result.message, field);
  }
  return result;
}

Result<ReadRequestResult> ReadRequest(const RoutingTable::Match& match, const http::Request& request) {
  return ReadRequest(match, request, request.body);
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

Result<http::Response> WriteResponse(const Route& route, const http::Request& request, const CallContext& context,
                                     const Message& message, std::string expanded) {
  const ReplyInfo& reply = *context.reply;
  http::Response response;
  http::Fields& fields = response.fields;
  fields.Set("Cache-Control", "no-store");
  fields.Set("X-Content-Type-Options", "nosniff");
  AddLink(route, request, message, &fields);
  AddDeprecation(route, &fields);
  // The tag is of the object alone; with others beside it the answer has none.
  if (!reply.etag.empty() && expanded.empty()) fields.Set("ETag", "\"" + reply.etag + "\"");
  if (reply.replayed) fields.Set("Idempotent-Replayed", "true");
  bool kept = !context.idempotency_key.empty() && route.rules->idempotency_key() && !context.validate_only;
  if (kept && !reply.replayed) fields.Set("Idempotency-Key-Expires", HttpDate(WallNow() + limits::kIdempotencyKept));
  if (route.Reads() && expanded.empty() && HasTag(request.fields.Get("If-None-Match"), reply.etag)) {
    response.status = 304;
    return response;
  }
  response.status = route.rules->http_status() ? route.rules->http_status() : 200;
  if (message.GetDescriptor()->full_name() == "google.api.HttpBody") {
    const auto& raw = static_cast<const google::api::HttpBody&>(message);
    std::string type = raw.content_type().empty() ? "application/octet-stream" : raw.content_type();
    if (!Accepts(request.fields.Get("Accept"), type)) return Fail(ErrorCode::kNotAcceptable, {{"offer", type}});
    fields.Set("Content-Type", std::move(type));
    // What somebody stored here must not run with this origin's rights.
    fields.Set("Content-Security-Policy", "sandbox; default-src 'none'");
    fields.Set("Content-Disposition", "attachment");
    response.body = raw.data();
    return response;
  }
  fields.Set("Content-Type", "application/json");
  std::string id = context.validate_only ? "" : NewId(message);
  // What is made below another object, as a key below its organization, has its own path elsewhere.
  bool below = route.rule.path.find('{') != std::string::npos;
  if (response.status == 201 && !id.empty() && !below)
    fields.Set("Location", request.path + "/" + http::PercentEncode(id));
  response.body = expanded.empty() ? http::WriteJson(message) : std::move(expanded);
  return response;
}

}  // namespace millrace::gateway
