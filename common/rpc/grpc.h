// SPDX-License-Identifier: Apache-2.0
// What both gRPC sides share. Only files of this folder include it.
#pragma once

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <memory>
#include <string>

#include "common/rpc/channel.h"
#include "common/rpc/status.h"

namespace millrace::rpc {

inline constexpr int kGrpcMessageBytes = 80 * 1024 * 1024;
// Details of an error with all its violations.
inline constexpr int kGrpcMetadataBytes = 4 * 1024 * 1024;
inline constexpr int kGrpcKeepaliveMillis = 20'000;
inline constexpr int kGrpcKeepaliveTimeoutMillis = 5'000;

// Turns Abseil's mutex deadlock detection off, which costs about 10 µs a call in Debian's build. Any number of times.
void PrepareGrpc();
grpc::ByteBuffer ToBuffer(const Message& message);
// False if the bytes are no such message.
bool FromBuffer(grpc::ByteBuffer* buffer, Message* message);
// An empty message of a generated type.
std::unique_ptr<Message> NewMessage(const google::protobuf::Descriptor* descriptor);
grpc::Status ToGrpc(const WireStatus& status);
// By certificates where the access has them, else plaintext. Files that change are read again within a second or two,
// for connections made from then on.
std::shared_ptr<grpc::ChannelCredentials> ClientCredentials(const Access& access);
std::shared_ptr<grpc::ServerCredentials> MutualServerCredentials(const Access& access);
// A server that asks its callers for no certificate.
std::shared_ptr<grpc::ServerCredentials> PublicServerCredentials(const std::string& certificate,
                                                                 const std::string& key);

}  // namespace millrace::rpc
