// SPDX-License-Identifier: Apache-2.0
#include "services/custodian_sandbox/custodian.h"

#include <charconv>

namespace millrace::custodian {
namespace {

constexpr size_t kBodyBytes = 64 * 1024;
constexpr std::chrono::seconds kGrace{5};

}  // namespace

Custodian::Custodian(Executor executor, Options options)
    : executor_(std::move(executor)), options_(std::move(options)) {}

Result<int> Custodian::Start() {
  size_t colon = options_.address.rfind(':');
  if (colon == std::string::npos) return Fail(Error::Internal("not host:port: " + options_.address));
  http::ServerOptions listen;
  listen.address = options_.address.substr(0, colon);
  const char* end = options_.address.data() + options_.address.size();
  auto [at, error] = std::from_chars(options_.address.data() + colon + 1, end, listen.port);
  if (error != std::errc() || at != end || listen.port < 0 || listen.port > 65535) {
    return Fail(Error::Internal("not a port: " + options_.address));
  }
  listen.body_limit = [](std::string_view, std::string_view) { return kBodyBytes; };
  MILLRACE_CHECK(Bank::Prepare(options_.database_url, options_.account_number));
  bank_ = std::make_unique<Bank>(options_.database_url, options_.account_number);
  notifier_ = std::make_unique<Notifier>(executor_, *bank_, options_.notice_url, options_.notice_secret);
  api_ = std::make_unique<Api>(*bank_, options_.key, [this] { notifier_->Signal(); });
  server_ = std::make_unique<http::Server>(executor_, std::move(listen),
                                           [this](http::Request request) { return api_->Handle(std::move(request)); });
  Result<int> port = server_->Start();
  if (port) notifier_->Start();
  return port;
}

Task<void> Custodian::Stop() {
  api_->Stop();
  co_await server_->Drain(kGrace);
  co_await notifier_->Stop();
}

}  // namespace millrace::custodian
