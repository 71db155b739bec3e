// SPDX-License-Identifier: Apache-2.0
// Webhook signatures: "secret \n id \n timestamp \n signatures \n body".
#include "common/crypto/crypto.h"
#include "tests/fuzz/fuzz.h"

namespace millrace::crypto {
namespace {

using fuzz::Must;

void Run(std::string_view input) {
  std::string secret = fuzz::Part(&input), id = fuzz::Part(&input), timestamp = fuzz::Part(&input),
              signatures = fuzz::Part(&input), body(input);
  constexpr int64_t kNow = 1'700'000'000;
  bool taken = VerifyWebhook(secret, id, timestamp, signatures, body, kNow);
  std::string now = std::to_string(kNow);
  std::string good = SignWebhook(secret, id, kNow, body);
  Must(!taken || signatures.find("v1,") != signatures.npos, "a signature names its version");
  if (secret.empty() || id.empty()) {
    return Must(!taken && !VerifyWebhook(secret, id, now, good, body, kNow), "no secret and no id sign nothing");
  }
  Must(VerifyWebhook(secret, id, now, good, body, kNow), "what is signed is verified");
  Must(VerifyWebhook(secret, id, now, signatures + " " + good, body, kNow), "any of several signatures will do");
  Must(!VerifyWebhook(secret, id, now, good, body + "x", kNow), "a changed body is not");
  Must(!VerifyWebhook(secret, id, now, good, body, kNow + 301), "nor an old one");
  Must(!VerifyWebhook(secret, id, std::to_string(kNow + 1), good, body, kNow), "nor one of another time");
  Must(!VerifyWebhook(secret, id + "x", now, good, body, kNow), "nor one under another id");
}

}  // namespace
}  // namespace millrace::crypto

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  millrace::crypto::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
