// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/openapi_parts.h"

#include "common/http/json_parse.h"
#include "services/gateway/contract.h"

namespace millrace::gateway {
namespace {

// A value written as JSON text in this file. A fault there ends the program at start, in every test.
JsonValue Literal(std::string_view json) {
  Result<JsonValue> value = http::ParseJson(json);
  if (!value) {
    std::fprintf(stderr, "gateway: openapi_parts: %.*s\n", static_cast<int>(json.size()), json.data());
    std::abort();
  }
  return *std::move(value);
}

constexpr std::string_view kInfo = R"({
  "title": "Millrace",
  "summary": "An open exchange for manufacturing capacity.",
  "description": "Providers publish capacity, buyers find, book and pay for it. JSON in UTF-8, snake_case; 64-bit integers are strings; unknown members of a request are refused, unknown members of an answer must be ignored; times are RFC 3339 with an offset; money is an integer of minor units with its ISO 4217 code. Refusals are problem documents (RFC 9457), whose `type` opens a page. Lists come in pages: follow `Link: <…>; rel=\"next\"` or send `page_token`. Within /v1 nothing is taken away, only added.",
  "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
  "contact": {"name": "The operator of this instance"},
  "version": "v1"
})";

constexpr std::string_view kParameters = R"({
  "AcceptLanguage": {"name": "Accept-Language", "in": "header", "description": "Language of sentences: zh (the default) or en.", "schema": {"type": "string"}},
  "IdempotencyKey": {"name": "Idempotency-Key", "in": "header", "required": true, "description": "Names this command: sent again with the same key, it is not done twice and answered alike. Kept 72 hours.", "schema": {"type": "string", "minLength": 8, "maxLength": 255, "pattern": "^[!#-~]+$"}},
  "IdempotencyKeyOptional": {"name": "Idempotency-Key", "in": "header", "description": "As elsewhere; this call may do without.", "schema": {"type": "string", "minLength": 8, "maxLength": 255, "pattern": "^[!#-~]+$"}},
  "IfMatch": {"name": "If-Match", "in": "header", "required": true, "description": "The object's ETag as read, in quotes; `*` for any version.", "schema": {"type": "string"}},
  "IfNoneMatch": {"name": "If-None-Match", "in": "header", "description": "ETags that the client has: 304 if one of them is the object's.", "schema": {"type": "string"}},
  "ValidateOnly": {"name": "validate_only", "in": "query", "description": "Check and answer as if it were done, without any effect.", "schema": {"type": "boolean", "default": false}}
})";

constexpr std::string_view kHeaders = R"({
  "RequestId": {"description": "req_…, of this request: tell it the operator.", "schema": {"type": "string"}},
  "ETag": {"description": "The object's version, in quotes.", "schema": {"type": "string"}},
  "Location": {"description": "Path of what was made; absent from a dry run.", "schema": {"type": "string"}},
  "Link": {"description": "The page after this one, rel=\"next\"; absent on the last.", "schema": {"type": "string"}},
  "IdempotentReplayed": {"description": "true: the stored answer of the same command.", "schema": {"type": "string", "enum": ["true"]}},
  "IdempotencyKeyExpires": {"description": "Until when the key is kept, on the first answer: an HTTP date.", "schema": {"type": "string"}},
  "Deprecation": {"description": "Since when the call is deprecated (RFC 9745).", "schema": {"type": "string"}},
  "Sunset": {"description": "When the call ends (RFC 8594).", "schema": {"type": "string"}}
})";

constexpr std::string_view kProblem = R"({
  "type": "object",
  "description": "Why a request was refused (RFC 9457).",
  "properties": {
    "type": {"type": "string", "format": "uri-reference", "description": "/problems/… on this server: a page about the code."},
    "title": {"type": "string", "description": "The code in words."},
    "status": {"type": "integer", "format": "int32", "description": "The HTTP status."},
    "detail": {"type": "string", "description": "What is wrong here, and what to do next."},
    "instance": {"type": "string", "format": "uri-reference", "description": "Names this request."},
    "code": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]{1,61}[A-Z0-9]$", "description": "The stable code, never translated."},
    "request_id": {"type": "string", "description": "As the header Request-Id."},
    "retryable": {"type": "boolean", "description": "The same request may succeed later."},
    "errors": {
      "type": "array",
      "description": "Faults by place.",
      "items": {
        "type": "object",
        "properties": {
          "pointer": {"type": "string", "description": "JSON pointer into the body, in fragment form: #/window/start_time."},
          "parameter": {"type": "string", "description": "Instead of a pointer: the path or query parameter."},
          "code": {"type": "string", "description": "The code of this fault."},
          "detail": {"type": "string", "description": "What is wrong here."}
        },
        "required": ["code", "detail"]
      }
    }
  },
  "required": ["type", "title", "status", "detail", "code", "retryable"]
})";

constexpr std::string_view kOwnPaths = R"({
  "/livez": {"get": {"operationId": "GetLiveness", "tags": ["service"], "summary": "Says that the process runs.", "description": "Says that the process runs.", "security": [], "responses": {"200": {"description": "It runs.", "content": {"text/plain": {"schema": {"type": "string"}}}}}}},
  "/readyz": {"get": {"operationId": "GetReadiness", "tags": ["service"], "summary": "Says whether it can serve.", "description": "Says whether it can serve.", "security": [], "responses": {"200": {"description": "It serves.", "content": {"text/plain": {"schema": {"type": "string"}}}}, "503": {"description": "It does not, or not yet.", "content": {"text/plain": {"schema": {"type": "string"}}}}}}},
  "/version": {"get": {"operationId": "GetVersion", "tags": ["service"], "summary": "Says which version runs.", "description": "Says which version runs.", "security": [], "responses": {"200": {"description": "The version.", "content": {"application/json": {"schema": {"type": "object", "properties": {"name": {"type": "string"}, "version": {"type": "string"}, "api": {"type": "string"}}, "required": ["name", "version", "api"]}}}}}}},
  "/v1": {"get": {"operationId": "ListRoutes", "tags": ["service"], "summary": "Lists the routes.", "description": "Lists every route with its RPC and one sentence.", "security": [], "responses": {"200": {"description": "The routes.", "content": {"application/json": {"schema": {"type": "object"}}}}}}},
  "/v1/stream": {"get": {"operationId": "StreamEvents", "tags": ["events"], "summary": "Streams the caller's events as they happen.", "description": "Server-sent events: `id` is the event's, `event` its type, `data` its JSON; a comment each 15 seconds. `event: reset` says that some may have been missed.",
    "parameters": [
      {"name": "types", "in": "query", "description": "Only these types (booking.confirmed) or kinds of object (booking).", "schema": {"type": "array", "maxItems": 32, "items": {"type": "string"}}},
      {"name": "topics", "in": "query", "description": "Only these kinds of object (booking), separated by commas.", "schema": {"type": "array", "maxItems": 32, "items": {"type": "string"}}},
      {"name": "after_seq", "in": "query", "description": "Events with a greater seq.", "schema": {"type": "string", "format": "int64", "pattern": "^(0|[1-9][0-9]{0,19})$"}},
      {"name": "after_id", "in": "query", "description": "Events after this one.", "schema": {"type": "string"}},
      {"name": "Last-Event-ID", "in": "header", "description": "The last id that the client has seen: resumes behind it.", "schema": {"type": "string"}}
    ],
    "security": [{"bearer": []}, {"oauth2": ["events:read"]}],
    "responses": {
      "200": {"description": "The stream.", "content": {"text/event-stream": {"schema": {"type": "string"}}}},
      "400": {"$ref": "#/components/responses/Problem"},
      "401": {"$ref": "#/components/responses/Problem"},
      "403": {"$ref": "#/components/responses/Problem"}
    }}}
})";

constexpr std::string_view kEnvelope = R"({
  "type": "object",
  "description": "An event as a CloudEvents 1.0 document.",
  "properties": {
    "specversion": {"type": "string", "enum": ["1.0"], "description": "CloudEvents 1.0."},
    "id": {"type": "string", "description": "evt_…; unique for ever."},
    "source": {"type": "string", "format": "uri-reference", "description": "The receiver: /orgs/org_…"},
    "type": {"type": "string", "description": "What happened. New types come: ignore those you do not know."},
    "time": {"type": "string", "format": "date-time", "description": "Business time."},
    "timestamp": {"type": "string", "format": "date-time", "description": "The same as time."},
    "subject": {"type": "string", "description": "The object: bookings/bkg_…"},
    "datacontenttype": {"type": "string", "description": "application/json."},
    "data": {"type": "object", "description": "The object as it was after the event."},
    "seq": {"type": "string", "format": "int64", "pattern": "^(0|[1-9][0-9]{0,19})$", "description": "Position in the feed."}
  },
  "required": ["specversion", "id", "source", "type", "time", "data"]
})";

constexpr std::string_view kWebhookParameters = R"([
  {"name": "webhook-id", "in": "header", "required": true, "description": "The event's id: the same on every attempt.", "schema": {"type": "string"}},
  {"name": "webhook-timestamp", "in": "header", "required": true, "description": "When this attempt was signed, in seconds since 1970.", "schema": {"type": "string"}},
  {"name": "webhook-signature", "in": "header", "required": true, "description": "Standard Webhooks: v1,<base64 of HMAC-SHA-256 over id.timestamp.body>; several, separated by blanks, while a secret is replaced.", "schema": {"type": "string"}}
])";

// "OnBookingCheckedIn" of "booking.checked_in".
std::string EventOperation(std::string_view type) {
  std::string name = "On";
  bool upper = true;
  for (char c : type) {
    if (c == '.' || c == '_') {
      upper = true;
      continue;
    }
    name += upper ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    upper = false;
  }
  return name;
}

}  // namespace

JsonValue Info() { return Literal(kInfo); }
JsonValue CommonParameters() { return Literal(kParameters); }
JsonValue CommonHeaders() { return Literal(kHeaders); }

JsonValue ProblemRef(Schemas* schemas) { return schemas->RefOwn("Problem", Literal(kProblem)); }

JsonValue CommonResponses(Schemas* schemas) {
  JsonValue problem = JsonObject({{"description", JsonText("Refused; the document says why.")}});
  Put(&problem, "content", JsonObject({{"application/problem+json", JsonObject({{"schema", ProblemRef(schemas)}})}}));
  JsonValue responses = JsonObject();
  Put(&responses, "NotModified", JsonObject({{"description", JsonText("The client has this version.")}}));
  Put(&responses, "Problem", std::move(problem));
  return responses;
}

JsonValue SecuritySchemes(const std::set<std::string>& scopes) {
  JsonValue names = JsonObject();
  for (const std::string& scope : scopes) {
    size_t colon = scope.find(':');
    bool reads = scope.substr(colon + 1) == "read";
    Put(&names, scope, JsonText((reads ? "Read " : "Read and change ") + scope.substr(0, colon) + "."));
  }
  JsonValue schemes = Literal(R"({
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key (sk_test_… or sk_live_…) or an access token."},
    "oauth2": {"type": "oauth2", "description": "Client credentials (RFC 6749 §4.4); tokens last an hour.",
      "flows": {"clientCredentials": {"tokenUrl": "/oauth2/token"}}}})");
  Put(Find(Find(Find(&schemes, "oauth2"), "flows"), "clientCredentials"), "scopes", std::move(names));
  return schemes;
}

std::map<std::string, JsonValue> OwnPaths(Schemas* schemas) {
  ProblemRef(schemas);
  std::map<std::string, JsonValue> paths;
  JsonValue all = Literal(kOwnPaths);
  for (auto& [path, item] : all.members) paths[path] = std::move(item);
  return paths;
}

std::map<std::string, std::string> OwnTags() {
  return {{"service", "The service itself: is it there, and which version."}};
}

JsonValue Webhooks(Schemas* schemas) {
  JsonValue envelope = schemas->RefOwn("EventEnvelope", Literal(kEnvelope));
  JsonValue all = JsonObject();
  for (const EventType& event : EventTypes()) {
    JsonValue narrowed = JsonObject(
        {{"type", JsonText("object")},
         {"properties",
          JsonObject({{"type", JsonObject({{"type", JsonText("string")}, {"enum", JsonTexts({event.type})}})},
                      {"data", schemas->Ref(event.payload)}})}});
    JsonValue schema = JsonObject({{"allOf", JsonList({envelope, std::move(narrowed)})}});
    JsonValue content = JsonObject({{"application/json", JsonObject({{"schema", std::move(schema)}})}});
    std::string noun = event.type.substr(0, event.type.find('.'));
    JsonValue post = JsonObject({{"operationId", JsonText(EventOperation(event.type))},
                                 {"tags", JsonTexts({"events"})},
                                 {"summary", JsonText(event.type)},
                                 {"description", JsonText("Sent to the webhook endpoints that ask for it, and on the "
                                                          "stream. The data is the " +
                                                          noun + " after the event.")}});
    Put(&post, "parameters", Literal(kWebhookParameters));
    Put(&post, "requestBody", JsonObject({{"content", std::move(content)}, {"required", JsonBool(true)}}));
    Put(&post, "responses", Literal(R"({"200": {"description": "Any 2xx: taken. Anything else is tried again."}})"));
    Put(&all, event.type, JsonObject({{"post", std::move(post)}}));
  }
  return all;
}

}  // namespace millrace::gateway
