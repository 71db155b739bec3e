// SPDX-License-Identifier: Apache-2.0
// A client of gRPC as callers outside write them: blocking, with metadata of its choice. For tests.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/rpc/metadata.h"
#include "common/rpc/status.h"

namespace millrace::rpc {

struct EdgeReply {
  WireStatus status;
  std::string message;  // serialized
  std::multimap<std::string, std::string> trailers;

  bool ok() const { return status.code == 0; }
  std::string Trailer(const std::string& name) const;  // empty if there is none
};

class EdgeClient {
 public:
  // `ca_file`: PEM, for TLS; `host` is the name that the certificate must have.
  explicit EdgeClient(const std::string& address, const std::string& ca_file = {}, const std::string& host = {});
  ~EdgeClient();
  // `path` is "/package.Service/Method". A negative `timeout` sets no deadline.
  EdgeReply Call(const std::string& path, const std::string& message, const std::vector<MetadataPair>& metadata = {},
                 std::chrono::milliseconds timeout = std::chrono::seconds(30));
  // Sends each message on one stream, waits for an answer to each; ends it.
  std::vector<std::string> Converse(const std::string& path, const std::vector<std::string>& messages);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::rpc
