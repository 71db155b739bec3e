// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/resources.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <optional>
#include <span>

#include "common/base/embedded_file.h"
#include "common/http/http.h"
#include "google/api/annotations.pb.h"

namespace millrace {

std::span<const EmbeddedFile> ContractDescriptors();

namespace {

namespace pb = google::protobuf;

// The method's first comment sentence, from the descriptors that carry comments.
std::string FirstSentence(const pb::MethodDescriptor* method) {
  pb::SourceLocation location;
  if (!method->GetSourceLocation(&location)) return {};
  std::string text = location.leading_comments;
  for (char& c : text) c = c == '\n' ? ' ' : c;
  size_t begin = text.find_first_not_of(' ');
  size_t end = text.find(". ", begin == text.npos ? 0 : begin);
  return begin == text.npos ? std::string() : text.substr(begin, end == text.npos ? end : end + 1 - begin);
}

bool IsPage(const pb::Descriptor* answer) {
  const pb::FieldDescriptor* data = answer->FindFieldByName("data");
  return data && data->is_repeated();
}

// `body`: "*", or the field of the request that the HTTP body holds.
ResourceCommand CommandOf(const std::string& http_method, const std::string& path, const std::string& body,
                          const pb::MethodDescriptor* method) {
  ResourceCommand command;
  command.http_method = http_method;
  command.path = path;
  command.help = FirstSentence(method);
  command.request = command.body = method->input_type();
  if (const pb::FieldDescriptor* part = command.request->FindFieldByName(body)) command.body = part->message_type();
  std::string rest = path.substr(4);  // after "/v1/"
  size_t end = std::min(rest.find_first_of("/:"), rest.size());
  command.noun = rest.substr(0, end);
  rest.erase(0, end);
  bool of_one = rest.starts_with("/{");
  if (of_one) rest.erase(0, rest.find('}') + 1);
  if (!rest.empty()) {
    command.verb = rest.substr(1);
  } else if (http_method == "GET") {
    command.verb = !of_one && IsPage(method->output_type()) ? "list" : "get";
  } else if (http_method == "POST") {
    command.verb = "create";
  } else {
    command.verb = http_method == "DELETE" ? "delete" : "update";
  }
  return command;
}

std::vector<ResourceCommand> ReadContract() {
  std::vector<ResourceCommand> commands;
  static pb::DescriptorPool pool;
  pb::FileDescriptorSet files;
  std::string_view bytes = ContractDescriptors()[0].bytes;
  files.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  for (const pb::FileDescriptorProto& file : files.file()) {
    const pb::FileDescriptor* built = pool.BuildFile(file);
    for (int s = 0; built && s < built->service_count(); ++s) {
      for (int m = 0; m < built->service(s)->method_count(); ++m) {
        const pb::MethodDescriptor* method = built->service(s)->method(m);
        // Options of this pool are dynamic; the generated ones hold the rule.
        const pb::MethodDescriptor* generated =
            pb::DescriptorPool::generated_pool()->FindMethodByName(method->full_name());
        if (!generated || !generated->options().HasExtension(google::api::http)) continue;
        const google::api::HttpRule& rule = generated->options().GetExtension(google::api::http);
        if (!rule.get().empty()) commands.push_back(CommandOf("GET", rule.get(), rule.body(), method));
        if (!rule.post().empty()) commands.push_back(CommandOf("POST", rule.post(), rule.body(), method));
        if (!rule.put().empty()) commands.push_back(CommandOf("PUT", rule.put(), rule.body(), method));
        if (!rule.delete_().empty()) commands.push_back(CommandOf("DELETE", rule.delete_(), rule.body(), method));
      }
    }
  }
  std::erase_if(commands,
                [](const ResourceCommand& c) { return c.noun == "custodian"; });  // the bank's door, not a person's
  // By noun; a multimap keeps the contract's order among those of one.
  std::multimap<std::string, ResourceCommand> by_noun;
  for (ResourceCommand& command : commands) by_noun.emplace(command.noun, std::move(command));
  commands.clear();
  for (auto& [noun, command] : by_noun) commands.push_back(std::move(command));
  return commands;
}

// What a flag's text is in JSON: text where the contract wants text, so that a code of digits stays one.
Json FieldValue(const pb::FieldDescriptor* field, const std::string& text) {
  using Type = pb::FieldDescriptor;
  bool structured = field && (field->is_repeated() || field->cpp_type() == Type::CPPTYPE_MESSAGE);
  bool plain = field && (field->cpp_type() == Type::CPPTYPE_BOOL || field->cpp_type() == Type::CPPTYPE_INT32 ||
                         field->cpp_type() == Type::CPPTYPE_DOUBLE);
  Json json = structured || (plain && !field->is_repeated()) ? Json::parse(text, nullptr, false) : Json(text);
  if (json.is_discarded()) json = text;
  if (structured && field->is_repeated() && !json.is_structured()) return Json::array({json});
  return json;
}

// Text, what a file holds (@FILE) or what standard input brings (-).
std::optional<std::string> ReadData(const std::string& text) {
  if (text == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  if (!text.starts_with('@')) return text;
  std::ifstream in(text.substr(1), std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::string Cell(const Json& row, const char* key) {
  auto found = row.find(key);
  if (found == row.end()) return {};
  if (found->is_object()) return found->value("zh", found->value("en", ""));
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// A page of objects as a table of what most of them have.
void PrintTable(const Json& data) {
  for (const Json& row : data) {
    std::string name;
    for (const char* key : {"display_name", "title", "type", "work", "kind", "external_id"}) {
      if (name.empty()) name = Cell(row, key);
    }
    std::printf("%-32s %-14s %-21s %s\n", Cell(row, "id").c_str(), Cell(row, "state").c_str(),
                Cell(row, "create_time").c_str(), name.c_str());
  }
}

void Print(const Answer& answer, bool json) {
  if (!json && answer.body.is_object() && answer.body.contains("data") && answer.body["data"].is_array()) {
    PrintTable(answer.body["data"]);
    if (answer.body.contains("next_page_token")) {
      std::printf("more: --page-token %s\n", answer.body["next_page_token"].get<std::string>().c_str());
    }
    return;
  }
  std::string text = answer.body.is_null() ? answer.text : answer.body.dump(2);
  if (!text.ends_with('\n')) text += '\n';
  std::fwrite(text.data(), 1, text.size(), stdout);
}

int Misused(const std::string& sentence) {
  std::fprintf(stderr, "millrace: %s\n", sentence.c_str());
  return 2;
}

struct Call {
  std::vector<std::string> words;
  std::map<std::string, std::string> flags;
  bool json = false;
  // Takes a flag that is no field of the request.
  std::string Take(const std::string& name) {
    auto node = flags.extract(name);
    return node ? node.mapped() : std::string();
  }
};

std::optional<Call> ReadArguments(const std::vector<std::string>& arguments) {
  Call call;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    size_t equals = word.find('=');
    if (!word.starts_with("--")) {
      call.words.push_back(word);
    } else if (word == "--json") {
      call.json = true;
    } else if (equals == word.npos && i + 1 == arguments.size()) {
      Misused(word + " needs a value");
      return std::nullopt;
    } else {
      std::string name = word.substr(2, equals == word.npos ? word.npos : equals - 2);
      for (char& c : name) c = c == '-' ? '_' : c;
      call.flags[name] = equals == word.npos ? arguments[++i] : word.substr(equals + 1);
    }
  }
  return call;
}

const ResourceCommand* Find(const std::string& noun, const std::string& verb) {
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun == noun && command.verb == verb) return &command;
  }
  return nullptr;
}

// The flags that are no part of the body go behind the path.
std::string TakeQuery(const ResourceCommand& command, Call* call) {
  bool no_body = command.http_method == "GET" || command.http_method == "DELETE";
  std::string query;
  for (auto it = call->flags.begin(); it != call->flags.end();) {
    const auto& [name, value] = *it;
    bool beside = !command.body->FindFieldByName(name) && command.request->FindFieldByName(name) != nullptr;
    if (!no_body && !beside) {
      ++it;
      continue;
    }
    query += (query.empty() ? '?' : '&') + name + "=" + http::PercentEncode(value);
    it = call->flags.erase(it);
  }
  return query;
}

// What the HTTP body is: --data, with the other flags as its fields.
std::optional<std::string> Body(const ResourceCommand& command, const Call& call, const std::string& data) {
  Json fields = data.empty() ? Json::object() : Json::parse(data, nullptr, false);
  if (!fields.is_object()) return std::nullopt;
  for (const auto& [name, value] : call.flags) {
    fields[name] = FieldValue(command.body->FindFieldByName(name), value);
  }
  return fields.dump();
}

}  // namespace

const std::vector<ResourceCommand>& ResourceCommands() {
  static const std::vector<ResourceCommand> commands = ReadContract();
  return commands;
}

bool IsNoun(const std::string& word) {
  const auto& commands = ResourceCommands();
  return std::any_of(commands.begin(), commands.end(), [&](const ResourceCommand& c) { return c.noun == word; });
}

void PrintVerbs(const std::string& noun, FILE* out) {
  std::fprintf(out, "millrace %s VERB [ID] [--field value]… [--data JSON|@FILE|-] [--json]\n", noun.c_str());
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun != noun) continue;
    bool of_one = command.path.find('{') != command.path.npos;
    std::fprintf(out, "  %-12s %-3s %s\n", command.verb.c_str(), of_one ? "ID" : "", command.help.c_str());
  }
}

int RunResource(const ApiClient& client, const std::vector<std::string>& arguments) {
  std::optional<Call> call = ReadArguments(arguments);
  if (!call) return 2;
  if (call->words.size() < 2) {
    PrintVerbs(call->words[0], stderr);
    return 2;
  }
  const std::string &noun = call->words[0], &verb = call->words[1];
  const ResourceCommand* command = Find(noun, verb);
  if (!command) {
    Misused(noun + ": there is no verb " + verb + "; these are:");
    PrintVerbs(noun, stderr);
    return 2;
  }
  std::string path = command->path;
  size_t open = path.find('{');
  size_t words = open == path.npos ? 2 : 3;
  if (call->words.size() < words) return Misused(noun + " " + verb + ": which one? Give its id");
  if (call->words.size() > words) return Misused(noun + " " + verb + " takes no " + call->words[words]);
  if (open != path.npos) path.replace(open, path.find('}') + 1 - open, http::PercentEncode(call->words[2]));
  std::string if_match = call->Take("if_match"), key = call->Take("idempotency_key"), type = call->Take("content_type");
  std::optional<std::string> data = ReadData(call->Take("data"));
  if (!data) return Misused("the file that --data names cannot be read");
  path += TakeQuery(*command, &*call);
  bool raw = command->body->full_name() == "google.api.HttpBody";
  if (!raw) data = Body(*command, *call, *data);
  if (!data) return Misused("--data must be a JSON object, @FILE with one, or - for standard input");
  if (type.empty()) type = !raw ? "application/json" : noun == "imports" ? "text/csv" : "application/octet-stream";
  Answer answer = client.Send(command->http_method, path, *data, type, key, if_match);
  if (answer.ok()) {
    Print(answer, call->json);
    return 0;
  }
  if (call->json && answer.body.is_object()) std::printf("%s\n", answer.body.dump(2).c_str());
  std::fprintf(stderr, "%s\n", Describe(answer).c_str());
  if (answer.status == 401) std::fprintf(stderr, "%s\n", kHowToGiveAKey);
  return answer.status == 401 || answer.status == 403 ? 4 : 1;
}

}  // namespace millrace
