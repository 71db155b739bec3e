// SPDX-License-Identifier: Apache-2.0
// Strict JSON into a message of the contract, and out again: what was read is written so that it is read back as the
// same message.
#include "common/http/json.h"

#include <google/protobuf/util/message_differencer.h>

#include "common/http/json_parse.h"
#include "millrace/listing/v1/terms.pb.h"
#include "millrace/type/common.pb.h"
#include "tests/fuzz/fuzz.h"

namespace millrace::http {
namespace {

using fuzz::Must;

template <class Message>
void Run(std::string_view input) {
  Message message;
  if (!ReadJson(input, &message)) return;
  Must(IsWellFormed(input), "only UTF-8 is read");
  for (bool indent : {false, true}) {
    std::string text = WriteJson(message, indent);
    Message again;
    Result<void> read = ReadJson(text, &again);
    Must(read.has_value(), "what is written can be read");
    Must(google::protobuf::util::MessageDifferencer::Equals(message, again), "and is the same message");
    Must(WriteJson(again, indent) == text, "and is written the same");
  }
}

}  // namespace
}  // namespace millrace::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view input(reinterpret_cast<const char*>(data), size);
  millrace::http::Run<millrace::listing::v1::Capability>(input);  // times, lists, 64-bit integers
  millrace::http::Run<millrace::listing::v1::Calendar>(input);    // messages in messages
  millrace::http::Run<millrace::listing::v1::PricePlan>(input);   // enums
  millrace::http::Run<millrace::type::Place>(input);              // doubles
  return 0;
}
