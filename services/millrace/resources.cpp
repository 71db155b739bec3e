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
#include "services/millrace/arguments.h"
#include "services/millrace/terminal.h"

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
    command.verb = http_method == "DELETE" ? "delete" : http_method == "PATCH" ? "patch" : "update";
  }
  return command;
}

void AddCommands(const google::api::HttpRule& rule, const pb::MethodDescriptor* method,
                 std::vector<ResourceCommand>* commands) {
  auto add = [&](const char* http_method, const std::string& path) {
    if (!path.empty()) commands->push_back(CommandOf(http_method, path, rule.body(), method));
  };
  add("GET", rule.get());
  add("POST", rule.post());
  add("PUT", rule.put());
  add("PATCH", rule.patch());
  add("DELETE", rule.delete_());
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
        AddCommands(rule, method, &commands);
        for (const google::api::HttpRule& more : rule.additional_bindings()) AddCommands(more, method, &commands);
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
  return ReadFile(text.substr(1));
}

std::string Cell(const Json& row, const char* key) {
  auto found = row.find(key);
  if (found == row.end()) return {};
  if (found->is_object()) return found->value("zh", found->value("en", ""));
  return found->is_string() ? found->get<std::string>() : found->dump();
}

// A page of objects as a table of what most of them have.
void PrintPage(const Json& data) {
  std::vector<std::vector<std::string>> rows;
  for (const Json& row : data) {
    std::string name;
    for (const char* key : {"display_name", "title", "type", "work", "kind", "external_id"}) {
      if (name.empty()) name = Cell(row, key);
    }
    rows.push_back({Cell(row, row.contains("id") ? "id" : "code"), Cell(row, "state"), Cell(row, "create_time"), name});
  }
  PrintTable({"ID", "STATE", "CREATED", "NAME"}, rows);
}

void Print(const Answer& answer, bool json) {
  if (!json && answer.body.is_object() && answer.body.contains("data") && answer.body["data"].is_array()) {
    PrintPage(answer.body["data"]);
    if (answer.body.contains("next_page_token")) {
      std::fprintf(stderr, "more: --page-token %s, or --all\n",
                   answer.body["next_page_token"].get<std::string>().c_str());
    }
    return;
  }
  std::string text = answer.body.is_null() ? answer.text : answer.body.dump(2);
  if (text.empty()) return;  // 204
  if (!text.ends_with('\n')) text += '\n';
  std::fwrite(text.data(), 1, text.size(), stdout);
}

struct Call {
  std::vector<std::string> words;
  std::map<std::string, std::string> flags;
  bool json = false, all = false, validate_only = false;
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
    } else if (word == "--all") {
      call.all = true;
    } else if (word == "--validate-only" || word == "--validate-only=true") {
      call.validate_only = true;
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

// The flags that are no part of the body go behind the path.
std::string TakeQuery(const ResourceCommand& command, Call* call) {
  bool no_body = command.http_method == "GET" || command.http_method == "DELETE";
  std::string query;
  if (call->validate_only && !no_body && command.body->FindFieldByName("validate_only")) {
    call->flags["validate_only"] = "true";
  } else if (call->validate_only) {
    query = "?validate_only=true";
  }
  if (std::string expand = call->Take("expand"); !expand.empty()) {
    query += (query.empty() ? "?expand=" : "&expand=") + http::PercentEncode(expand);
  }
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

std::string ContentTypeOf(const ResourceCommand& command, bool raw) {
  bool table = command.noun == "imports" || command.verb == "import";
  if (raw) return table ? "text/csv" : "application/octet-stream";
  return command.http_method == "PATCH" ? "application/merge-patch+json" : "application/json";
}

int Refused(const Answer& answer, bool json) {
  if (json && answer.body.is_object()) std::printf("%s\n", answer.body.dump(2).c_str());
  std::fprintf(stderr, "%s\n", Describe(answer).c_str());
  return Refusal(answer);
}

// Every page of a list, printed as one.
int ListAll(const ApiClient& client, const std::string& path, const ResourceCommand& command, Call* call) {
  if (!call->flags.contains("page_size")) call->flags["page_size"] = "500";
  call->flags.erase("page_token");
  std::string first = path + TakeQuery(command, call);
  Answer whole;
  Busy busy(command.noun + " list");
  for (std::string token;;) {
    Answer page = client.Call("GET", first + (token.empty() ? "" : "&page_token=" + http::PercentEncode(token)));
    if (!page.ok()) return Refused(page, call->json);
    if (whole.body.is_null()) {
      whole.body = page.body;
    } else {
      for (Json& row : page.body["data"]) whole.body["data"].push_back(std::move(row));
    }
    token = page.body.value("next_page_token", "");
    if (token.empty()) break;
  }
  whole.body.erase("next_page_token");
  Print(whole, call->json);
  return kDone;
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

const ResourceCommand* FindResource(const std::string& noun, const std::string& verb) {
  for (const ResourceCommand& command : ResourceCommands()) {
    if (command.noun == noun && command.verb == verb) return &command;
  }
  return nullptr;
}

int RunResource(const ApiClient& client, const std::vector<std::string>& arguments) {
  std::optional<Call> call = ReadArguments(arguments);
  if (!call) return kMisused;
  if (call->words.size() < 2) {
    PrintVerbs(call->words[0], stderr);
    return kMisused;
  }
  const std::string &noun = call->words[0], &verb = call->words[1];
  const ResourceCommand* command = FindResource(noun, verb);
  if (!command) {
    Misused(noun + ": there is no verb " + verb + "; these are:");
    PrintVerbs(noun, stderr);
    return kMisused;
  }
  std::string path = command->path;
  size_t open = path.find('{');
  size_t words = open == path.npos ? 2 : 3;
  if (call->words.size() < words) return Misused(noun + " " + verb + ": which one? Give its id");
  if (call->words.size() > words) return Misused(noun + " " + verb + " takes no " + call->words[words]);
  if (open != path.npos) path.replace(open, path.find('}') + 1 - open, http::PercentEncode(call->words[2]));
  if (call->all && command->http_method == "GET" && verb == "list") return ListAll(client, path, *command, &*call);
  std::string if_match = call->Take("if_match"), key = call->Take("idempotency_key"), type = call->Take("content_type");
  // A person who names one thing to delete means it as it is now.
  if (if_match.empty() && command->http_method == "DELETE") if_match = "*";
  std::optional<std::string> data = ReadData(call->Take("data"));
  if (!data) return Misused("the file that --data names cannot be read");
  path += TakeQuery(*command, &*call);
  bool raw = command->body->full_name() == "google.api.HttpBody";
  if (!raw) data = Body(*command, *call, *data);
  if (!data) return Misused("--data must be a JSON object, @FILE with one, or - for standard input");
  if (type.empty()) type = ContentTypeOf(*command, raw);
  Answer answer;
  {
    Busy busy(noun + " " + verb);
    answer = client.Send(command->http_method, path, *data, type, key, if_match);
  }
  if (!answer.ok()) return Refused(answer, call->json);
  Print(answer, call->json);
  return kDone;
}

}  // namespace millrace
