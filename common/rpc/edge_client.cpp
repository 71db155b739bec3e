// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/edge_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <fstream>
#include <iterator>

#include "common/rpc/grpc.h"

namespace millrace::rpc {
namespace {

grpc::ByteBuffer Bytes(const std::string& text) {
  grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Text(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string text;
  if (!buffer.Dump(&slices).ok()) return text;
  for (const grpc::Slice& slice : slices) text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return text;
}

bool Wait(grpc::CompletionQueue* queue) {
  void* tag = nullptr;
  bool ok = false;
  return queue->Next(&tag, &ok) && ok;
}

}  // namespace

struct EdgeClient::State {
  explicit State(std::shared_ptr<grpc::Channel> channel) : stub(std::move(channel)) {}
  grpc::GenericStub stub;
};

std::string EdgeReply::Trailer(const std::string& name) const {
  auto found = trailers.find(name);
  return found == trailers.end() ? "" : found->second;
}

EdgeClient::EdgeClient(const std::string& address, const std::string& ca_file, const std::string& host) {
  PrepareGrpc();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kGrpcMessageBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto credentials = grpc::InsecureChannelCredentials();
  if (!ca_file.empty()) {
    std::ifstream in(ca_file);
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = std::string(std::istreambuf_iterator<char>(in), {});
    credentials = grpc::SslCredentials(options);
    arguments.SetSslTargetNameOverride(host);
  }
  state_ = std::make_unique<State>(grpc::CreateCustomChannel(address, credentials, arguments));
}

EdgeClient::~EdgeClient() = default;

EdgeReply EdgeClient::Call(const std::string& path, const std::string& message,
                           const std::vector<MetadataPair>& metadata, std::chrono::milliseconds timeout) {
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  for (const MetadataPair& pair : metadata) context.AddMetadata(pair.name, pair.value);
  if (timeout.count() >= 0) context.set_deadline(std::chrono::system_clock::now() + timeout);
  auto call = state_->stub.PrepareUnaryCall(&context, path, Bytes(message), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->Finish(&answer, &status, nullptr);
  Wait(&queue);
  EdgeReply reply{{status.error_code(), status.error_message(), status.error_details()}, Text(answer), {}};
  for (const auto& [name, value] : context.GetServerTrailingMetadata()) {
    reply.trailers.emplace(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
  }
  return reply;
}

std::vector<std::string> EdgeClient::Converse(const std::string& path, const std::vector<std::string>& messages) {
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  auto stream = state_->stub.PrepareCall(&context, path, &queue);
  stream->StartCall(nullptr);
  std::vector<std::string> answers;
  bool good = Wait(&queue);
  for (const std::string& message : messages) {
    if (!good) break;
    stream->Write(Bytes(message), nullptr);
    good = Wait(&queue);
    grpc::ByteBuffer answer;
    stream->Read(&answer, nullptr);
    good = Wait(&queue) && good;
    if (good) answers.push_back(Text(answer));
  }
  stream->WritesDone(nullptr);
  Wait(&queue);
  grpc::Status status;
  stream->Finish(&status, nullptr);
  Wait(&queue);
  return answers;
}

}  // namespace millrace::rpc
