// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/schemas.h"

#include <algorithm>

#include "common/base/money.h"
#include "common/base/units.h"
#include "millrace/type/options.pb.h"
#include "services/gateway/contract.h"

namespace millrace::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

// What the validator allows where no rule says otherwise (common/rpc/validator.cpp).
constexpr int kDefaultMaxLength = 1000;
constexpr const char* kRefPrefix = "#/components/schemas/";

const type::FieldRules& RulesOf(const FieldDescriptor* field) { return field->options().GetExtension(type::field); }

JsonValue Number(int64_t value) { return JsonNumber(std::to_string(value)); }

bool IsUnspecified(const google::protobuf::EnumValueDescriptor* value) {
  return value->number() == 0 && value->name().ends_with("UNSPECIFIED");
}

std::vector<std::string> Words(std::string_view list) {
  std::vector<std::string> words;
  while (!list.empty()) {
    size_t comma = list.find(", ");
    words.emplace_back(list.substr(0, comma));
    list = comma == list.npos ? std::string_view() : list.substr(comma + 2);
  }
  return words;
}

void AddTextRules(const type::FieldRules& rules, bool sent, bool element, JsonValue* schema) {
  if (!rules.id().empty()) Put(schema, "pattern", JsonText("^" + rules.id() + "_[0-7][0-9A-HJKMNP-TV-Z]{25}$"));
  if (!rules.pattern().empty()) Put(schema, "pattern", JsonText("^(?:" + rules.pattern() + ")$"));
  if (rules.format() == "unit") Put(schema, "enum", JsonTexts(Words(AllowedUnits())));
  if (rules.format() == "currency") Put(schema, "enum", JsonTexts(Words(SupportedCurrencies())));
  if (rules.format() == "language") Put(schema, "enum", JsonTexts({"zh", "en"}));
  if (rules.format() == "uscc") Put(schema, "pattern", JsonText("^[0-9A-HJ-NP-RTUWXY]{18}$"));
  if (rules.format() == "decimal") Put(schema, "pattern", JsonText("^[0-9]{1,15}(\\.[0-9]{1,3})?$"));
  if (!sent || element || Find(std::as_const(*schema), "enum") || !rules.id().empty()) return;
  int least = std::max(rules.min_length(), rules.required() ? 1 : 0);
  if (least > 0) Put(schema, "minLength", Number(least));
  Put(schema, "maxLength", Number(rules.max_length() > 0 ? rules.max_length() : kDefaultMaxLength));
}

// Bounds of what is a JSON number; of 64-bit integers, which are strings, the description tells them.
void AddBounds(const type::FieldRules& rules, JsonValue* schema) {
  if (rules.max() <= rules.min()) return;
  Put(schema, "minimum", Number(rules.min()));
  Put(schema, "maximum", Number(rules.max()));
}

JsonValue OfScalar(const FieldDescriptor* field, bool sent, bool element) {
  const type::FieldRules& rules = RulesOf(field);
  JsonValue schema = JsonObject();
  auto type = [&](const char* name, const char* format) {
    Put(&schema, "type", JsonText(name));
    if (*format) Put(&schema, "format", JsonText(format));
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      type("boolean", "");
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      type("number", "double");
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      type("number", "float");
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      type("integer", "int32");
      AddBounds(rules, &schema);
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      type("integer", "int64");
      AddBounds(rules, &schema);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
      type("string", "int64");
      Put(&schema, "pattern",
          JsonText(rules.max() > rules.min() && rules.min() >= 0 ? "^(0|[1-9][0-9]{0,19})$"
                                                                 : "^(0|-?[1-9][0-9]{0,19})$"));
      break;
    default:
      if (field->type() == FieldDescriptor::TYPE_BYTES) {
        type("string", "");
        Put(&schema, "contentEncoding", JsonText("base64"));
      } else {
        type("string", "");
        AddTextRules(rules, sent, element, &schema);
      }
  }
  return schema;
}

// The comment, and what a schema has no word for.
std::string DescriptionOf(const FieldDescriptor* field) {
  const type::FieldRules& rules = RulesOf(field);
  std::string text = ProseOf(CommentOf(field->full_name()));
  bool wide =
      field->cpp_type() == FieldDescriptor::CPPTYPE_INT64 || field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64;
  if (wide && rules.max() > rules.min()) {
    bool open = rules.max() == INT64_MAX;
    text += open ? " At least " + std::to_string(rules.min()) + "."
                 : " From " + std::to_string(rules.min()) + " to " + std::to_string(rules.max()) + ".";
  }
  if (const auto* oneof = field->real_containing_oneof()) {
    if (oneof->field_count() != field->containing_type()->field_count())
      text += " At most one of the members of " + oneof->name() + ".";
  }
  if (rules.format() == "time_zone") text += " An IANA time zone.";
  return text.starts_with(' ') ? text.substr(1) : text;
}

// Answers always have it.
bool AlwaysPrinted(const FieldDescriptor* field) {
  if (field->is_repeated()) return true;
  if (field->has_presence() || field->name() == "next_page_token") return false;
  return !field->enum_type() || !IsUnspecified(field->enum_type()->value(0));
}

}  // namespace

void Schemas::MarkSent(const Descriptor* type) {
  if (!sent_.insert(type).second) return;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (!field->message_type() || RulesOf(field).output_only()) continue;
    MarkSent(field->message_type());
  }
}

// The type's own name without its package, "ImportSummary" for a nested one; where two packages have one name, the
// later one's begins with its service's.
std::string Schemas::NameOf(const std::string& full_name, const std::string& package) {
  auto known = names_.find(full_name);
  if (known != names_.end()) return known->second;
  std::string name = full_name.substr(package.size() + 1);
  std::erase(name, '.');
  if (owners_.contains(name)) {
    size_t begin = package.find('.') + 1;
    std::string service = package.substr(begin, package.find('.', begin) - begin);
    if (!service.empty()) service[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(service[0])));
    name = service + name;
  }
  owners_[name] = full_name;
  return names_[full_name] = name;
}

JsonValue Schemas::Ref(const Descriptor* type) {
  bool fresh = !names_.contains(type->full_name());
  std::string name = NameOf(type->full_name(), type->file()->package());
  if (fresh) waiting_.push_back(type);
  return JsonObject({{"$ref", JsonText(kRefPrefix + name)}});
}

JsonValue Schemas::Ref(const EnumDescriptor* type) {
  bool fresh = !names_.contains(type->full_name());
  std::string name = NameOf(type->full_name(), type->file()->package());
  if (fresh) {
    std::string text = ProseOf(CommentOf(type->full_name()));
    JsonValue values = JsonList();
    for (int i = 0; i < type->value_count(); ++i) {
      if (IsUnspecified(type->value(i))) continue;
      const std::string& value = type->value(i)->name();
      values.items.push_back(JsonText(value));
      text += "\n- `" + value + "`: " + CommentOf(type->full_name() + "." + value);
    }
    made_[name] =
        JsonObject({{"type", JsonText("string")}, {"description", JsonText(text)}, {"enum", std::move(values)}});
  }
  return JsonObject({{"$ref", JsonText(kRefPrefix + name)}});
}

JsonValue Schemas::RefOwn(const std::string& name, JsonValue schema) {
  owners_[name] = name;
  made_[name] = std::move(schema);
  return JsonObject({{"$ref", JsonText(kRefPrefix + name)}});
}

JsonValue Schemas::OfField(const FieldDescriptor* field, bool sent) {
  auto value = [&](const FieldDescriptor* of, bool element) {
    if (of->enum_type()) return Ref(of->enum_type());
    if (!of->message_type()) return OfScalar(of, sent, element);
    const std::string& name = of->message_type()->full_name();
    if (name == "google.protobuf.Timestamp")
      return JsonObject({{"type", JsonText("string")}, {"format", JsonText("date-time")}});
    if (name == "google.protobuf.Any") return JsonObject({{"type", JsonText("object")}});
    return Ref(of->message_type());
  };
  const type::FieldRules& rules = RulesOf(field);
  JsonValue schema;
  int64_t most = rules.max_length() > 0 ? rules.max_length() : kDefaultMaxLength;
  if (field->is_map()) {
    schema = JsonObject({{"type", JsonText("object")}});
    Put(&schema, "additionalProperties", value(field->message_type()->map_value(), true));
    if (sent) Put(&schema, "maxProperties", Number(most));
  } else if (field->is_repeated()) {
    schema = JsonObject({{"type", JsonText("array")}, {"items", value(field, true)}});
    if (sent && (rules.min_length() > 0 || rules.required()))
      Put(&schema, "minItems", Number(std::max(rules.min_length(), 1)));
    if (sent) Put(&schema, "maxItems", Number(most));
  } else {
    schema = value(field, false);
  }
  std::string description = DescriptionOf(field);
  if (!description.empty()) Put(&schema, "description", JsonText(description));
  if (rules.output_only()) Put(&schema, "readOnly", JsonBool(true));
  if (field->options().deprecated()) Put(&schema, "deprecated", JsonBool(true));
  return schema;
}

JsonValue Schemas::OfMessage(const Descriptor* type) {
  bool sent = sent_.contains(type);
  JsonValue properties = JsonObject();
  std::vector<std::string> required;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    Put(&properties, field->name(), OfField(field, sent && !RulesOf(field).output_only()));
    if (sent ? RulesOf(field).required() : AlwaysPrinted(field)) required.push_back(field->name());
    auto more = expansions_.find(type);
    if (more == expansions_.end() || !field->name().ends_with("_id")) continue;
    std::string name = field->name().substr(0, field->name().size() - 3);
    auto expanded = more->second.find(name);
    if (expanded == more->second.end()) continue;
    JsonValue object = Ref(expanded->second);
    Put(&object, "description",
        JsonText("What " + field->name() + " names; only with `expand=" + name +
                 "`, and only if the caller may see it."));
    Put(&object, "readOnly", JsonBool(true));
    Put(&properties, name, std::move(object));
  }
  JsonValue schema = JsonObject({{"type", JsonText("object")}});
  std::string description = ProseOf(CommentOf(type->full_name()));
  if (!description.empty()) Put(&schema, "description", JsonText(description));
  if (!properties.members.empty()) Put(&schema, "properties", std::move(properties));
  if (!required.empty()) Put(&schema, "required", JsonTexts(required));
  bool choice = type->real_oneof_decl_count() == 1 && type->oneof_decl(0)->field_count() == type->field_count();
  if (choice) Put(&schema, "maxProperties", Number(1));
  return schema;
}

JsonValue Schemas::OfBody(const Descriptor* request, const std::set<std::string>& without) {
  JsonValue properties = JsonObject();
  std::vector<std::string> required;
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* field = request->field(i);
    if (without.contains(field->name())) continue;
    Put(&properties, field->name(), OfField(field, true));
    if (RulesOf(field).required()) required.push_back(field->name());
  }
  JsonValue schema = JsonObject({{"type", JsonText("object")}});
  std::string description = ProseOf(CommentOf(request->full_name()));
  if (!description.empty()) Put(&schema, "description", JsonText(description));
  if (!properties.members.empty()) Put(&schema, "properties", std::move(properties));
  if (!required.empty()) Put(&schema, "required", JsonTexts(required));
  return schema;
}

JsonValue Schemas::OfPatch(const Descriptor* type) {
  JsonValue properties = JsonObject();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const type::FieldRules& rules = RulesOf(field);
    if (rules.output_only()) continue;
    JsonValue schema = OfField(field, true);
    if (field->message_type() && !field->is_repeated() && Find(std::as_const(schema), "$ref")) {
      std::string name = NameOf(field->message_type()->full_name(), field->message_type()->file()->package());
      schema = JsonObject({{"type", JsonText("object")}});
      Put(&schema, "description",
          JsonText(DescriptionOf(field) + " Merged into the present " + name + ", member by member."));
    }
    if (!rules.required()) {
      if (JsonValue* kind = Find(&schema, "type")) {
        *kind = JsonTexts({kind->text, "null"});
        if (JsonValue* values = Find(&schema, "enum")) values->items.emplace_back();
      } else {
        JsonValue reference = JsonObject({{"$ref", *Find(&schema, "$ref")}});
        JsonValue null = JsonObject({{"type", JsonText("null")}});
        Erase(&schema, "$ref");
        Put(&schema, "anyOf", JsonList({std::move(reference), std::move(null)}));
      }
    }
    Put(&properties, field->name(), std::move(schema));
  }
  std::string name = NameOf(type->full_name(), type->file()->package());
  return JsonObject({{"type", JsonText("object")},
                     {"description", JsonText("A merge patch (RFC 7396) of a " + name +
                                              ": members replace, null removes, what is "
                                              "not named stays. Output-only members may stand here only as they are.")},
                     {"properties", std::move(properties)}});
}

void Schemas::AddExpansion(const Descriptor* type, const std::string& name, const Descriptor* object) {
  expansions_[type][name] = object;
}

JsonValue Schemas::Components() {
  while (!waiting_.empty()) {
    const Descriptor* type = waiting_.back();
    waiting_.pop_back();
    std::string name = NameOf(type->full_name(), type->file()->package());
    JsonValue schema = OfMessage(type);
    made_[name] = std::move(schema);
  }
  JsonValue all = JsonObject();
  for (const auto& [name, schema] : made_) all.members.push_back({name, schema});
  return all;
}

JsonValue ExampleOf(const FieldDescriptor* field) {
  const type::FieldRules& rules = RulesOf(field);
  JsonValue value;
  if (field->message_type()) {
    if (field->message_type()->full_name() == "google.protobuf.Timestamp") {
      value = JsonText(field->name() == "end_time" ? "2027-03-01T12:00:00+08:00" : "2027-03-01T08:00:00+08:00");
    } else {
      value = ExampleOf(field->message_type());
    }
  } else if (field->enum_type()) {
    value = JsonText(field->enum_type()->value(field->enum_type()->value_count() > 1 ? 1 : 0)->name());
  } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
    value = JsonBool(true);
  } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    std::string text = "text";
    if (!rules.id().empty()) text = rules.id() + "_01J9ZK3V6M2E8QW4T7Y1N5R0AB";
    if (rules.format() == "unit") text = "h";
    if (rules.format() == "currency") text = "CNY";
    if (rules.format() == "language") text = "zh";
    if (rules.format() == "decimal") text = "0.5";
    if (rules.format() == "uscc") text = "91350100M000100Y43";
    if (rules.format() == "time_zone") text = "Asia/Shanghai";
    value = JsonText(text);
  } else {
    bool wide =
        field->cpp_type() == FieldDescriptor::CPPTYPE_INT64 || field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64;
    std::string number = std::to_string(std::max<int64_t>(rules.min(), 1));
    value = wide ? JsonText(number) : JsonNumber(number);
  }
  return field->is_repeated() ? JsonList({std::move(value)}) : value;
}

JsonValue ExampleOf(const Descriptor* type, const std::set<std::string>& without) {
  JsonValue object = JsonObject();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (!RulesOf(field).required() || RulesOf(field).output_only() || without.contains(field->name())) continue;
    if (field->is_map()) continue;
    Put(&object, field->name(), ExampleOf(field));
  }
  // A message without required fields that is itself required says something all the same.
  for (int i = 0;
       i < type->field_count() && i < 2 && without.empty() && object.members.size() == static_cast<size_t>(i); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->message_type() || RulesOf(field).output_only() || RulesOf(type->field(0)).required()) break;
    Put(&object, field->name(), ExampleOf(field));
  }
  return object;
}

}  // namespace millrace::gateway
