// SPDX-License-Identifier: Apache-2.0
// What one call from a service to another costs by each transport: CPU time of both sides together, in rounds that take
// turns, so that whatever else the machine does falls on all of them; one call after another, and many at once. hop_bench [CALLS].
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <vector>

#include "common/rpc/channel.h"
#include "millrace/runtime/v1/runtime.pb.h"
#include "tests/support/loop.h"
#include "tests/support/role_certificates.h"

namespace millrace {
namespace {

constexpr int kRounds = 9;
constexpr int kAtOnce[] = {1, 32};

double CpuMicros() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Way {
  const char* name;
  std::unique_ptr<rpc::GrpcServer> server;
  std::unique_ptr<rpc::Channel> channel;
  std::vector<double> micros[2];  // by kAtOnce
};

Task<void> Ask(rpc::Channel* channel, int calls, bool* good) {
  for (int i = 0; i < calls; ++i) {
    CallContext context = CallContext::ForService("operations");
    context.deadline = WallNow() + std::chrono::seconds(60);
    runtime::v1::HeadRequest request;
    Result<runtime::v1::HeadResponse> answer = co_await rpc::Call<runtime::v1::HeadResponse>(
        *channel, "millrace.runtime.v1.Runtime.Head", std::move(context), std::move(request));
    *good = *good && answer.has_value();
  }
}

Task<void> Stop(rpc::GrpcServer* server) { co_await server->Shutdown(std::chrono::seconds(1)); }

int Main(int calls) {
  test::Loop loop;
  test::RoleCertificates certificates;
  rpc::Service service("escrow");
  service.On<runtime::v1::HeadRequest, runtime::v1::HeadResponse>(
      "millrace.runtime.v1.Runtime.Head",
      [](CallContext, runtime::v1::HeadRequest) -> Task<Result<runtime::v1::HeadResponse>> {
        co_return runtime::v1::HeadResponse();
      });
  rpc::Access plain;
  plain.token = "an internal secret of the usual length";
  std::vector<Way> ways;
  ways.push_back({"local", nullptr, rpc::LocalChannel(service), {}});
  for (const auto& [name, access] :
       {std::pair{"gRPC", plain}, std::pair{"gRPC over TLS", certificates.For({"escrow", "operations"})}}) {
    auto server = std::make_unique<rpc::GrpcServer>(loop.executor(), "127.0.0.1:0", access);
    server->Add(service);
    Result<int> port = server->Start();
    if (!port) return 1;
    auto channel = rpc::GrpcChannel(loop.executor(), "127.0.0.1:" + std::to_string(*port), access, "escrow");
    ways.push_back({name, std::move(server), std::move(channel), {}});
  }
  bool good = true;
  for (int round = -1; round < kRounds; ++round) {  // the first one connects and warms up
    for (Way& way : ways) {
      for (size_t shape = 0; shape < std::size(kAtOnce); ++shape) {
        double begin = CpuMicros();
        int each = calls / kAtOnce[shape];
        for (int i = 0; i < kAtOnce[shape]; ++i) loop.Start(Ask(way.channel.get(), each, &good));
        loop.Run();
        if (round >= 0) way.micros[shape].push_back((CpuMicros() - begin) / (each * kAtOnce[shape]));
      }
    }
  }
  for (Way& way : ways) {
    for (size_t shape = 0; shape < std::size(kAtOnce); ++shape) {
      std::vector<double>& micros = way.micros[shape];
      std::ranges::sort(micros);
      std::printf("%-14s %2d at once %7.1f us of CPU a call (median of %d rounds of %d; %.1f to %.1f)\n", way.name,
                  kAtOnce[shape], micros[kRounds / 2], kRounds, calls, micros.front(), micros.back());
    }
    way.channel.reset();
    if (way.server) {
      loop.Start(Stop(way.server.get()));
      loop.Run();
    }
  }
  return good ? 0 : 1;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::Main(argc > 1 ? std::atoi(argv[1]) : 1000); }
