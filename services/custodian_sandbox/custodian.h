// SPDX-License-Identifier: Apache-2.0
// The whole bank: books, interface and notices.
#pragma once

#include <memory>
#include <string>

#include "common/http/http.h"
#include "services/custodian_sandbox/api.h"
#include "services/custodian_sandbox/bank.h"
#include "services/custodian_sandbox/notifier.h"

namespace millrace::custodian {

struct Options {
  std::string address = "127.0.0.1:8090";  // port 0: any free one
  std::string database_url;                // of a database that the login owns
  std::string key;                         // the bearer token of the customer
  std::string notice_url;                  // empty: notices are kept and not sent
  std::string notice_secret;               // whsec_…
  std::string account_number = "6217000000000000001";
};

class Custodian {
 public:
  Custodian(Executor executor, Options options);
  // Prepares the database (blocks) and listens; the port. Errors: INTERNAL, UNAVAILABLE.
  Result<int> Start();
  // Stops accepting, lets requests and deliveries end.
  Task<void> Stop();

 private:
  Executor executor_;
  Options options_;
  std::unique_ptr<Bank> bank_;
  std::unique_ptr<Notifier> notifier_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace millrace::custodian
