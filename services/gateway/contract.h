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
// RPCs with their routes and rules, messages with fields, numbers and types, enums: one line each, in a stable order.
std::string DescribeContract();

}  // namespace millrace::gateway
