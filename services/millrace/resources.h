// SPDX-License-Identifier: Apache-2.0
// The resource commands: `millrace bookings list`, `millrace listings pause lst_…`. They come from the contract's HTTP
// rules, so a new RPC is a new command.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "services/millrace/client.h"

namespace google::protobuf {
class Descriptor;
}

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

// Runs `noun verb [id] [--field value]… [--data JSON|@FILE|-] [--json]`; prints the answer. The exit status: 0, 1
// refused, 2 usage, 4 not permitted.
int RunResource(const ApiClient& client, const std::vector<std::string>& arguments);
bool IsNoun(const std::string& word);
// Prints a noun's verbs.
void PrintVerbs(const std::string& noun, FILE* out);

}  // namespace millrace
