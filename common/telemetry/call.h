// SPDX-License-Identifier: Apache-2.0
// What the running code works for: the call that a log line, a statement or an outgoing request belongs to. Each thread
// has one; the suspension points of common/async carry it across. Invariant: a thread that returns to its loop or its
// queue works for nothing.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace millrace::telemetry {

struct Call {
  std::array<char, 55> traceparent{};  // W3C, version 00; zeros: none
  std::array<char, 30> request_id{};   // req_…; zeros: none
  bool traced() const { return traceparent[0] != 0; }
  std::string_view Traceparent() const { return {traceparent.data(), traced() ? traceparent.size() : 0}; }
  std::string_view RequestId() const { return {request_id.data(), request_id[0] ? request_id.size() : 0}; }
  std::string_view TraceId() const { return traced() ? Traceparent().substr(3, 32) : std::string_view(); }
  // What is no traceparent, or no request id of ours, is left out.
  static Call Of(std::string_view traceparent, std::string_view request_id);
};

namespace detail {
inline thread_local constinit Call current_call{};
}

inline Call& CurrentCall() { return detail::current_call; }

// Works for `call` until its end, then for what was before. Also the other way: CallScope(Call()) around a suspension
// point works for nothing while others run.
class CallScope {
 public:
  explicit CallScope(const Call& call) : before_(CurrentCall()) { CurrentCall() = call; }
  ~CallScope() { CurrentCall() = before_; }
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;
  const Call& before() const { return before_; }

 private:
  Call before_;
};

}  // namespace millrace::telemetry
