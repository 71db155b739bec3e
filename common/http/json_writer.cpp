// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

#include "common/base/time.h"
#include "common/crypto/crypto.h"
#include "common/http/json.h"

namespace millrace::http {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void AppendJsonString(std::string_view text, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  *out += '"';
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    // "<" and "/" need no escape: the media types are never HTML.
    if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F) continue;
    out->append(text.substr(plain, i - plain));
    plain = i + 1;
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      default:
        *out += "\\u00";
        *out += kHex[c >> 4];
        *out += kHex[c & 15];
    }
  }
  out->append(text.substr(plain));
  *out += '"';
}

class Writer {
 public:
  explicit Writer(bool indent) : indent_(indent) {}
  std::string out;

  void WriteMessage(const Message& message) {
    const std::string& name = message.GetDescriptor()->full_name();
    if (name == "google.protobuf.Timestamp") return WriteTime(message);
    if (name == "google.protobuf.Any") return WriteAny(message);
    const Reflection* reflection = message.GetReflection();
    Open('{');
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* field = message.GetDescriptor()->field(i);
      if (!Printed(message, field)) continue;
      Next();
      AppendJsonString(field->name(), &out);
      out += indent_ ? ": " : ":";
      if (field->is_map()) {
        WriteMap(message, field);
      } else if (field->is_repeated()) {
        Open('[');
        for (int k = 0; k < reflection->FieldSize(message, field); ++k) {
          Next();
          WriteValue(message, field, k);
        }
        Close(']');
      } else {
        WriteValue(message, field, -1);
      }
    }
    Close('}');
  }

 private:
  static bool Printed(const Message& message, const FieldDescriptor* field) {
    const Reflection* reflection = message.GetReflection();
    if (field->is_repeated()) return true;
    if (field->has_presence()) return reflection->HasField(message, field);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
      const auto* zero = field->enum_type()->FindValueByNumber(0);
      return reflection->GetEnumValue(message, field) != 0 || !zero || !zero->name().ends_with("UNSPECIFIED");
    }
    return field->name() != "next_page_token" || reflection->HasField(message, field);
  }

  void Open(char bracket) {
    out += bracket;
    ++depth_;
    first_ = true;
  }
  void Next() {
    if (!first_) out += ',';
    first_ = false;
    Line();
  }
  void Close(char bracket) {
    --depth_;
    if (!first_) Line();
    first_ = false;
    out += bracket;
  }
  void Line() {
    if (!indent_) return;
    out += '\n';
    out.append(static_cast<size_t>(depth_) * 2, ' ');
  }

  void WriteValue(const Message& message, const FieldDescriptor* field, int index) {
    const Reflection* r = message.GetReflection();
    bool one = index < 0;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        out += std::to_string(one ? r->GetInt32(message, field) : r->GetRepeatedInt32(message, field, index));
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        out += std::to_string(one ? r->GetUInt32(message, field) : r->GetRepeatedUInt32(message, field, index));
        return;
      case FieldDescriptor::CPPTYPE_INT64:
        out +=
            '"' + std::to_string(one ? r->GetInt64(message, field) : r->GetRepeatedInt64(message, field, index)) + '"';
        return;
      case FieldDescriptor::CPPTYPE_UINT64:
        out += '"' + std::to_string(one ? r->GetUInt64(message, field) : r->GetRepeatedUInt64(message, field, index)) +
               '"';
        return;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return WriteReal(one ? r->GetDouble(message, field) : r->GetRepeatedDouble(message, field, index));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return WriteReal(one ? r->GetFloat(message, field) : r->GetRepeatedFloat(message, field, index));
      case FieldDescriptor::CPPTYPE_BOOL:
        out += (one ? r->GetBool(message, field) : r->GetRepeatedBool(message, field, index)) ? "true" : "false";
        return;
      case FieldDescriptor::CPPTYPE_ENUM: {
        int number = one ? r->GetEnumValue(message, field) : r->GetRepeatedEnumValue(message, field, index);
        const auto* value = field->enum_type()->FindValueByNumber(number);
        return AppendJsonString(value ? value->name() : std::to_string(number), &out);
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string scratch;
        const std::string& text = one ? r->GetStringReference(message, field, &scratch)
                                      : r->GetRepeatedStringReference(message, field, index, &scratch);
        return AppendJsonString(field->type() == FieldDescriptor::TYPE_BYTES ? crypto::Base64(text) : text, &out);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return WriteMessage(one ? r->GetMessage(message, field) : r->GetRepeatedMessage(message, field, index));
    }
  }

  void WriteReal(double number) {
    if (!std::isfinite(number)) {
      out += "null";
      return;
    }
    char text[40];
    auto end = std::to_chars(text, text + sizeof text, number).ptr;
    out.append(text, end);
  }
  void WriteReal(float number) {
    char text[40];
    if (!std::isfinite(number)) return WriteReal(static_cast<double>(number));
    auto end = std::to_chars(text, text + sizeof text, number).ptr;
    out.append(text, end);
  }

  // Entries by key, so that equal messages have equal texts.
  void WriteMap(const Message& message, const FieldDescriptor* field) {
    const FieldDescriptor* key = field->message_type()->map_key();
    const FieldDescriptor* content = field->message_type()->map_value();
    std::vector<std::pair<std::string, const Message*>> entries;
    for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
      const Message& entry = message.GetReflection()->GetRepeatedMessage(message, field, i);
      Writer name(false);
      name.WriteValue(entry, key, -1);
      if (!name.out.starts_with('"')) name.out = '"' + name.out + '"';
      entries.emplace_back(std::move(name.out), &entry);
    }
    std::sort(entries.begin(), entries.end());
    Open('{');
    for (const auto& [name, entry] : entries) {
      Next();
      out += name;
      out += indent_ ? ": " : ":";
      WriteValue(*entry, content, -1);
    }
    Close('}');
  }

  void WriteTime(const Message& message) {
    const auto& timestamp = static_cast<const google::protobuf::Timestamp&>(message);
    AppendJsonString(FormatTime(FromMicros(timestamp.seconds() * 1'000'000 + timestamp.nanos() / 1000)), &out);
  }

  // The packed message's own object; {} if its type is not of this program or its bytes do not fit.
  void WriteAny(const Message& message) {
    const auto& any = static_cast<const google::protobuf::Any&>(message);
    std::string_view name = any.type_url();
    name.remove_prefix(std::min(name.size(), name.rfind('/') + 1));
    const auto* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(std::string(name));
    const Message* prototype =
        type ? google::protobuf::MessageFactory::generated_factory()->GetPrototype(type) : nullptr;
    std::unique_ptr<Message> packed(prototype ? prototype->New() : nullptr);
    if (!packed || !packed->ParseFromString(any.value())) {
      out += "{}";
      return;
    }
    WriteMessage(*packed);
  }

  bool indent_;
  bool first_ = true;
  int depth_ = 0;
};

}  // namespace

std::string WriteJson(const Message& message, bool indent) {
  Writer writer(indent);
  writer.WriteMessage(message);
  return std::move(writer.out);
}

std::string JsonString(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

}  // namespace millrace::http
