// SPDX-License-Identifier: Apache-2.0
// Strict JSON ⇄ protobuf. Reading refuses what protobuf's own reader lets pass: duplicate keys, trailing commas,
// unquoted names, NaN, bad UTF-8, unknown and output-only fields; it reports every fault of the document's fields at
// once, with JSON pointers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/error.h"
#include "common/base/result.h"

namespace google::protobuf {
class Message;
class FieldDescriptor;
}  // namespace google::protobuf

namespace millrace::http {

// Fills `message` from a JSON object. snake_case names; int64 as a string of digits or an integer; enums by name; times
// RFC 3339 with an offset; null is an absent field. Pointers start with `pointer` ("#/listing" when the body is that
// field of a request). Errors: INVALID_JSON (line, column), UNKNOWN_FIELD, WRONG_TYPE, TIME_WITHOUT_OFFSET,
// INVALID_FORMAT, OUT_OF_RANGE, OUTPUT_ONLY.
Result<void> ReadJson(std::string_view text, google::protobuf::Message* message, std::string_view pointer = "#");
// Sets one scalar field, or adds to a repeated one, from a text: path and query parameters. The same errors.
Result<void> ReadText(std::string_view text, google::protobuf::Message* message,
                      const google::protobuf::FieldDescriptor* field, std::string_view pointer);
// Every plain field is printed, set or not; optional fields, messages and oneof members only if set; next_page_token
// only if not empty. 64-bit integers are strings, enums names, times UTC with Z. `indent`: for people.
std::string WriteJson(const google::protobuf::Message& message, bool indent = false);
// A JSON string with its quotes.
std::string JsonString(std::string_view text);

}  // namespace millrace::http
