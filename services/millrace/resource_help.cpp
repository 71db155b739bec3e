// SPDX-License-Identifier: Apache-2.0
// What a resource command takes, told from the contract: for --help and for the shell's completion.
#include <google/protobuf/descriptor.h>

#include <algorithm>

#include "millrace/type/options.pb.h"
#include "services/millrace/resources.h"

namespace millrace {
namespace {

namespace pb = google::protobuf;

constexpr size_t kHelpBytes = 110;

// The field's first comment sentence.
std::string FirstSentence(const pb::FieldDescriptor* field) {
  pb::SourceLocation location;
  if (!field->GetSourceLocation(&location)) return {};
  std::string text = location.leading_comments;
  for (char& c : text) c = c == '\n' ? ' ' : c;
  size_t begin = std::min(text.find_first_not_of(' '), text.size());
  text = text.substr(begin, text.find(". ", begin) - begin);
  while (!text.empty() && (text.back() == ' ' || text.back() == '.')) text.pop_back();
  if (text.size() > kHelpBytes) text = text.substr(0, text.find_last_of(' ', kHelpBytes)) + " …";
  return text;
}

// Options of the contract's own pool are dynamic; the generated twin holds the rules.
const millrace::type::FieldRules* RulesOf(const pb::FieldDescriptor* field) {
  const pb::Descriptor* generated =
      pb::DescriptorPool::generated_pool()->FindMessageTypeByName(field->containing_type()->full_name());
  const pb::FieldDescriptor* twin = generated ? generated->FindFieldByName(field->name()) : nullptr;
  return twin && twin->options().HasExtension(millrace::type::field)
             ? &twin->options().GetExtension(millrace::type::field)
             : nullptr;
}

const char* KindOf(const pb::FieldDescriptor* field) {
  if (field->is_map()) return "JSON";
  switch (field->cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_MESSAGE:
      return field->message_type()->full_name() == "google.protobuf.Timestamp" ? "TIME" : "JSON";
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return "true|false";
    case pb::FieldDescriptor::CPPTYPE_STRING:
      return "TEXT";
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      return "NAME";
    default:
      return "NUMBER";
  }
}

std::string Example(const ResourceCommand& command) {
  std::string line = "  millrace " + command.noun + " " + command.verb;
  if (command.path.find('{') != std::string::npos) line += " ID";
  int shown = 0;
  for (const pb::FieldDescriptor* field : FlagFields(command)) {
    const millrace::type::FieldRules* rules = RulesOf(field);
    if (!rules || !rules->required() || ++shown > 4) continue;
    std::vector<std::string> values = FlagValues(field);
    std::string kind = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE ? "'{…}'" : KindOf(field);
    line += " " + FlagName(field->name()) + " " + (values.empty() ? kind : values.front());
  }
  return line;
}

}  // namespace

const std::vector<GenericFlag> kGenericFlags = {
    {"--data", true, "the body: JSON, @FILE or - for standard input; the other flags are its fields"},
    {"--json", false, "print the answer as one JSON document, a refusal too"},
    {"--all", false, "of a list: every page"},
    {"--if-match", true, "only if the object still has this ETag; * for any, which is what delete means"},
    {"--expand", true, "put the objects behind these fields in: listing,resource"},
    {"--validate-only", false, "say what would happen, and do nothing"},
    {"--idempotency-key", true, "the same key again is the same command, done once"},
    {"--content-type", true, "of a file that --data names"},
    {"--url", true, "which instance; else MILLRACE_URL, ~/.config/millrace/config, a running millrace dev"},
    {"--key-file", true, "a file with the API key; else --key, MILLRACE_KEY, MILLRACE_KEY_FILE, the config file"},
    {"--key", true, "the API key itself, which others may see in the list of processes"},
    {"--ca-file", true, "certificates that https is checked against"},
    {"--instance", true, "the folder of a running millrace dev; its operator asks"},
};

std::string FlagName(std::string_view field) {
  std::string name = "--" + std::string(field);
  std::ranges::replace(name, '_', '-');
  return name;
}

std::vector<const pb::FieldDescriptor*> FlagFields(const ResourceCommand& command) {
  std::vector<const pb::FieldDescriptor*> fields;
  auto add = [&](const pb::Descriptor* message) {
    for (int i = 0; i < message->field_count(); ++i) {
      const pb::FieldDescriptor* field = message->field(i);
      const millrace::type::FieldRules* rules = RulesOf(field);
      bool in_path = command.path.find("{" + field->name() + "}") != std::string::npos;
      bool is_body = message != command.body && field->message_type() == command.body;
      bool set_by_platform = rules && rules->output_only();
      bool generic = field->name() == "validate_only";
      if (!in_path && !is_body && !set_by_platform && !generic) fields.push_back(field);
    }
  };
  if (command.body->full_name() != "google.api.HttpBody") add(command.body);
  if (command.body != command.request) add(command.request);
  return fields;
}

std::vector<std::string> FlagValues(const pb::FieldDescriptor* field) {
  if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_BOOL) return {"true", "false"};
  std::vector<std::string> values;
  if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_ENUM) return values;
  for (int i = 0; i < field->enum_type()->value_count(); ++i) {
    if (field->enum_type()->value(i)->number() != 0) values.push_back(field->enum_type()->value(i)->name());
  }
  return values;
}

void PrintVerbs(const std::string& noun, FILE* out) {
  std::fprintf(out, "millrace %s VERB [ID] [--field value]… [--data JSON|@FILE|-] [--json]\n\nExamples\n",
               noun.c_str());
  int shown = 0;
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun == noun && ++shown <= 3) std::fprintf(out, "%s\n", Example(command).c_str());
  }
  std::fprintf(out, "\nVerbs (`millrace %s VERB --help` tells the fields)\n", noun.c_str());
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun != noun) continue;
    bool of_one = command.path.find('{') != std::string::npos;
    std::fprintf(out, "  %-12s %-3s %s\n", command.verb.c_str(), of_one ? "ID" : "", command.help.c_str());
  }
  if (noun == "events") std::fprintf(out, "  %-12s %-3s %s\n", "tail", "", "Prints events as they happen.");
}

void PrintFields(const ResourceCommand& command, FILE* out) {
  bool of_one = command.path.find('{') != std::string::npos;
  std::fprintf(out, "millrace %s %s%s  %s\n\nExamples\n%s\n\nFields\n", command.noun.c_str(), command.verb.c_str(),
               of_one ? " ID" : "", command.help.c_str(), Example(command).c_str());
  for (const pb::FieldDescriptor* field : FlagFields(command)) {
    const millrace::type::FieldRules* rules = RulesOf(field);
    std::string name =
        FlagName(field->name()) + " " + (field->is_repeated() && !field->is_map() ? "JSON" : KindOf(field));
    std::string values;
    if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_ENUM) {
      for (const std::string& value : FlagValues(field)) values += (values.empty() ? ": " : ", ") + value;
    }
    std::fprintf(out, "  %-34s %s%s%s\n", name.c_str(), FirstSentence(field).c_str(),
                 rules && rules->required() ? " (needed)" : "", values.c_str());
  }
  std::fprintf(out, "\nOf every command\n");
  for (const GenericFlag& flag : kGenericFlags) {
    std::string name = flag.name + (flag.has_value ? " VALUE" : "");
    std::fprintf(out, "  %-34s %s\n", name.c_str(), flag.what);
  }
}

}  // namespace millrace
