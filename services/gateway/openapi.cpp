// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/openapi.h"

#include <algorithm>
#include <map>
#include <regex>

#include "common/base/error.h"
#include "services/gateway/contract.h"
#include "services/gateway/openapi_parts.h"
#include "services/gateway/schemas.h"
#include "services/gateway/transcode.h"

namespace millrace::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

constexpr const char* kHttpBody = "google.api.HttpBody";

bool IsPathParameter(const Route& route, const FieldDescriptor* field) {
  return std::ranges::any_of(route.segments, [&](const auto& segment) { return segment.parameter == field; });
}

std::set<std::string> PathNames(const Route& route) {
  std::set<std::string> names{"validate_only"};
  for (const auto& segment : route.segments) {
    if (segment.parameter) names.insert(segment.parameter->name());
  }
  return names;
}

JsonValue Json(const char* media_type, JsonValue schema) {
  return JsonObject({{media_type, JsonObject({{"schema", std::move(schema)}})}});
}

// What a description of a parameter need not say twice.
JsonValue ParameterOf(const std::string& name, const char* in, bool required, JsonValue schema) {
  JsonValue parameter = JsonObject({{"name", JsonText(name)}, {"in", JsonText(in)}});
  if (JsonValue* description = Find(&schema, "description")) {
    Put(&parameter, "description", *description);
    Erase(&schema, "description");
  }
  if (required) Put(&parameter, "required", JsonBool(true));
  Put(&parameter, "schema", std::move(schema));
  return parameter;
}

JsonValue PartRef(const char* kind, const std::string& name) {
  return JsonObject({{"$ref", JsonText(std::string("#/components/") + kind + "/" + name)}});
}

class Document {
 public:
  explicit Document(const RoutingTable& table) : table_(table) {}

  JsonValue Make() {
    Prepare();
    std::map<std::string, JsonValue> paths = OwnPaths(&schemas_);
    for (const Route* route : InOrder()) {
      JsonValue& path = paths.try_emplace(route->rule.path, JsonObject()).first->second;
      std::string method = route->rule.method;
      std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
      Put(&path, method, OperationOf(*route));
    }
    JsonValue all = JsonObject();
    for (auto& [path, item] : paths) all.members.push_back({path, std::move(item)});
    JsonValue document = JsonObject({{"openapi", JsonText("3.1.0")}, {"info", Info()}});
    Put(&document, "servers",
        JsonList({JsonObject({{"url", JsonText("/")}, {"description", JsonText("This instance.")}})}));
    Put(&document, "security", Security(nullptr));
    Put(&document, "tags", Tags());
    std::string used = WriteTree(all);
    Put(&document, "paths", std::move(all));
    Put(&document, "webhooks", Webhooks(&schemas_));
    JsonValue components = JsonObject();
    Put(&components, "schemas", JsonObject());
    Put(&components, "parameters", Used("parameters", CommonParameters(), used));
    Put(&components, "headers", Used("headers", CommonHeaders(), used));
    Put(&components, "responses", CommonResponses(&schemas_));
    Put(&components, "securitySchemes", SecuritySchemes(Scopes()));
    Put(&components, "schemas", schemas_.Components());
    Put(&document, "components", std::move(components));
    return document;
  }

 private:
  // The parts that some operation refers to.
  static JsonValue Used(const std::string& kind, JsonValue parts, const std::string& paths) {
    std::erase_if(parts.members, [&](const JsonMember& part) {
      return paths.find("\"#/components/" + kind + "/" + part.name + "\"") == std::string::npos;
    });
    return parts;
  }

  // By path and method, whatever order the protos have.
  std::vector<const Route*> InOrder() const {
    std::vector<const Route*> routes;
    for (const auto& route : table_.routes()) routes.push_back(route.get());
    std::ranges::sort(routes, {}, [](const Route* r) { return std::pair(r->rule.path, r->rule.method); });
    return routes;
  }

  // Names and what is sent must be known before the first schema is made.
  void Prepare() {
    for (const Route* route : InOrder()) {
      if (route->raw_body || route->rule.body.empty()) continue;
      schemas_.MarkSent(route->body_field ? route->body_field->message_type() : route->method->input_type());
    }
    for (const Route* route : InOrder()) {
      const Descriptor* object = route->page ? route->page->message_type() : route->method->output_type();
      for (const Expansion& each : route->expansions)
        schemas_.AddExpansion(object, each.name, table_.OfRpc(each.rpc)->method->output_type());
    }
  }

  std::set<std::string> Scopes() const {
    std::set<std::string> scopes{"events:read"};
    for (const auto& route : table_.routes()) {
      if (!route->rules->public_()) scopes.insert(route->scope);
    }
    return scopes;
  }

  // Nouns in alphabetical order; what a noun is, its object's comment says.
  JsonValue Tags() const {
    std::map<std::string, std::string> tags = OwnTags();
    for (const Route* route : InOrder()) {
      std::string& text = tags.try_emplace(route->segments[1].literal, "").first->second;
      const Descriptor* object = route->page ? route->page->message_type() : route->method->output_type();
      bool names = route->Reads() && route->segments.size() <= 3 && object->full_name() != kHttpBody;
      if (names && text.empty()) text = ProseOf(CommentOf(object->full_name()));
    }
    JsonValue list = JsonList();
    for (const auto& [name, text] : tags) {
      JsonValue tag = JsonObject({{"name", JsonText(name)}});
      if (!text.empty()) Put(&tag, "description", JsonText(text));
      list.items.push_back(std::move(tag));
    }
    return list;
  }

  JsonValue Security(const Route* route) const {
    if (route && route->rules->public_()) return JsonList();
    JsonValue bearer = JsonObject({{"bearer", JsonList()}});
    JsonValue oauth = JsonObject({{"oauth2", route ? JsonTexts({route->scope}) : JsonList()}});
    return JsonList({std::move(bearer), std::move(oauth)});
  }

  JsonValue OperationOf(const Route& route) {
    const std::string& comment = CommentOf(route.method->full_name());
    JsonValue operation = JsonObject({{"operationId", JsonText(OperationIdOf(route))}});
    Put(&operation, "tags", JsonTexts({route.segments[1].literal}));
    std::string summary = Summaries().at(route.method->full_name());
    if (route.patch) summary = "Changes the members that a merge patch names.";
    Put(&operation, "summary", JsonText(summary));
    Put(&operation, "description", JsonText(DescriptionOf(route, comment)));
    if (route.method->options().deprecated()) Put(&operation, "deprecated", JsonBool(true));
    JsonValue parameters = ParametersOf(route);
    if (!parameters.items.empty()) Put(&operation, "parameters", std::move(parameters));
    JsonValue body = BodyOf(route);
    if (!body.members.empty()) Put(&operation, "requestBody", std::move(body));
    Put(&operation, "responses", ResponsesOf(route));
    Put(&operation, "security", Security(&route));
    return operation;
  }

  static std::string DescriptionOf(const Route& route, const std::string& comment) {
    std::string text = ProseOf(comment);
    if (route.patch) {
      text =
          "Merges a JSON merge patch (RFC 7396) into the object and replaces it under the ETag of If-Match; with `*` "
          "under the one just read. " +
          text;
    }
    std::string roles;
    for (const std::string& role : route.rules->roles()) {
      if (role != "service") roles += (roles.empty() ? "" : ", ") + role;
    }
    if (!roles.empty()) text += " Roles: " + roles + ".";
    if (route.rules->verified()) text += " The organization must be verified.";
    if (route.rules->two_person()) {
      text +=
          " Used as operator, it needs another person's approval: `POST /v1/approvals`, and then the approval's id as "
          "Idempotency-Key.";
    }
    return text;
  }

  JsonValue ParametersOf(const Route& route) {
    JsonValue list = JsonList();
    for (const auto& segment : route.segments) {
      if (!segment.parameter) continue;
      list.items.push_back(
          ParameterOf(segment.parameter->name(), "path", true, schemas_.OfField(segment.parameter, true)));
    }
    for (const auto& [name, field] : QueryParametersOf(route))
      list.items.push_back(ParameterOf(name, "query", RequiredIn(field), schemas_.OfField(field, true)));
    if (!route.expansions.empty()) list.items.push_back(ExpandOf(route));
    if (route.dry_run) list.items.push_back(PartRef("parameters", "ValidateOnly"));
    if (!route.Reads() && !route.rules->public_() && !route.rules->idempotency_key())
      list.items.push_back(PartRef("parameters", "IdempotencyKeyOptional"));
    if (route.rules->idempotency_key()) list.items.push_back(PartRef("parameters", "IdempotencyKey"));
    if (route.rules->if_match()) list.items.push_back(PartRef("parameters", "IfMatch"));
    if (HasEtag(route) && route.Reads()) list.items.push_back(PartRef("parameters", "IfNoneMatch"));
    list.items.push_back(PartRef("parameters", "AcceptLanguage"));
    return list;
  }

  static bool RequiredIn(const FieldDescriptor* field) { return field->options().GetExtension(type::field).required(); }

  static JsonValue ExpandOf(const Route& route) {
    std::vector<std::string> names;
    for (const Expansion& each : route.expansions) names.push_back(each.name);
    JsonValue items = JsonObject({{"type", JsonText("string")}, {"enum", JsonTexts(names)}});
    JsonValue schema = JsonObject({{"type", JsonText("array")}, {"items", std::move(items)}});
    JsonValue parameter =
        JsonObject({{"name", JsonText("expand")},
                    {"in", JsonText("query")},
                    {"description", JsonText("Objects to bring along beside their ids, separated by commas. What the "
                                             "caller may not see stays absent.")},
                    {"style", JsonText("form")},
                    {"explode", JsonBool(false)}});
    Put(&parameter, "schema", std::move(schema));
    return parameter;
  }

  // The object has a version: the answer's ETag.
  static bool HasEtag(const Route& route) {
    return !route.page && route.method->output_type()->FindFieldByName("etag") != nullptr;
  }

  JsonValue BodyOf(const Route& route) {
    if (route.rule.body.empty()) return JsonObject();
    JsonValue content = JsonObject();
    bool required = true;
    if (route.raw_body) {
      for (const std::string& type : MediaTypesOf(CommentOf(route.body_field->full_name())))
        Put(&content, type, JsonObject({{"schema", JsonObject()}}));
    } else if (route.patch) {
      const Descriptor* type = route.body_field->message_type();
      content = Json("application/merge-patch+json", schemas_.RefOwn(type->name() + "Patch", schemas_.OfPatch(type)));
    } else if (route.body_field) {
      content = Json("application/json", schemas_.Ref(route.body_field->message_type()));
    } else {
      const Descriptor* request = route.method->input_type();
      JsonValue schema = schemas_.OfBody(request, PathNames(route));
      if (!Find(std::as_const(schema), "properties")) return JsonObject();
      required = Find(std::as_const(schema), "required") != nullptr;
      std::string name = request->name();
      if (name.ends_with("Request")) name.resize(name.size() - 7);
      content = Json("application/json", schemas_.RefOwn(name + "Body", std::move(schema)));
    }
    JsonValue body = JsonObject({{"content", std::move(content)}});
    if (required) Put(&body, "required", JsonBool(true));
    return body;
  }

  JsonValue ResponsesOf(const Route& route) {
    JsonValue responses = JsonObject();
    int status = route.rules->http_status() ? route.rules->http_status() : 200;
    const Descriptor* answer = route.method->output_type();
    std::string text = ProseOf(CommentOf(answer->full_name()));
    JsonValue success = JsonObject({{"description", JsonText(text.empty() ? "Done." : text)}});
    Put(&success, "headers", HeadersOf(route, status));
    JsonValue content = JsonObject();
    if (answer->full_name() == kHttpBody) {
      Put(&success, "description", JsonText("The file's bytes."));
      for (const std::string& type : MediaTypesOf(CommentOf(route.method->full_name())))
        Put(&content, type, JsonObject({{"schema", JsonObject()}}));
    } else {
      content = Json("application/json", schemas_.Ref(answer));
    }
    Put(&success, "content", std::move(content));
    Put(&responses, std::to_string(status), std::move(success));
    if (HasEtag(route) && route.Reads()) Put(&responses, "304", PartRef("responses", "NotModified"));
    for (const auto& [refusal, codes] : RefusalsOf(route)) Put(&responses, std::to_string(refusal), ProblemOf(codes));
    return responses;
  }

  // One answer for refusals of a status: the codes that it may have.
  JsonValue ProblemOf(const std::vector<std::string>& codes) {
    std::string text;
    for (const std::string& code : codes)
      text +=
          (text.empty() ? "" : "; ") + ("`" + code + "`: ") + std::string(Title(*ErrorCodeByName(code), Language::kEn));
    JsonValue problem = JsonObject({{"description", JsonText(text + ".")}});
    Put(&problem, "headers", JsonObject({{"Request-Id", PartRef("headers", "RequestId")}}));
    Put(&problem, "content", Json("application/problem+json", ProblemRef(&schemas_)));
    Put(&problem, "x-codes", JsonTexts(codes));
    return problem;
  }

  static JsonValue HeadersOf(const Route& route, int status) {
    JsonValue headers = JsonObject({{"Request-Id", PartRef("headers", "RequestId")}});
    if (HasEtag(route)) Put(&headers, "ETag", PartRef("headers", "ETag"));
    if (status == 201 && route.rule.path.find('{') == std::string::npos)
      Put(&headers, "Location", PartRef("headers", "Location"));
    if (route.page) Put(&headers, "Link", PartRef("headers", "Link"));
    if (route.rules->idempotency_key()) {
      Put(&headers, "Idempotent-Replayed", PartRef("headers", "IdempotentReplayed"));
      Put(&headers, "Idempotency-Key-Expires", PartRef("headers", "IdempotencyKeyExpires"));
    }
    if (route.method->options().deprecated()) {
      Put(&headers, "Deprecation", PartRef("headers", "Deprecation"));
      Put(&headers, "Sunset", PartRef("headers", "Sunset"));
    }
    return headers;
  }

  const RoutingTable& table_;
  Schemas schemas_;
};

void AddCodes(std::vector<std::string>* codes, std::initializer_list<const char*> more) {
  for (const char* code : more) {
    if (std::ranges::find(*codes, code) == codes->end()) codes->emplace_back(code);
  }
}

void FindParameters(const Descriptor* type, const std::string& prefix, int depth,
                    std::vector<std::pair<std::string, const FieldDescriptor*>>* found) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_map()) continue;
    bool nested = field->message_type() && field->message_type()->full_name() != "google.protobuf.Timestamp";
    if (!nested) {
      found->emplace_back(prefix + field->name(), field);
    } else if (!field->is_repeated() && depth > 0) {
      FindParameters(field->message_type(), prefix + field->name() + ".", depth - 1, found);
    }
  }
}

}  // namespace

JsonValue OpenApi31(const RoutingTable& table) { return Document(table).Make(); }

std::string OperationIdOf(const Route& route) {
  std::string name = route.method->name();
  if (!route.patch) return name;
  return name.starts_with("Update") ? "Patch" + name.substr(6) : name + "Patch";
}

std::vector<std::string> MediaTypesOf(const std::string& comment) {
  static const std::regex pattern(R"((?:text|application|image|audio|video)/[a-z0-9][a-z0-9.+-]*[a-z0-9])");
  std::vector<std::string> types;
  for (auto it = std::sregex_iterator(comment.begin(), comment.end(), pattern); it != std::sregex_iterator(); ++it) {
    if (std::ranges::find(types, it->str()) == types.end()) types.push_back(it->str());
  }
  if (types.empty()) types.emplace_back("application/octet-stream");
  return types;
}

std::vector<std::pair<std::string, const FieldDescriptor*>> QueryParametersOf(const Route& route) {
  constexpr int kNesting = 2;  // of parameters with dots
  std::vector<std::pair<std::string, const FieldDescriptor*>> found;
  if (route.rule.body == "*") return found;
  FindParameters(route.method->input_type(), "", kNesting, &found);
  std::erase_if(found, [&](const auto& each) {
    std::string top = each.first.substr(0, each.first.find('.'));
    const FieldDescriptor* field = route.method->input_type()->FindFieldByName(top);
    return top == "validate_only" || field == route.body_field || IsPathParameter(route, field);
  });
  return found;
}

std::vector<std::pair<int, std::vector<std::string>>> RefusalsOf(const Route& route) {
  std::vector<std::string> codes = ErrorsOf(CommentOf(route.method->full_name()));
  const type::MethodRules& rules = *route.rules;
  bool parameters = route.rule.path.find('{') != std::string::npos || !QueryParametersOf(route).empty();
  if (parameters || !route.rule.body.empty()) AddCodes(&codes, {"INVALID_REQUEST"});
  if (!route.Reads() || !QueryParametersOf(route).empty() || !route.expansions.empty())
    AddCodes(&codes, {"INVALID_QUERY"});
  if (!route.rule.body.empty()) AddCodes(&codes, {"UNSUPPORTED_MEDIA_TYPE", "PAYLOAD_TOO_LARGE"});
  if (!route.rule.body.empty() && !route.raw_body)
    AddCodes(&codes, {"INVALID_JSON", "UNKNOWN_FIELD", "WRONG_TYPE", "REQUIRED", "OUTPUT_ONLY", "INVALID_FORMAT",
                      "OUT_OF_RANGE", "TOO_LONG"});
  if (rules.idempotency_key())
    AddCodes(&codes, {"IDEMPOTENCY_KEY_REQUIRED", "IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_KEY_REUSED",
                      "IDEMPOTENCY_IN_PROGRESS"});
  if (rules.if_match()) AddCodes(&codes, {"ETAG_REQUIRED", "ETAG_MISMATCH"});
  if (rules.verified()) AddCodes(&codes, {"ORGANIZATION_NOT_VERIFIED"});
  if (rules.two_person())
    AddCodes(&codes,
             {"APPROVAL_REQUIRED", "MEMBER_REQUIRED", "APPROVAL_MISMATCH", "APPROVAL_NOT_GIVEN", "APPROVAL_EXPIRED"});
  if (!rules.public_()) AddCodes(&codes, {"UNAUTHENTICATED", "INSUFFICIENT_SCOPE"});
  AddCodes(&codes, {"NOT_ACCEPTABLE", "RATE_LIMITED", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"});
  std::map<int, std::vector<std::string>> by_status;
  for (const std::string& code : codes) by_status[Entry(*ErrorCodeByName(code)).http_status].push_back(code);
  return {by_status.begin(), by_status.end()};
}

}  // namespace millrace::gateway
