// SPDX-License-Identifier: Apache-2.0
#include "common/rpc/grpc_call.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/health_check_service_interface.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <thread>

#include "common/async/pool.h"
#include "common/rpc/grpc.h"

namespace millrace::rpc {

InboundCall* InboundCall::Accept(const Executor& executor, const Serve& serve,
                                 grpc::GenericCallbackServerContext* context) {
  auto* call = new InboundCall(executor, &serve, context);
  call->self_.reset(call);
  boost::asio::post(executor, [call = call->self_] {
    if (!call->finished_) Spawn(call->executor_, (*call->serve_)(call), "rpc.serve");
  });
  return call;
}

InboundCall* InboundCall::Refuse(const Executor& executor, grpc::GenericCallbackServerContext* context,
                                 const WireStatus& status) {
  auto* call = new InboundCall(executor, nullptr, context);
  call->self_.reset(call);
  call->finished_ = true;
  call->Finish(ToGrpc(status));
  return call;
}

std::map<std::string, std::string, std::less<>> InboundCall::CopyHeaders() const {
  std::map<std::string, std::string, std::less<>> headers;
  for (const auto& [name, value] : context_->client_metadata()) {
    headers.emplace(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
  }
  return headers;
}

Time InboundCall::deadline() const {
  auto deadline = context_->deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return Time::max();
  return std::chrono::time_point_cast<Duration>(deadline);
}

Task<bool> InboundCall::Read() {
  bool read = false;
  std::function<void(std::function<void()>)> start = [this, &read](std::function<void()> resume) {
    on_read_ = [&read, resume = std::move(resume)](bool ok) {
      read = ok;
      resume();
    };
    StartRead(&request_);
  };
  std::shared_ptr<InboundCall> alive = self_;
  if (!finished_) co_await millrace::detail::Suspend(std::move(start));
  co_return read && !finished_;
}

bool InboundCall::TakeRequest(Message* message) {
  bool good = FromBuffer(&request_, message);
  request_.Clear();
  return good;
}

bool InboundCall::Begin(const std::vector<MetadataPair>& trailers) {
  if (finished_) return false;
  finished_ = true;
  for (const MetadataPair& pair : trailers) context_->AddTrailingMetadata(pair.name, pair.value);
  return true;
}

void InboundCall::Reply(const Message& response, const std::vector<MetadataPair>& trailers) {
  if (!Begin(trailers)) return;
  response_ = ToBuffer(response);
  StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
}

void InboundCall::Reply(const WireStatus& status, const std::vector<MetadataPair>& trailers) {
  if (Begin(trailers)) Finish(ToGrpc(status));
}

void InboundCall::OnReadDone(bool ok) { on_read_(ok); }

void InboundCall::OnCancel() {
  boost::asio::post(executor_, [call = self_] {
    if (call->finished_) return;
    call->finished_ = true;
    call->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "canceled"));
  });
}

Task<void> ShutDown(grpc::Server* server, std::chrono::milliseconds grace) {
  if (auto* health = server->GetHealthCheckService()) health->Shutdown();  // not serving, from now on
  std::thread stopper;
  std::function<void(std::function<void()>)> start = [server, grace, &stopper](std::function<void()> resume) {
    // Blocks until every call has ended, for which the loop is needed: never on the loop's thread.
    stopper = std::thread([server, grace, resume = std::move(resume)] {
      server->Shutdown(std::chrono::system_clock::now() + grace);
      resume();
    });
  };
  co_await millrace::detail::Suspend(std::move(start));
  stopper.join();
}

const MethodDescriptor* MethodOfPath(std::string path) {
  std::ranges::replace(path, '/', '.');
  return path.empty() ? nullptr : google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(path.substr(1));
}

}  // namespace millrace::rpc
