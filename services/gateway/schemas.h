// SPDX-License-Identifier: Apache-2.0
// JSON Schemas (2020-12, as OpenAPI 3.1 uses them) of the contract's messages.
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "services/gateway/json_tree.h"

namespace millrace::gateway {

// Makes the schemas that a description refers to, each once.
class Schemas {
 public:
  // Messages that clients send: in their schemas only what the rules ask for is required. In those of other messages
  // everything is that answers always have.
  void MarkSent(const google::protobuf::Descriptor* type);

  // {"$ref": …} to a message's or enum's schema.
  JsonValue Ref(const google::protobuf::Descriptor* type);
  JsonValue Ref(const google::protobuf::EnumDescriptor* type);
  // What a field holds, with its rules and its comment. `sent`: in a request.
  JsonValue OfField(const google::protobuf::FieldDescriptor* field, bool sent);
  // A request's fields but those named: {"type": "object", …}.
  JsonValue OfBody(const google::protobuf::Descriptor* request, const std::set<std::string>& without);
  // What may stand in a merge patch of a message.
  JsonValue OfPatch(const google::protobuf::Descriptor* type);
  // The message with expanded objects beside their ids.
  void AddExpansion(const google::protobuf::Descriptor* type, const std::string& name,
                    const google::protobuf::Descriptor* object);
  // A schema of the caller's own, by a name that no message has.
  JsonValue RefOwn(const std::string& name, JsonValue schema);

  // Every schema referred to, by name, with those that they refer to.
  JsonValue Components();

 private:
  std::string NameOf(const std::string& full_name, const std::string& package);
  JsonValue OfMessage(const google::protobuf::Descriptor* type);

  std::set<const google::protobuf::Descriptor*> sent_;
  std::map<std::string, std::string> names_;                  // by full name
  std::map<std::string, std::string> owners_;                 // full name, by name
  std::vector<const google::protobuf::Descriptor*> waiting_;  // referred to, not made yet
  std::map<std::string, JsonValue> made_;                     // by name
  std::map<const google::protobuf::Descriptor*, std::map<std::string, const google::protobuf::Descriptor*>> expansions_;
};

// A shortest valid value of a request's field: examples of the documentation.
JsonValue ExampleOf(const google::protobuf::FieldDescriptor* field);
// The required fields of a message alone, with such values.
JsonValue ExampleOf(const google::protobuf::Descriptor* type, const std::set<std::string>& without = {});

}  // namespace millrace::gateway
