// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/resources.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
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

ResourceCommand CommandOf(const std::string& http_method, const std::string& path, const pb::MethodDescriptor* method) {
  ResourceCommand command;
  command.http_method = http_method;
  command.path = path;
  command.help = FirstSentence(method);
  std::string rest = path.substr(4);  // after "/v1/"
  size_t end = std::min(rest.find_first_of("/:"), rest.size());
  command.noun = rest.substr(0, end);
  rest.erase(0, end);
  bool of_one = rest.starts_with("/{");
  if (of_one) rest.erase(0, rest.find('}') + 1);
  if (!rest.empty()) {
    command.verb = rest.substr(1);
  } else if (http_method == "GET") {
    command.verb = !of_one && method->output_type()->FindFieldByName("data") ? "list" : "get";
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
        if (!rule.get().empty()) commands.push_back(CommandOf("GET", rule.get(), method));
        if (!rule.post().empty()) commands.push_back(CommandOf("POST", rule.post(), method));
        if (!rule.put().empty()) commands.push_back(CommandOf("PUT", rule.put(), method));
        if (!rule.delete_().empty()) commands.push_back(CommandOf("DELETE", rule.delete_(), method));
      }
    }
  }
  std::erase_if(commands,
                [](const ResourceCommand& c) { return c.noun == "custodian"; });  // the bank's door, not a person's
  std::stable_sort(commands.begin(), commands.end(), [](const auto& a, const auto& b) { return a.noun < b.noun; });
  return commands;
}

Json FieldValue(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  bool digits = !text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == text.npos;
  if (digits) return std::stoll(text);
  if (text.starts_with('{') || text.starts_with('[')) {
    Json json = Json::parse(text, nullptr, false);
    if (!json.is_discarded()) return json;
  }
  return text;
}

std::optional<Json> ReadData(const std::string& text) {
  std::string bytes = text;
  if (text == "-") {
    bytes.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else if (text.starts_with('@')) {
    std::ifstream in(text.substr(1), std::ios::binary);
    if (!in) return std::nullopt;
    bytes.assign(std::istreambuf_iterator<char>(in), {});
  }
  Json json = Json::parse(bytes, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  return json;
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
  std::printf("%s\n", answer.body.is_null() ? answer.text.c_str() : answer.body.dump(2).c_str());
}

int Usage(const std::string& noun) {
  std::fprintf(stderr, "millrace %s VERB [ID] [--field value]… [--data JSON|@FILE|-] [--json]\n", noun.c_str());
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun == noun) std::fprintf(stderr, "  %-12s %s\n", command.verb.c_str(), command.help.c_str());
  }
  return 2;
}

struct Call {
  std::vector<std::string> words;
  Json fields = Json::object();
  bool json = false;
  std::string if_match, key;
};

std::optional<Call> ReadArguments(const std::vector<std::string>& arguments) {
  Call call;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (!word.starts_with("--")) {
      call.words.push_back(word);
      continue;
    }
    if (word == "--json") {
      call.json = true;
      continue;
    }
    size_t equals = word.find('=');
    std::string name = word.substr(2, equals == word.npos ? word.npos : equals - 2), value;
    if (equals != word.npos) {
      value = word.substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      std::fprintf(stderr, "millrace: %s needs a value\n", word.c_str());
      return std::nullopt;
    }
    for (char& c : name) c = c == '-' ? '_' : c;
    if (name == "data") {
      std::optional<Json> data = ReadData(value);
      if (!data) {
        std::fprintf(stderr, "millrace: --data must be a JSON object, @FILE with one, or - for standard input\n");
        return std::nullopt;
      }
      call.fields.update(*data);
    } else if (name == "if_match") {
      call.if_match = value;
    } else if (name == "idempotency_key") {
      call.key = value;
    } else {
      call.fields[name] = FieldValue(value);
    }
  }
  return call;
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

int RunResource(const ApiClient& client, const std::vector<std::string>& arguments) {
  std::optional<Call> call = ReadArguments(arguments);
  if (!call) return 2;
  std::string noun = call->words[0], verb = call->words.size() > 1 ? call->words[1] : "";
  const ResourceCommand* command = nullptr;
  for (const ResourceCommand& candidate : ResourceCommands()) {
    if (candidate.noun == noun && candidate.verb == verb) command = &candidate;
  }
  if (!command) return Usage(noun);
  std::string path = command->path;
  if (size_t open = path.find('{'); open != path.npos) {
    if (call->words.size() < 3) {
      std::fprintf(stderr, "millrace %s %s: which one? Give its id\n", noun.c_str(), verb.c_str());
      return 2;
    }
    path.replace(open, path.find('}') + 1 - open, http::PercentEncode(call->words[2]));
  }
  Json body;
  if (command->http_method == "GET" || command->http_method == "DELETE") {
    char mark = '?';
    for (const auto& [name, value] : call->fields.items()) {
      path += mark + name + "=" + http::PercentEncode(value.is_string() ? value.get<std::string>() : value.dump());
      mark = '&';
    }
  } else {
    body = call->fields;
  }
  Answer answer = client.Call(command->http_method, path, body, call->key, call->if_match);
  if (!answer.ok()) {
    if (call->json && answer.body.is_object()) std::printf("%s\n", answer.body.dump(2).c_str());
    std::fprintf(stderr, "%s\n", Describe(answer).c_str());
    return answer.status == 401 || answer.status == 403 ? 4 : 1;
  }
  Print(answer, call->json);
  return 0;
}

}  // namespace millrace
