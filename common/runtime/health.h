// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>

namespace millrace::runtime {

// Whether a process is ready: every module says what it needs and whether that is there. Lives on the loop.
class Health {
 public:
  struct Part {
    std::string module, dependency;  // "escrow", "database"
    bool ready = false;
    std::string detail;  // why not; nothing secret
  };
  using Look = std::function<Part()>;  // from memory: never waits

  // Returns a handle for Forget.
  int Watch(Look look);
  void Forget(int handle) { looks_.erase(handle); }
  // Not ready from now on, whatever the parts say.
  void Drain() { draining_ = true; }
  void Started() { started_ = true; }

  bool ready() const;
  // Of one module, for its gRPC health.
  bool ready(const std::string& module) const;
  // {"ready":true,"state":"SERVING","parts":[{"module":…,"dependency":…,"ready":…,"detail":…}]}
  std::string Json() const;

 private:
  std::map<int, Look> looks_;
  int next_ = 0;
  bool draining_ = false, started_ = false;
};

}  // namespace millrace::runtime
