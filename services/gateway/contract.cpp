// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/contract.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <span>

#include "common/base/embedded_file.h"
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
  HttpRule rule = HttpRuleOf(method);
  if (!rule.method.empty())
    line += " " + rule.method + " " + rule.path + (rule.body.empty() ? "" : " body=" + rule.body);
  std::string rules = method->options().GetExtension(type::method).ShortDebugString();
  if (!rules.empty()) line += " {" + rules + "}";
  lines->push_back(std::move(line));
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
    for (const auto& file : DescriptorSet().file()) {
      for (const auto& location : file.source_code_info().location()) {
        // service (6), its index, method (2), its index: descriptor.proto's numbers.
        if (location.path_size() != 4 || location.path(0) != 6 || location.path(2) != 2) continue;
        const auto& service = file.service(location.path(1));
        std::string name = file.package() + "." + service.name() + "." + service.method(location.path(3)).name();
        found[name] = FirstSentence(location.leading_comments());
      }
    }
    return found;
  }();
  return summaries;
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
