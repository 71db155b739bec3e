// SPDX-License-Identifier: Apache-2.0
// Changes to a stored object: merge patches (RFC 7396), and whole objects as GET gave them.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "services/gateway/json_tree.h"

namespace millrace::gateway {

// RFC 7396: members of `patch` replace those of `target`, objects member by member; null removes.
JsonValue MergePatch(JsonValue target, const JsonValue& patch);

// Whether a value of that message type has output-only members that are not null.
bool HasOutputOnly(const google::protobuf::Descriptor* type, const JsonValue& value);
// Takes those members out of `sent`. One that differs from the `stored` object's stays, so that the reader refuses it
// by name (OUTPUT_ONLY), unless `stale`: what the client knows is of another version, so that it cannot be compared.
void DropOutputOnly(const google::protobuf::Descriptor* type, JsonValue* sent, const JsonValue* stored, bool stale);

// The JSON of the object that a merge patch makes of the stored one, ready to be read as a request.
// Errors: INVALID_JSON, WRONG_TYPE (a patch that is no object), with pointers below `pointer`.
Result<std::string> Patched(const google::protobuf::Descriptor* type, std::string_view patch, std::string_view stored,
                            bool stale, std::string_view pointer);
// What a patch is, whatever the order of its members: the part of an idempotency fingerprint that is the client's.
Result<std::string> PatchDigest(std::string_view patch, std::string_view pointer);

}  // namespace millrace::gateway
