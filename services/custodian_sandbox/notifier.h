// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "common/async/task.h"
#include "services/custodian_sandbox/bank.h"

namespace millrace::custodian {

// Tells the customer of transfers until he answers 2xx: at once, then after 1 s, 5 s, 30 s, 2 min, 10 min and each
// hour. What is due stands in PostgreSQL, so a killed bank goes on where it was. Also ends PENDING pay-outs. Lives on
// the loop.
class Notifier {
 public:
  // `url` empty: notices are kept and not sent. `secret`: whsec_….
  Notifier(Executor executor, Bank& bank, std::string url, std::string secret);
  void Start();
  // There may be something due.
  void Signal();
  // Waits until deliveries under way have ended.
  Task<void> Stop();

 private:
  struct State;
  static Task<void> Run(std::shared_ptr<State> state);
  static Task<void> Deliver(std::shared_ptr<State> state, Notice notice);
  std::shared_ptr<State> state_;
};

}  // namespace millrace::custodian
