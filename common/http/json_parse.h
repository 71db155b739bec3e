// SPDX-License-Identifier: Apache-2.0
// A strict JSON text (RFC 8259) as a tree. Nothing that two parsers could read differently passes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace millrace::http {

struct JsonMember;

struct JsonValue {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool truth = false;
  std::string text;  // of a string: decoded UTF-8; of a number: as written
  std::vector<JsonValue> items;
  std::vector<JsonMember> members;  // in order; names differ
};

struct JsonMember {
  std::string name;
  JsonValue value;
};

// Errors: INVALID_JSON with line and column (counted in bytes from 1), a reason, and a violation that points at the
// innermost value that was begun. Refused besides bad syntax: a byte order mark, invalid UTF-8, lone surrogates,
// control characters in strings, duplicate names, NaN and infinities, more than limits::kJsonDepth levels, numbers of
// more than 100 characters, anything after the value.
Result<JsonValue> ParseJson(std::string_view text, std::string_view pointer = "#");

// Well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates.
bool IsWellFormed(std::string_view text);

// One token of a JSON pointer in fragment form: "a/b" is "a~1b"; what a fragment may not hold is percent-encoded.
std::string PointerToken(std::string_view name);

}  // namespace millrace::http
