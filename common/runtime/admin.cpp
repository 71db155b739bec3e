// SPDX-License-Identifier: Apache-2.0
#include "common/runtime/admin.h"

#include <cstdlib>

#include "common/http/json.h"
#include "common/telemetry/metrics.h"

namespace millrace::runtime {
namespace {

http::Response Text(int status, std::string_view media_type, std::string body) {
  http::Response response;
  response.status = status;
  response.fields.Set("Content-Type", std::string(media_type));
  response.fields.Set("Cache-Control", "no-store");
  response.body = std::move(body);
  return response;
}

http::Response Answer(const http::Request& request, const std::string& version, const Health& health) {
  if (request.method != "GET" && request.method != "HEAD") {
    http::Response response = Text(405, "text/plain", "GET and HEAD only\n");
    response.fields.Set("Allow", "GET, HEAD");
    return response;
  }
  if (request.path == "/metrics") return Text(200, telemetry::kMetricsMediaType, telemetry::MetricsText());
  if (request.path == "/livez") return Text(200, "text/plain", "alive\n");
  if (request.path == "/readyz") {
    bool ready = health.ready();
    int status = ready ? 200 : 503;
    if (request.query == "verbose" || request.query.starts_with("verbose=")) {
      return Text(status, "application/json", health.Json());
    }
    return Text(status, "text/plain", ready ? "ready\n" : "not ready\n");
  }
  if (request.path == "/version") {
    return Text(200, "application/json", "{\"name\":\"millrace\",\"version\":" + http::JsonString(version) + "}\n");
  }
  return Text(404, "text/plain", "/metrics /livez /readyz?verbose /version\n");
}

}  // namespace

Admin::Admin(Executor executor, std::string address, std::string version, const Health& health) {
  telemetry::RegisterProcessMetrics(version);
  http::ServerOptions options;
  http::SetAddress(address, &options);
  options.connections_max = 64;
  http::Handler handler = [version, &health](http::Request request) -> Task<http::Response> {
    co_return Answer(request, version, health);
  };
  server_ = std::make_unique<http::Server>(std::move(executor), std::move(options), std::move(handler));
}

Admin::~Admin() = default;

Result<int> Admin::Start() { return server_->Start(); }

Task<void> Admin::Drain() { co_await server_->Drain(std::chrono::milliseconds(100)); }

}  // namespace millrace::runtime
