// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/metadata.h"

#include <algorithm>

#include "common/base/words.h"

namespace millrace::rpc {
namespace {

constexpr std::string_view kOrganization = "millrace-organization";
constexpr std::string_view kActor = "millrace-actor";
constexpr std::string_view kMember = "millrace-member";
constexpr std::string_view kRoles = "millrace-roles";
constexpr std::string_view kScopes = "millrace-scopes";
constexpr std::string_view kVerified = "millrace-verified";
constexpr std::string_view kRequestId = "millrace-request-id";
constexpr std::string_view kTraceparent = "traceparent";
constexpr std::string_view kIdempotencyKey = "millrace-idempotency-key";
constexpr std::string_view kIfMatch = "millrace-if-match";
constexpr std::string_view kValidateOnly = "millrace-validate-only";
constexpr std::string_view kLanguage = "millrace-language";
constexpr std::string_view kHeaders = "millrace-headers";
constexpr std::string_view kRawBody = "millrace-raw-body";
constexpr std::string_view kReplayed = "millrace-replayed";
constexpr std::string_view kEtag = "millrace-etag";

void Put(std::vector<MetadataPair>* pairs, std::string_view name, const std::string& value) {
  if (value.empty()) return;
  bool printable = std::ranges::all_of(value, [](char c) { return c > 0x20 && c < 0x7f; });
  std::string full(name);
  if (!printable) full += "-bin";
  pairs->push_back({std::move(full), value});
}

std::string Get(const MetadataLookup& lookup, std::string_view name) {
  if (std::optional<std::string> plain = lookup(name)) return *std::move(plain);
  return lookup(std::string(name) + "-bin").value_or("");
}

std::set<std::string> WordSet(const std::string& text) {
  std::vector<std::string> words = SplitWords(text);
  return {words.begin(), words.end()};
}

}  // namespace

std::vector<MetadataPair> WriteContext(const CallContext& context) {
  std::vector<MetadataPair> pairs;
  if (!context.organization.IsNil()) Put(&pairs, kOrganization, FormatId("org", context.organization));
  Put(&pairs, kActor, context.actor);
  if (!context.member.IsNil()) Put(&pairs, kMember, FormatId("usr", context.member));
  Put(&pairs, kRoles, JoinWords(context.roles));
  Put(&pairs, kScopes, JoinWords(context.scopes));
  if (context.organization_verified) Put(&pairs, kVerified, "1");
  Put(&pairs, kRequestId, context.request_id);
  Put(&pairs, kTraceparent, context.traceparent);
  Put(&pairs, kIdempotencyKey, context.idempotency_key);
  Put(&pairs, kIfMatch, context.if_match);
  if (context.validate_only) Put(&pairs, kValidateOnly, "1");
  Put(&pairs, kLanguage, context.language == Language::kZh ? "zh" : "en");
  std::string headers;
  for (const auto& [name, value] : context.headers) headers += name + "\n" + value + "\n";
  Put(&pairs, kHeaders, headers);
  Put(&pairs, kRawBody, context.raw_body);
  return pairs;
}

CallContext ReadContext(const MetadataLookup& lookup) {
  CallContext context;
  context.organization = IdOrNil(Get(lookup, kOrganization));
  context.actor = Get(lookup, kActor);
  context.member = IdOrNil(Get(lookup, kMember));
  context.roles = WordSet(Get(lookup, kRoles));
  context.scopes = WordSet(Get(lookup, kScopes));
  context.organization_verified = Get(lookup, kVerified) == "1";
  context.request_id = Get(lookup, kRequestId);
  context.traceparent = Get(lookup, kTraceparent);
  context.idempotency_key = Get(lookup, kIdempotencyKey);
  context.if_match = Get(lookup, kIfMatch);
  context.validate_only = Get(lookup, kValidateOnly) == "1";
  context.language = Get(lookup, kLanguage) == "en" ? Language::kEn : Language::kZh;
  std::string headers = Get(lookup, kHeaders);
  for (size_t start = 0; start < headers.size();) {
    size_t middle = std::min(headers.find('\n', start), headers.size() - 1);
    size_t end = std::min(headers.find('\n', middle + 1), headers.size());
    context.headers[headers.substr(start, middle - start)] = headers.substr(middle + 1, end - middle - 1);
    start = end + 1;
  }
  context.raw_body = Get(lookup, kRawBody);
  return context;
}

std::vector<MetadataPair> WriteReply(const ReplyInfo& reply) {
  std::vector<MetadataPair> pairs;
  if (reply.replayed) Put(&pairs, kReplayed, "1");
  Put(&pairs, kEtag, reply.etag);
  return pairs;
}

void ReadReply(const MetadataLookup& lookup, ReplyInfo* reply) {
  reply->replayed = Get(lookup, kReplayed) == "1";
  reply->etag = Get(lookup, kEtag);
}

}  // namespace millrace::rpc
