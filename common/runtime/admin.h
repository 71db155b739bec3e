// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "common/async/task.h"
#include "common/base/result.h"
#include "common/http/http.h"
#include "common/runtime/health.h"

namespace millrace::runtime {

// The operator's listener of a process, apart from the public edge: /metrics, /livez, /readyz (?verbose: JSON by part),
// /version. It shows no business data; still it belongs on loopback or an inner network.
class Admin {
 public:
  // `address` is host:port; both references outlive it.
  Admin(Executor executor, std::string address, std::string version, const Health& health);
  ~Admin();
  // The bound port. Errors: INTERNAL, with a cause that names the address.
  Result<int> Start();
  Task<void> Drain();

 private:
  std::unique_ptr<http::Server> server_;
};

}  // namespace millrace::runtime
