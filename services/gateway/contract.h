// SPDX-License-Identifier: Apache-2.0
// What the protos say, as the program itself sees it.
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <string>
#include <vector>

namespace millrace::gateway {

// Every .proto file of Millrace, by name, from the generated pool.
const std::vector<const google::protobuf::FileDescriptor*>& ContractFiles();
// "listing" of "millrace.listing.v1.ListingService.GetListing".
std::string ServiceOf(const google::protobuf::MethodDescriptor* method);
// The first sentence of each RPC's comment, by the RPC's full name; from the embedded descriptors.
const std::map<std::string, std::string>& Summaries();
// The comment above a message, field ("millrace.listing.v1.Listing.id"), enum, enum value (by the enum's name:
// "….Kind.TOOLING"), service or RPC: one line a paragraph, as the proto has it otherwise; empty if there is none.
const std::string& CommentOf(const std::string& full_name);
// The same without what is read by machine: the lists after "Errors:", "Events:" and "Deprecated".
std::string ProseOf(const std::string& comment);
// The codes of the catalogue that a comment's "Errors:" names, in its order.
std::vector<std::string> ErrorsOf(const std::string& comment);

// An event that a message's comment names after "Events:".
struct EventType {
  std::string type;                             // "booking.confirmed"
  const google::protobuf::Descriptor* payload;  // of the event's data
};
// Of the whole contract, by type.
const std::vector<EventType>& EventTypes();

// "Deprecated 2027-01-31, ends 2027-12-31: use X." of an RPC with the option `deprecated`, in seconds since 1970; 0
// where there is no such date.
struct Deprecation {
  int64_t since = 0, sunset = 0;
};
Deprecation DeprecationOf(const std::string& comment);

// RPCs with their routes and rules, messages with fields, numbers and types, enums: one line each, in a stable order.
std::string DescribeContract();

}  // namespace millrace::gateway
