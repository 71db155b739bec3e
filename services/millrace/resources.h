// SPDX-License-Identifier: Apache-2.0
// The resource commands: `millrace bookings list`, `millrace listings pause lst_…`. They come from the contract's HTTP
// rules, so a new RPC is a new command.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "services/millrace/client.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
}  // namespace google::protobuf

namespace millrace {

// One RPC that is reached over HTTP.
struct ResourceCommand {
  std::string noun, verb;   // "bookings", "checkIn"
  std::string http_method;  // "POST"
  std::string path;         // "/v1/bookings/{id}:checkIn"
  std::string help;         // first sentence of the RPC's comment
  const google::protobuf::Descriptor* request;
  const google::protobuf::Descriptor* body;  // what the HTTP body holds: the request, or one message of it
};

// Ordered by noun, in the contract's order of verbs.
const std::vector<ResourceCommand>& ResourceCommands();

// Runs `noun verb [id] [--field value]… [--data JSON|@FILE|-] [--if-match ETAG] [--expand FIELD,…] [--validate-only]
// [--all] [--json]`; prints the answer. The exit status: 0, 1 refused, 2 usage, 4 not permitted.
int RunResource(const ApiClient& client, const std::vector<std::string>& arguments);
bool IsNoun(const std::string& word);
// The command of a noun and a verb; null if there is none.
const ResourceCommand* FindResource(const std::string& noun, const std::string& verb);
// Prints a noun's verbs.
void PrintVerbs(const std::string& noun, FILE* out);
// Prints what one verb takes: the fields of its request.
void PrintFields(const ResourceCommand& command, FILE* out);

// Fields that a flag can name: those of the body and those that go behind the path, without what the path holds and
// what only the platform sets.
std::vector<const google::protobuf::FieldDescriptor*> FlagFields(const ResourceCommand& command);
// What a flag of that field may say, if that is a closed list: names of an enum, true and false.
std::vector<std::string> FlagValues(const google::protobuf::FieldDescriptor* field);
// "--listing-id" for listing_id.
std::string FlagName(std::string_view field);
// Flags of every resource command beside its fields; the text says what for.
struct GenericFlag {
  std::string name;
  bool has_value;
  const char* what;
};
extern const std::vector<GenericFlag> kGenericFlags;

}  // namespace millrace
