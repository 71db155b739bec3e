// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/patch.h"

#include "common/crypto/crypto.h"
#include "millrace/type/options.pb.h"

namespace millrace::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Kind = JsonValue::Kind;

bool IsOutputOnly(const FieldDescriptor* field) {
  return field && field->options().GetExtension(type::field).output_only();
}

// The message type of a field's JSON objects; nullptr where they have no fields of their own.
const Descriptor* ObjectType(const FieldDescriptor* field) {
  if (!field || !field->message_type() || field->is_map()) return nullptr;
  return field->message_type()->full_name() == "google.protobuf.Timestamp" ? nullptr : field->message_type();
}

// Removing what is no field is a mistake that the merged object does not show any more.
void FindUnknown(const Descriptor* type, const JsonValue& patch, const std::string& pointer,
                 std::vector<Violation>* violations) {
  for (const auto& [name, value] : patch.members) {
    std::string place = pointer + "/" + http::PointerToken(name);
    const FieldDescriptor* field = type->FindFieldByName(name);
    if (!field && value.kind == Kind::kNull) {
      violations->push_back({place, ErrorCode::kUnknownField, {{"field", name}}});
    } else if (const Descriptor* inner = ObjectType(field)) {
      FindUnknown(inner, value, place, violations);
    }
  }
}

}  // namespace

JsonValue MergePatch(JsonValue target, const JsonValue& patch) {
  if (patch.kind != Kind::kObject) return patch;
  if (target.kind != Kind::kObject) target = JsonObject();
  for (const auto& [name, value] : patch.members) {
    if (value.kind == Kind::kNull) {
      Erase(&target, name);
    } else {
      const JsonValue* old = Find(std::as_const(target), name);
      Put(&target, name, MergePatch(old ? *old : JsonValue(), value));
    }
  }
  return target;
}

bool HasOutputOnly(const Descriptor* type, const JsonValue& value) {
  for (const JsonValue& item : value.items) {
    if (HasOutputOnly(type, item)) return true;
  }
  for (const auto& [name, member] : value.members) {
    const FieldDescriptor* field = type->FindFieldByName(name);
    if (IsOutputOnly(field) && member.kind != Kind::kNull) return true;
    const Descriptor* inner = ObjectType(field);
    if (inner && HasOutputOnly(inner, member)) return true;
  }
  return false;
}

void DropOutputOnly(const Descriptor* type, JsonValue* sent, const JsonValue* stored, bool stale) {
  if (sent->kind == Kind::kArray) {
    for (size_t i = 0; i < sent->items.size(); ++i) {
      bool there = stored && stored->kind == Kind::kArray && i < stored->items.size();
      DropOutputOnly(type, &sent->items[i], there ? &stored->items[i] : nullptr, stale);
    }
    return;
  }
  std::erase_if(sent->members, [&](JsonMember& member) {
    const FieldDescriptor* field = type->FindFieldByName(member.name);
    const JsonValue* counterpart = stored ? Find(*stored, member.name) : nullptr;
    if (IsOutputOnly(field)) return stale || (counterpart && SameJson(member.value, *counterpart));
    const Descriptor* inner = ObjectType(field);
    if (inner) DropOutputOnly(inner, &member.value, counterpart, stale);
    return false;
  });
}

Result<std::string> Patched(const Descriptor* type, std::string_view patch, std::string_view stored, bool stale,
                            std::string_view pointer) {
  MILLRACE_TRY(JsonValue change, http::ParseJson(patch, pointer));
  MILLRACE_TRY(JsonValue object, http::ParseJson(stored));
  if (change.kind != Kind::kObject) {
    return Fail(Error::At(std::string(pointer), ErrorCode::kWrongType,
                          {{"field", "body"}, {"expected", "an object"}, {"got", "no object"}}));
  }
  std::vector<Violation> unknown;
  FindUnknown(type, change, std::string(pointer), &unknown);
  if (!unknown.empty()) return Fail(Error::Of(std::move(unknown)));
  DropOutputOnly(type, &change, &object, stale);
  DropOutputOnly(type, &object, nullptr, true);
  return WriteTree(MergePatch(std::move(object), change));
}

Result<std::string> PatchDigest(std::string_view patch, std::string_view pointer) {
  MILLRACE_TRY(JsonValue change, http::ParseJson(patch, pointer));
  return crypto::Base64Url(crypto::Sha256(WriteCanonical(change)));
}

}  // namespace millrace::gateway
