// SPDX-License-Identifier: Apache-2.0
// JSON values as trees: made, changed and written. common/http/json_parse.h reads them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/http/json_parse.h"

namespace millrace::gateway {

using http::JsonMember;
using http::JsonValue;

JsonValue JsonText(std::string_view text);
JsonValue JsonNumber(std::string literal);
JsonValue JsonBool(bool truth);
JsonValue JsonList(std::vector<JsonValue> items = {});
JsonValue JsonTexts(const std::vector<std::string>& texts);
JsonValue JsonObject(std::vector<JsonMember> members = {});

// The member of that name; nullptr if there is none, or `value` is no object.
const JsonValue* Find(const JsonValue& value, std::string_view name);
JsonValue* Find(JsonValue* value, std::string_view name);
// Replaces the member of that name, or appends it.
void Put(JsonValue* object, std::string_view name, JsonValue value);
void Erase(JsonValue* object, std::string_view name);

// The same value: members in any order, numbers as written.
bool SameJson(const JsonValue& a, const JsonValue& b);
// The text; `indent` for people: two spaces a level. Members in their order.
std::string WriteTree(const JsonValue& value, bool indent = false);
// The text with every object's members by name, so that equal values have equal texts.
std::string WriteCanonical(const JsonValue& value);

}  // namespace millrace::gateway
