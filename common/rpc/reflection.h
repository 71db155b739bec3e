// SPDX-License-Identifier: Apache-2.0
// Server reflection over the methods that callers outside may use. Only files of this folder include it.
#pragma once

#include <grpcpp/generic/async_generic_service.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/rpc/service.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"

namespace millrace::rpc {

// What reflection knows: services with the methods that `serves` picks, and every file that they need. Services without
// such a method, and all other methods, are left out of the files. Built once, read by any thread.
class PublicContract {
 public:
  PublicContract(const std::vector<const google::protobuf::FileDescriptor*>& files,
                 const std::function<bool(const MethodDescriptor*)>& serves);

  grpc::reflection::v1alpha::ServerReflectionResponse Answer(
      const grpc::reflection::v1alpha::ServerReflectionRequest& request) const;
  // Full names, without those of health and reflection.
  const std::vector<std::string>& services() const { return services_; }

 private:
  void Add(const google::protobuf::FileDescriptor* file, const std::function<bool(const MethodDescriptor*)>& serves);
  // The file that declares a symbol, or null if callers outside cannot see it.
  const google::protobuf::FileDescriptor* FileOf(const std::string& symbol) const;

  std::map<std::string, std::string> files_;  // name to serialized FileDescriptorProto
  std::vector<std::string> services_;
  std::function<bool(const MethodDescriptor*)> serves_;
};

// "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", and that of v1.
bool IsReflection(const std::string& path);
// Serves one stream of questions; owned by gRPC. The contract must outlive the server.
grpc::ServerGenericBidiReactor* ServeReflection(const PublicContract& contract);

}  // namespace millrace::rpc
