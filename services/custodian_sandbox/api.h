// SPDX-License-Identifier: Apache-2.0
// The bank's HTTP/JSON interface; README.md lists its routes.
#pragma once

#include <functional>
#include <string>

#include "common/http/http.h"
#include "services/custodian_sandbox/bank.h"

namespace millrace::custodian {

// How the bank misbehaves, for the next `remaining` calls under /v1, or until it is changed if that was 0 from the
// start. Kept in memory: a restarted bank behaves.
struct Fault {
  enum class Mode { kNone, kSilent, kRefuse, kLoseAnswer } mode = Mode::kNone;
  int remaining = 0;
  bool until_changed = false;
};

class Api {
 public:
  // `wrote` is called after something that leaves a notice.
  Api(Bank& bank, std::string key, std::function<void()> wrote)
      : bank_(bank), key_(std::move(key)), wrote_(std::move(wrote)) {}

  Task<http::Response> Handle(http::Request request);
  // Calls that are held without an answer end.
  void Stop() { stopping_ = true; }

 private:
  struct Reply;
  bool Authorized(const http::Request& request) const;
  Fault::Mode TakeFault();
  Task<Reply> Route(http::Request request);
  Task<Reply> GetAccount();
  Task<Reply> ListPayIns(std::string query);
  Task<Reply> GetPayIn(std::string id);
  Task<Reply> GetPayOut(std::string id);
  Task<Reply> CreatePayOut(std::string body);
  Task<Reply> Transfer(std::string body);
  Task<Reply> GetState();
  Reply SetFault(const std::string& body);

  Bank& bank_;
  std::string key_;
  std::function<void()> wrote_;
  Fault fault_;
  bool stopping_ = false;
};

}  // namespace millrace::custodian
