// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "common/base/limits.h"
#include "common/base/time.h"
#include "common/crypto/crypto.h"
#include "common/http/json.h"
#include "common/http/json_parse.h"
#include "millrace/type/options.pb.h"

namespace millrace::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::Timestamp;
using Kind = JsonValue::Kind;

bool IsTimestamp(const Descriptor* type) { return type->full_name() == "google.protobuf.Timestamp"; }

// A string that was got instead of something else is shown, if it is no longer than this.
constexpr size_t kShownBytes = 64;

std::string Got(const JsonValue& value) {
  switch (value.kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return value.truth ? "true" : "false";
    case Kind::kNumber:
      return value.text;
    case Kind::kString:
      return value.text.size() <= kShownBytes ? JsonString(value.text) : "a string";
    case Kind::kArray:
      return "a list";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

std::string LastToken(const std::string& pointer) { return pointer.substr(pointer.rfind('/') + 1); }

// Reads values into fields and gathers every fault on the way.
class Reader {
 public:
  std::vector<Violation> violations;

  void ReadObject(const JsonValue& value, Message* message, const std::string& pointer) {
    const Descriptor* type = message->GetDescriptor();
    if (value.kind != Kind::kObject) return Wrong(pointer, "an object", Got(value));
    std::map<const google::protobuf::OneofDescriptor*, std::string> chosen;
    for (const auto& [name, member] : value.members) {
      std::string place = pointer + "/" + PointerToken(name);
      const FieldDescriptor* field = type->FindFieldByName(name);
      if (!field) {
        Note(place, ErrorCode::kUnknownField, {{"field", name}});
        continue;
      }
      if (member.kind == Kind::kNull) continue;
      if (field->options().GetExtension(type::field).output_only()) {
        Note(place, ErrorCode::kOutputOnly, {});
        continue;
      }
      if (const auto* oneof = field->real_containing_oneof()) {
        auto [it, first] = chosen.emplace(oneof, name);
        if (!first) {
          Note(place, ErrorCode::kInvalidFormat, {{"expected", "only one of " + it->second + ", " + name}});
          continue;
        }
      }
      ReadField(member, message, field, place);
    }
  }

  // One value of a field that is no map: sets it, or adds it where the field is repeated.
  void ReadSingle(const JsonValue& value, Message* message, const FieldDescriptor* field, const std::string& pointer) {
    const Reflection* reflection = message->GetReflection();
    bool add = field->is_repeated();
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        if (auto number = Integer<int32_t>(value, pointer))
          add ? reflection->AddInt32(message, field, *number) : reflection->SetInt32(message, field, *number);
        return;
      case FieldDescriptor::CPPTYPE_INT64:
        if (auto number = Integer<int64_t>(value, pointer))
          add ? reflection->AddInt64(message, field, *number) : reflection->SetInt64(message, field, *number);
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        if (auto number = Integer<uint32_t>(value, pointer))
          add ? reflection->AddUInt32(message, field, *number) : reflection->SetUInt32(message, field, *number);
        return;
      case FieldDescriptor::CPPTYPE_UINT64:
        if (auto number = Integer<uint64_t>(value, pointer))
          add ? reflection->AddUInt64(message, field, *number) : reflection->SetUInt64(message, field, *number);
        return;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        if (auto number = Real(value, pointer))
          add ? reflection->AddDouble(message, field, *number) : reflection->SetDouble(message, field, *number);
        return;
      case FieldDescriptor::CPPTYPE_FLOAT:
        if (auto number = Real(value, pointer)) {
          float narrow = static_cast<float>(*number);
          add ? reflection->AddFloat(message, field, narrow) : reflection->SetFloat(message, field, narrow);
        }
        return;
      case FieldDescriptor::CPPTYPE_BOOL:
        if (value.kind != Kind::kBool) return Wrong(pointer, "true or false", Got(value));
        return add ? reflection->AddBool(message, field, value.truth)
                   : reflection->SetBool(message, field, value.truth);
      case FieldDescriptor::CPPTYPE_ENUM:
        return ReadEnum(value, message, field, pointer);
      case FieldDescriptor::CPPTYPE_STRING:
        return ReadString(value, message, field, pointer);
      case FieldDescriptor::CPPTYPE_MESSAGE: {
        Message* child = add ? reflection->AddMessage(message, field) : reflection->MutableMessage(message, field);
        return IsTimestamp(field->message_type()) ? ReadTime(value, child, pointer) : ReadObject(value, child, pointer);
      }
    }
  }

 private:
  void Note(std::string pointer, ErrorCode code, ErrorParams params) {
    if (violations.size() >= limits::kViolationsReported) return;
    if (!params.contains("field")) params["field"] = LastToken(pointer);
    violations.push_back({std::move(pointer), code, std::move(params)});
  }
  void Wrong(const std::string& pointer, std::string expected, std::string got) {
    Note(pointer, ErrorCode::kWrongType, {{"expected", std::move(expected)}, {"got", std::move(got)}});
  }

  void ReadField(const JsonValue& value, Message* message, const FieldDescriptor* field, const std::string& pointer) {
    if (field->is_map()) return ReadMap(value, message, field, pointer);
    if (!field->is_repeated()) return ReadSingle(value, message, field, pointer);
    if (value.kind != Kind::kArray) return Wrong(pointer, "a list", Got(value));
    for (size_t i = 0; i < value.items.size(); ++i) {
      std::string place = pointer + "/" + std::to_string(i);
      if (value.items[i].kind == Kind::kNull) {
        Wrong(place, "a value", "null");
        continue;
      }
      ReadSingle(value.items[i], message, field, place);
    }
  }

  void ReadMap(const JsonValue& value, Message* message, const FieldDescriptor* field, const std::string& pointer) {
    if (value.kind != Kind::kObject) return Wrong(pointer, "an object", Got(value));
    const FieldDescriptor* key = field->message_type()->map_key();
    const FieldDescriptor* content = field->message_type()->map_value();
    for (const auto& [name, member] : value.members) {
      std::string place = pointer + "/" + PointerToken(name);
      if (member.kind == Kind::kNull) {
        Wrong(place, "a value", "null");
        continue;
      }
      Message* entry = message->GetReflection()->AddMessage(message, field);
      JsonValue key_value;
      key_value.kind = key->cpp_type() == FieldDescriptor::CPPTYPE_BOOL ? Kind::kBool : Kind::kString;
      key_value.truth = name == "true";
      key_value.text = name;
      if (key_value.kind == Kind::kBool && name != "true" && name != "false") {
        Wrong(place, "true or false", name);
        continue;
      }
      ReadSingle(key_value, entry, key, place);
      ReadSingle(member, entry, content, place);
    }
  }

  // An integer literal, or a string of one (as 64-bit integers are printed). No fraction, no exponent, no plus sign.
  template <class T>
  std::optional<T> Integer(const JsonValue& value, const std::string& pointer) {
    constexpr const char* kExpected = sizeof(T) == 8 ? "a 64-bit integer or a string of its digits" : "an integer";
    if (value.kind != Kind::kNumber && value.kind != Kind::kString) {
      Wrong(pointer, kExpected, Got(value));
      return std::nullopt;
    }
    const std::string& text = value.text;
    std::string_view digits = text;
    if (digits.starts_with('-')) digits.remove_prefix(1);
    bool plain = !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos &&
                 (digits.size() == 1 || digits[0] != '0') && text != "-0";
    if (!plain) {
      Wrong(pointer, kExpected, Got(value));
      return std::nullopt;
    }
    T number{};
    auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (fault == std::errc() && end == text.data() + text.size()) return number;
    if constexpr (sizeof(T) == 8) {
      Wrong(pointer, kExpected, "a greater number");
    } else {
      Note(pointer, ErrorCode::kOutOfRange,
           {{"min", std::to_string(std::numeric_limits<T>::min())},
            {"max", std::to_string(std::numeric_limits<T>::max())}});
    }
    return std::nullopt;
  }

  std::optional<double> Real(const JsonValue& value, const std::string& pointer) {
    if (value.kind != Kind::kNumber) {
      Wrong(pointer, "a number", Got(value));
      return std::nullopt;
    }
    double number = 0;
    auto [end, fault] = std::from_chars(value.text.data(), value.text.data() + value.text.size(), number);
    if (fault == std::errc() && std::isfinite(number)) return number;
    Wrong(pointer, "a number within double precision", value.text);
    return std::nullopt;
  }

  void ReadEnum(const JsonValue& value, Message* message, const FieldDescriptor* field, const std::string& pointer) {
    const EnumValueDescriptor* found = nullptr;
    if (value.kind == Kind::kString) found = field->enum_type()->FindValueByName(value.text);
    if (found && found->number() == 0 && found->name().ends_with("UNSPECIFIED")) found = nullptr;
    if (!found) {
      std::string names;
      for (int i = 0; i < field->enum_type()->value_count(); ++i) {
        const EnumValueDescriptor* each = field->enum_type()->value(i);
        if (each->number() == 0 && each->name().ends_with("UNSPECIFIED")) continue;
        names += (names.empty() ? "" : ", ") + each->name();
      }
      return Wrong(pointer, "one of " + names, Got(value));
    }
    const Reflection* reflection = message->GetReflection();
    field->is_repeated() ? reflection->AddEnum(message, field, found) : reflection->SetEnum(message, field, found);
  }

  void ReadString(const JsonValue& value, Message* message, const FieldDescriptor* field, const std::string& pointer) {
    if (value.kind != Kind::kString) return Wrong(pointer, "a string", Got(value));
    std::string text = value.text;
    if (field->type() == FieldDescriptor::TYPE_BYTES) {
      auto decoded = crypto::Base64Decode(text);
      if (!decoded) return Note(pointer, ErrorCode::kInvalidFormat, {{"expected", "base64 (RFC 4648) with padding"}});
      text = *std::move(decoded);
    }
    const Reflection* reflection = message->GetReflection();
    if (field->is_repeated()) return reflection->AddString(message, field, std::move(text));
    reflection->SetString(message, field, std::move(text));
  }

  void ReadTime(const JsonValue& value, Message* message, const std::string& pointer) {
    if (value.kind != Kind::kString) return Wrong(pointer, "an RFC 3339 time in a string", Got(value));
    Result<Time> time = ParseTime(value.text, pointer);
    if (!time) return Note(pointer, time.error().code, time.error().params);
    int64_t micros = Micros(*time);
    int64_t seconds = micros / 1'000'000 - (micros % 1'000'000 < 0 ? 1 : 0);
    auto* timestamp = static_cast<Timestamp*>(message);
    timestamp->set_seconds(seconds);
    timestamp->set_nanos(static_cast<int32_t>((micros - seconds * 1'000'000) * 1000));
  }
};

}  // namespace

Result<void> ReadJson(std::string_view text, Message* message, std::string_view pointer) {
  MILLRACE_TRY(JsonValue value, ParseJson(text, pointer));
  Reader reader;
  if (value.kind != Kind::kObject) {
    // The body itself, whichever field of the request it is.
    return Fail(Error::At(std::string(pointer), ErrorCode::kWrongType,
                          {{"field", "body"}, {"expected", "an object"}, {"got", Got(value)}}));
  }
  reader.ReadObject(value, message, std::string(pointer));
  if (!reader.violations.empty()) return Fail(Error::Of(std::move(reader.violations)));
  return {};
}

Result<void> ReadText(std::string_view text, Message* message, const FieldDescriptor* field, std::string_view pointer) {
  JsonValue value;
  value.kind = Kind::kString;
  value.text = text;
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL && (text == "true" || text == "false")) {
    value.kind = Kind::kBool;
    value.truth = text == "true";
  }
  bool real =
      field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE || field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT;
  if (real) {
    // A JSON number, nothing else that from_chars would take ("inf", "nan").
    Result<JsonValue> number = ParseJson(text, pointer);
    if (number && number->kind == Kind::kNumber) value = *std::move(number);
  }
  Reader reader;
  reader.ReadSingle(value, message, field, std::string(pointer));
  if (!reader.violations.empty()) return Fail(Error::Of(std::move(reader.violations)));
  return {};
}

}  // namespace millrace::http
