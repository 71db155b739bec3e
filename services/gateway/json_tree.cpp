// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/json_tree.h"

#include <algorithm>

#include "common/http/json.h"

namespace millrace::gateway {
namespace {

using Kind = JsonValue::Kind;

void Break(bool indent, int depth, std::string* out) {
  if (!indent) return;
  *out += '\n';
  out->append(static_cast<size_t>(depth) * 2, ' ');
}

void Write(const JsonValue& value, bool indent, int depth, std::string* out) {
  switch (value.kind) {
    case Kind::kNull:
      *out += "null";
      return;
    case Kind::kBool:
      *out += value.truth ? "true" : "false";
      return;
    case Kind::kNumber:
      *out += value.text;
      return;
    case Kind::kString:
      *out += http::JsonString(value.text);
      return;
    case Kind::kArray:
      *out += '[';
      for (size_t i = 0; i < value.items.size(); ++i) {
        if (i > 0) *out += ',';
        Break(indent, depth + 1, out);
        Write(value.items[i], indent, depth + 1, out);
      }
      if (!value.items.empty()) Break(indent, depth, out);
      *out += ']';
      return;
    case Kind::kObject:
      *out += '{';
      for (size_t i = 0; i < value.members.size(); ++i) {
        if (i > 0) *out += ',';
        Break(indent, depth + 1, out);
        *out += http::JsonString(value.members[i].name);
        *out += indent ? ": " : ":";
        Write(value.members[i].value, indent, depth + 1, out);
      }
      if (!value.members.empty()) Break(indent, depth, out);
      *out += '}';
      return;
  }
}

void Sort(JsonValue* value) {
  for (JsonValue& item : value->items) Sort(&item);
  for (JsonMember& member : value->members) Sort(&member.value);
  std::ranges::sort(value->members, {}, &JsonMember::name);
}

}  // namespace

JsonValue JsonText(std::string_view text) {
  JsonValue value;
  value.kind = Kind::kString;
  value.text = text;
  return value;
}

JsonValue JsonNumber(std::string literal) {
  JsonValue value;
  value.kind = Kind::kNumber;
  value.text = std::move(literal);
  return value;
}

JsonValue JsonBool(bool truth) {
  JsonValue value;
  value.kind = Kind::kBool;
  value.truth = truth;
  return value;
}

JsonValue JsonList(std::vector<JsonValue> items) {
  JsonValue value;
  value.kind = Kind::kArray;
  value.items = std::move(items);
  return value;
}

JsonValue JsonTexts(const std::vector<std::string>& texts) {
  JsonValue value = JsonList();
  for (const std::string& text : texts) value.items.push_back(JsonText(text));
  return value;
}

JsonValue JsonObject(std::vector<JsonMember> members) {
  JsonValue value;
  value.kind = Kind::kObject;
  value.members = std::move(members);
  return value;
}

const JsonValue* Find(const JsonValue& value, std::string_view name) {
  auto found = std::ranges::find(value.members, name, &JsonMember::name);
  return found == value.members.end() ? nullptr : &found->value;
}

JsonValue* Find(JsonValue* value, std::string_view name) {
  auto found = std::ranges::find(value->members, name, &JsonMember::name);
  return found == value->members.end() ? nullptr : &found->value;
}

void Put(JsonValue* object, std::string_view name, JsonValue value) {
  if (JsonValue* found = Find(object, name)) {
    *found = std::move(value);
  } else {
    object->members.push_back({std::string(name), std::move(value)});
  }
}

void Erase(JsonValue* object, std::string_view name) {
  std::erase_if(object->members, [&](const JsonMember& member) { return member.name == name; });
}

bool SameJson(const JsonValue& a, const JsonValue& b) { return WriteCanonical(a) == WriteCanonical(b); }

std::string WriteTree(const JsonValue& value, bool indent) {
  std::string out;
  Write(value, indent, 0, &out);
  return out;
}

std::string WriteCanonical(const JsonValue& value) {
  JsonValue sorted = value;
  Sort(&sorted);
  return WriteTree(sorted);
}

}  // namespace millrace::gateway
