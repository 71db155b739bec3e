// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/contract.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <cctype>
#include <span>

#include "common/base/embedded_file.h"
#include "common/base/error.h"
#include "common/base/time.h"
#include "google/api/annotations.pb.h"
#include "millrace/type/options.pb.h"
#include "services/gateway/routes.h"

namespace millrace {
std::span<const EmbeddedFile> GatewayDescriptors();
}  // namespace millrace

namespace millrace::gateway {

extern const void* volatile kAllMessages[];

namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::FileDescriptorSet;
using google::protobuf::MethodDescriptor;

const FileDescriptorSet& DescriptorSet() {
  static const FileDescriptorSet set = [] {
    FileDescriptorSet parsed;
    std::string_view bytes = GatewayDescriptors()[0].bytes;
    parsed.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
    return parsed;
  }();
  return set;
}

std::string FirstSentence(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  size_t end = text.find(". ");
  if (end != text.npos) text.resize(end + 1);
  size_t begin = text.find_first_not_of(' ');
  size_t last = text.find_last_not_of(' ');
  std::string out;
  for (size_t i = begin == text.npos ? text.size() : begin; i < text.size() && i <= last; ++i) {
    if (text[i] != ' ' || !out.ends_with(' ')) out += text[i];
  }
  return out;
}

std::string TypeName(const FieldDescriptor* field) {
  if (field->is_map())
    return "map<" + TypeName(field->message_type()->map_key()) + ", " + TypeName(field->message_type()->map_value()) +
           ">";
  std::string name = field->message_type() ? field->message_type()->full_name()
                     : field->enum_type()  ? field->enum_type()->full_name()
                                           : field->type_name();
  if (field->is_repeated()) return "repeated " + name;
  return field->has_optional_keyword() ? "optional " + name : name;
}

void Describe(const EnumDescriptor* type, std::vector<std::string>* lines) {
  for (int i = 0; i < type->value_count(); ++i) {
    lines->push_back("enum " + type->full_name() + " " + std::to_string(type->value(i)->number()) + " " +
                     type->value(i)->name());
  }
}

void Describe(const Descriptor* type, std::vector<std::string>* lines) {
  if (type->options().map_entry()) return;
  if (type->field_count() == 0) lines->push_back("message " + type->full_name());
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    std::string line = "message " + type->full_name() + " " + std::to_string(field->number()) + " " + TypeName(field) +
                       " " + field->name();
    std::string rules = field->options().GetExtension(type::field).ShortDebugString();
    if (!rules.empty()) line += " {" + rules + "}";
    lines->push_back(std::move(line));
  }
  for (int i = 0; i < type->nested_type_count(); ++i) Describe(type->nested_type(i), lines);
  for (int i = 0; i < type->enum_type_count(); ++i) Describe(type->enum_type(i), lines);
}

void Describe(const MethodDescriptor* method, std::vector<std::string>* lines) {
  std::string line = "rpc " + method->full_name() + " " + method->input_type()->full_name() + " -> " +
                     method->output_type()->full_name();
  for (const HttpRule& rule : HttpRulesOf(method)) {
    line += " " + rule.method + " " + rule.path + (rule.body.empty() ? "" : " body=" + rule.body);
  }
  std::string rules = method->options().GetExtension(type::method).ShortDebugString();
  if (!rules.empty()) line += " {" + rules + "}";
  lines->push_back(std::move(line));
}

std::string OneLine(const std::string& text) {
  std::string out;
  for (char c : text) {
    bool blank = c == '\n' || c == ' ';
    if (!blank) out += c;
    if (blank && !out.empty() && !out.ends_with(' ')) out += ' ';
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

using google::protobuf::DescriptorProto;
using google::protobuf::EnumDescriptorProto;
using google::protobuf::FileDescriptorProto;
using google::protobuf::SourceCodeInfo;

// Numbers of descriptor.proto's fields, of which source paths are made.
enum Part { kMessage = 4, kEnum = 5, kService = 6, kField = 2, kNested = 3, kNestedEnum = 4, kMember = 2 };

// The full name of what a source path below a message leads to; empty for what is not named here.
std::string NameBelow(const DescriptorProto& type, std::string name, const SourceCodeInfo::Location& at, int depth) {
  if (depth == at.path_size()) return name;
  if (depth + 1 >= at.path_size()) return "";
  int part = at.path(depth), index = at.path(depth + 1);
  if (part == kField) return depth + 2 == at.path_size() ? name + "." + type.field(index).name() : "";
  if (part == kNested)
    return NameBelow(type.nested_type(index), name + "." + type.nested_type(index).name(), at, depth + 2);
  if (part != kNestedEnum) return "";
  const EnumDescriptorProto& values = type.enum_type(index);
  name += "." + values.name();
  if (depth + 2 == at.path_size()) return name;
  bool value = depth + 4 == at.path_size() && at.path(depth + 2) == kMember;
  return value ? name + "." + values.value(at.path(depth + 3)).name() : "";
}

std::string NameAt(const FileDescriptorProto& file, const SourceCodeInfo::Location& at) {
  if (at.path_size() < 2) return "";
  std::string name = file.package() + ".";
  int index = at.path(1);
  bool member = at.path_size() == 4 && at.path(2) == kMember;
  switch (at.path(0)) {
    case kMessage:
      return NameBelow(file.message_type(index), name + file.message_type(index).name(), at, 2);
    case kEnum:
      name += file.enum_type(index).name();
      if (at.path_size() == 2) return name;
      return member ? name + "." + file.enum_type(index).value(at.path(3)).name() : "";
    case kService:
      name += file.service(index).name();
      if (at.path_size() == 2) return name;
      return member ? name + "." + file.service(index).method(at.path(3)).name() : "";
    default:
      return "";
  }
}

std::map<std::string, std::string> ReadComments() {
  std::map<std::string, std::string> found;
  for (const auto& file : DescriptorSet().file()) {
    for (const auto& location : file.source_code_info().location()) {
      std::string name = NameAt(file, location);
      if (!name.empty()) found[name] = OneLine(location.leading_comments());
    }
  }
  return found;
}

// "Events: booking.proposed, .held, all with this message as payload." of a message's comment.
void ReadEvents(const Descriptor* type, std::vector<EventType>* found) {
  const std::string& comment = CommentOf(type->full_name());
  size_t at = comment.find("Events:");
  if (at == comment.npos) return;
  std::string list = comment.substr(at + 7);
  size_t end = list.find(" with ");
  const Descriptor* payload = type;
  if (end != list.npos) {
    std::string name = list.substr(end + 6, list.find(' ', end + 6) - end - 6);
    const Descriptor* other = type->file()->FindMessageTypeByName(name);
    if (other) payload = other;
  }
  std::string noun, word;
  for (char c : list.substr(0, end) + " ") {
    if (std::islower(static_cast<unsigned char>(c)) || c == '_' || c == '.') {
      word += c;
      continue;
    }
    size_t dot = word.find('.');
    if (dot != word.npos && dot + 1 < word.size()) {
      if (dot > 0) noun = word.substr(0, dot);
      found->push_back({noun + word.substr(dot), payload});
    }
    word.clear();
  }
}

}  // namespace

const std::vector<const FileDescriptor*>& ContractFiles() {
  static const std::vector<const FileDescriptor*> files = [] {
    std::vector<const FileDescriptor*> found;
    if (kAllMessages[0] == nullptr) return found;
    for (const auto& file : DescriptorSet().file()) {
      if (!file.name().starts_with("millrace/")) continue;
      const FileDescriptor* generated = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(file.name());
      if (generated) found.push_back(generated);
    }
    std::ranges::sort(found, {}, [](const FileDescriptor* file) { return file->name(); });
    return found;
  }();
  return files;
}

std::string ServiceOf(const MethodDescriptor* method) {
  const std::string& package = method->file()->package();
  size_t begin = package.find('.') + 1;
  return package.substr(begin, package.find('.', begin) - begin);
}

const std::map<std::string, std::string>& Summaries() {
  static const std::map<std::string, std::string> summaries = [] {
    std::map<std::string, std::string> found;
    for (const FileDescriptor* file : ContractFiles()) {
      for (int i = 0; i < file->service_count(); ++i) {
        for (int k = 0; k < file->service(i)->method_count(); ++k) {
          const std::string& name = file->service(i)->method(k)->full_name();
          found[name] = FirstSentence(CommentOf(name));
        }
      }
    }
    return found;
  }();
  return summaries;
}

const std::string& CommentOf(const std::string& full_name) {
  static const std::map<std::string, std::string> comments = ReadComments();
  static const std::string none;
  auto found = comments.find(full_name);
  return found == comments.end() ? none : found->second;
}

std::string ProseOf(const std::string& comment) {
  size_t end = comment.size();
  for (std::string_view mark : {"Errors:", "Events:", "Deprecated "}) end = std::min(end, comment.find(mark));
  std::string prose = comment.substr(0, end);
  while (prose.ends_with(' ')) prose.pop_back();
  return prose;
}

std::vector<std::string> ErrorsOf(const std::string& comment) {
  std::vector<std::string> codes;
  size_t at = comment.find("Errors:");
  if (at == comment.npos) return codes;
  int depth = 0;  // what stands in parentheses says when, and may look like a code
  std::string word;
  for (char c : comment.substr(at) + " ") {
    if (std::isupper(static_cast<unsigned char>(c)) || std::isdigit(static_cast<unsigned char>(c)) || c == '_') {
      word += c;
      continue;
    }
    if (depth == 0 && ErrorCodeByName(word) && std::ranges::find(codes, word) == codes.end()) codes.push_back(word);
    word.clear();
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
  }
  return codes;
}

const std::vector<EventType>& EventTypes() {
  static const std::vector<EventType> types = [] {
    std::vector<EventType> found;
    for (const FileDescriptor* file : ContractFiles()) {
      for (int i = 0; i < file->message_type_count(); ++i) ReadEvents(file->message_type(i), &found);
    }
    std::ranges::sort(found, {}, &EventType::type);
    return found;
  }();
  return types;
}

Deprecation DeprecationOf(const std::string& comment) {
  auto date = [&](std::string_view mark) -> int64_t {
    size_t at = comment.find(mark);
    if (at == comment.npos) return 0;
    Result<Time> time = ParseTime(comment.substr(at + mark.size(), 10) + "T00:00:00Z");
    return time ? Micros(*time) / 1'000'000 : 0;
  };
  return {date("Deprecated "), date(", ends ")};
}

std::string DescribeContract() {
  std::vector<std::string> lines;
  for (const FileDescriptor* file : ContractFiles()) {
    for (int i = 0; i < file->service_count(); ++i) {
      for (int k = 0; k < file->service(i)->method_count(); ++k) Describe(file->service(i)->method(k), &lines);
    }
    for (int i = 0; i < file->message_type_count(); ++i) Describe(file->message_type(i), &lines);
    for (int i = 0; i < file->enum_type_count(); ++i) Describe(file->enum_type(i), &lines);
  }
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

}  // namespace millrace::gateway
