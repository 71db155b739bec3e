// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/health.h"

#include "common/http/json.h"

namespace millrace::runtime {

int Health::Watch(Look look) {
  looks_[++next_] = std::move(look);
  return next_;
}

bool Health::ready() const {
  if (!started_ || draining_) return false;
  for (const auto& [handle, look] : looks_) {
    if (!look().ready) return false;
  }
  return true;
}

bool Health::ready(const std::string& module) const {
  if (!started_ || draining_) return false;
  for (const auto& [handle, look] : looks_) {
    Part part = look();
    if (part.module == module && !part.ready) return false;
  }
  return true;
}

std::string Health::Json() const {
  std::string parts;
  for (const auto& [handle, look] : looks_) {
    Part part = look();
    parts += (parts.empty() ? "" : ",") + ("{\"module\":" + http::JsonString(part.module)) +
             ",\"dependency\":" + http::JsonString(part.dependency) + ",\"ready\":" + (part.ready ? "true" : "false") +
             ",\"detail\":" + http::JsonString(part.detail) + "}";
  }
  const char* state = draining_ ? "DRAINING" : started_ ? "SERVING" : "STARTING";
  return std::string("{\"ready\":") + (ready() ? "true" : "false") + ",\"state\":\"" + state + "\",\"parts\":[" +
         parts + "]}\n";
}

}  // namespace millrace::runtime
