// SPDX-License-Identifier: Apache-2.0
// OpenAPI 3.1 into 3.0.3.
#include <algorithm>
#include <set>
#include <string>

#include "services/gateway/openapi.h"

namespace millrace::gateway {
namespace {

using Kind = JsonValue::Kind;

bool IsNull(const JsonValue& value) {
  const JsonValue* type = Find(value, "type");
  return type && type->kind == Kind::kString && type->text == "null";
}

// "type": ["string", "null"] is "nullable": true; so is anyOf with a null.
void ReadNullable(JsonValue* schema) {
  JsonValue* type = Find(schema, "type");
  if (type && type->kind == Kind::kArray) {
    std::erase_if(type->items, [](const JsonValue& each) { return each.text == "null"; });
    JsonValue first = type->items.empty() ? JsonText("object") : type->items.front();
    *type = std::move(first);
    Put(schema, "nullable", JsonBool(true));
  }
  if (JsonValue* choices = Find(schema, "anyOf")) {
    size_t before = choices->items.size();
    std::erase_if(choices->items, IsNull);
    if (choices->items.size() == before) return;
    JsonValue rest = std::move(*choices);
    Erase(schema, "anyOf");
    Put(schema, rest.items.size() == 1 ? "allOf" : "anyOf", std::move(rest));
    Put(schema, "nullable", JsonBool(true));
  }
}

// 3.0 ignores what stands beside a reference.
void WrapReference(JsonValue* schema) {
  const JsonValue* reference = Find(std::as_const(*schema), "$ref");
  if (!reference || reference->kind != Kind::kString || schema->members.size() == 1) return;
  JsonValue only = JsonObject({{"$ref", *reference}});
  Erase(schema, "$ref");
  schema->members.insert(schema->members.begin(), {"allOf", JsonList({std::move(only)})});
}

void ConvertSchema(JsonValue* schema) {
  if (schema->kind != Kind::kObject) return;
  ReadNullable(schema);
  WrapReference(schema);
  if (Find(schema, "contentEncoding")) {
    Erase(schema, "contentEncoding");
    Put(schema, "format", JsonText("byte"));
  }
  if (JsonValue* properties = Find(schema, "properties")) {
    for (auto& [name, each] : properties->members) ConvertSchema(&each);
  }
  for (const char* one : {"items", "additionalProperties"}) {
    if (JsonValue* inner = Find(schema, one)) ConvertSchema(inner);
  }
  for (const char* several : {"anyOf", "allOf"}) {
    if (JsonValue* inner = Find(schema, several)) {
      for (JsonValue& each : inner->items) ConvertSchema(&each);
    }
  }
}

// A file: 3.1 says nothing of its content, 3.0 wants a schema.
void FillFile(JsonValue* media_type) {
  JsonValue* schema = Find(media_type, "schema");
  if (schema && schema->kind == Kind::kObject && schema->members.empty())
    *schema = JsonObject({{"type", JsonText("string")}, {"format", JsonText("binary")}});
}

// Every schema of a document stands as the member "schema", or among the components' schemas.
void Walk(JsonValue* value) {
  for (JsonValue& item : value->items) Walk(&item);
  for (auto& [name, member] : value->members) {
    if (name == "schema") {
      FillFile(value);
      ConvertSchema(&member);
    } else {
      Walk(&member);
    }
  }
}

// The names of the schemas that a value refers to.
void FindReferences(const JsonValue& value, std::set<std::string>* names) {
  constexpr std::string_view kPrefix = "#/components/schemas/";
  for (const JsonValue& item : value.items) FindReferences(item, names);
  for (const auto& [name, member] : value.members) {
    if (name == "$ref" && member.text.starts_with(kPrefix)) names->insert(member.text.substr(kPrefix.size()));
    FindReferences(member, names);
  }
}

// Without those that only webhooks need.
void DropUnused(const JsonValue& document, JsonValue* schemas) {
  std::set<std::string> used, reached;
  FindReferences(document, &reached);
  while (reached.size() > used.size()) {
    used = reached;
    for (const auto& [name, schema] : schemas->members) {
      if (used.contains(name)) FindReferences(schema, &reached);
    }
  }
  std::erase_if(schemas->members, [&](const JsonMember& schema) { return !used.contains(schema.name); });
}

}  // namespace

JsonValue OpenApi30(JsonValue document) {
  Put(&document, "openapi", JsonText("3.0.3"));
  Erase(&document, "webhooks");
  JsonValue* info = Find(&document, "info");
  Erase(info, "summary");
  JsonValue* license = Find(info, "license");
  Erase(license, "identifier");
  Put(license, "url", JsonText("https://www.apache.org/licenses/LICENSE-2.0.html"));
  JsonValue* components = Find(&document, "components");
  JsonValue schemas = std::move(*Find(components, "schemas"));
  Erase(components, "schemas");
  DropUnused(document, &schemas);
  Walk(&document);
  for (auto& [name, schema] : schemas.members) ConvertSchema(&schema);
  Put(Find(&document, "components"), "schemas", std::move(schemas));
  return document;
}

}  // namespace millrace::gateway
