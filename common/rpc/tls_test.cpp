// SPDX-License-Identifier: Apache-2.0
// Who gets into a service's port, and who does not.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "common/rpc/channel.h"
#include "millrace/escrow/v1/escrow.pb.h"
#include "millrace/events/v1/events.pb.h"
#include "millrace/runtime/v1/runtime.pb.h"
#include "tests/support/loop.h"
#include "tests/support/role_certificates.h"

namespace millrace::rpc {
namespace {

using runtime::v1::HeadRequest;
using runtime::v1::HeadResponse;
using namespace std::chrono_literals;

constexpr const char* kHead = "millrace.runtime.v1.Runtime.Head";
constexpr const char* kHold = "millrace.escrow.v1.EscrowService.Hold";
constexpr const char* kToken = "an internal secret";

class TlsTest : public testing::Test {
 protected:
  TlsTest() : service_("escrow") {
    service_.On<HeadRequest, HeadResponse>(
        kHead, [](CallContext, HeadRequest) -> Task<Result<HeadResponse>> { co_return HeadResponse(); });
    service_.On<escrow::v1::HoldRequest, escrow::v1::Escrow>(
        kHold, [this](CallContext, escrow::v1::HoldRequest) -> Task<Result<escrow::v1::Escrow>> {
          ++holds_;
          co_return escrow::v1::Escrow();
        });
    Serve(certificates_.For({"escrow"}, kToken));
  }
  ~TlsTest() override { Run(server_->Shutdown(1000ms)); }

  void Serve(Access access) {
    server_ = std::make_unique<GrpcServer>(loop_.executor(), "127.0.0.1:0", std::move(access));
    server_->Add(service_);
    Result<int> port = server_->Start();
    ASSERT_TRUE(port) << port.error().cause;
    port_ = *port;
  }
  void Run(Task<void> task) {
    loop_.Start(std::move(task));
    loop_.Run();
  }
  // What the caller gets: nothing, or the error's code.
  template <class Response, class Request>
  std::optional<ErrorCode> Ask(Access access, const char* method, const std::string& as, Request request,
                               const std::string& service = "escrow") {
    auto channel = GrpcChannel(loop_.executor(), "127.0.0.1:" + std::to_string(port_), std::move(access), service);
    std::optional<ErrorCode> code;
    auto ask = [&](CallContext c, Request r) -> Task<void> {
      Result<Response> answer = co_await Call<Response>(*channel, method, std::move(c), std::move(r));
      if (!answer) code = answer.error().code;
    };
    CallContext context = CallContext::ForService(as);
    context.deadline = WallNow() + 10s;
    Run(ask(std::move(context), std::move(request)));
    return code;
  }
  std::optional<ErrorCode> Head(Access access, const std::string& as) {
    return Ask<HeadResponse>(std::move(access), kHead, as, HeadRequest());
  }

  test::Loop loop_;
  test::RoleCertificates certificates_;
  Service service_;
  std::unique_ptr<GrpcServer> server_;
  int port_ = 0;
  int holds_ = 0;
};

TEST_F(TlsTest, ACertificateOfTheSameAuthorityIsLetIn) {
  EXPECT_EQ(Head(certificates_.For({"credit"}), "credit"), std::nullopt) << "no token is needed";
}

TEST_F(TlsTest, PlaintextIsNot) {
  Access plain;
  plain.token = kToken;
  EXPECT_EQ(Head(plain, "credit"), ErrorCode::kUnavailable) << "even with the right token";
}

TEST_F(TlsTest, NobodyIsLetInWithoutACertificate) {
  // A client that trusts the authority but shows nothing: the server asks for a certificate and hangs up. The client
  // would wait for ever.
  std::string openssl = "timeout 60 openssl s_client -connect 127.0.0.1:" + std::to_string(port_) + " -CAfile " +
                        certificates_.path() + "/ca.pem -servername escrow.millrace.internal -alpn h2 -ign_eof" +
                        " -verify_return_error </dev/null 2>&1";
  FILE* run = popen(openssl.c_str(), "r");
  ASSERT_TRUE(run);
  std::string said;
  char part[512];
  while (size_t got = fread(part, 1, sizeof part, run)) said.append(part, got);
  EXPECT_NE(WEXITSTATUS(pclose(run)), 124) << "the server kept the connection: " << said;
  EXPECT_NE(said.find("Verification: OK"), said.npos) << said;
  EXPECT_NE(said.find("Acceptable client certificate CA names"), said.npos) << said;

  int plain = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port_));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(plain, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  ASSERT_GT(send(plain, kPreface.data(), kPreface.size(), MSG_NOSIGNAL), 0);
  timeval patience{10, 0};
  setsockopt(plain, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::string answered;
  for (ssize_t got; (got = recv(plain, part, sizeof part, 0)) > 0;) answered.append(part, static_cast<size_t>(got));
  close(plain);
  EXPECT_EQ(answered.find("\x04"), answered.npos) << "no SETTINGS frame";
}

TEST_F(TlsTest, AnotherAuthorityIsNot) {
  test::RoleCertificates others;
  EXPECT_EQ(Head(others.For({"credit"}), "credit"), ErrorCode::kUnavailable);
  // The client trusts us, but we do not know who signed it.
  Access mixed = others.For({"credit"});
  mixed.ca = certificates_.path() + "/ca.pem";
  EXPECT_EQ(Head(mixed, "credit"), ErrorCode::kUnavailable);
}

// A pair signed by the folder's own authority with times of its choice.
Access WithTimes(const test::RoleCertificates& folder, const char* role, crypto::Validity validity) {
  Access access = folder.For({role});
  auto read = [](const std::string& path) {
    std::ifstream in(path);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  crypto::KeyPair authority{read(access.ca), read(folder.path() + "/ca.key")};
  auto pair = crypto::IssueCertificate(authority, {InternalName(role)}, validity);
  access.certificate = folder.path() + "/timed.pem";
  access.key = folder.path() + "/timed.key";
  std::ofstream(access.certificate) << pair->certificate;
  std::ofstream(access.key) << pair->key;
  return access;
}

TEST_F(TlsTest, AnExpiredCertificateIsNot) {
  Time now = WallNow();
  EXPECT_EQ(Head(WithTimes(certificates_, "credit", {now - 48h, now - 1h}), "credit"), ErrorCode::kUnavailable);
}

TEST_F(TlsTest, NorIsOneThatIsNotYetValid) {
  Time now = WallNow();
  EXPECT_EQ(Head(WithTimes(certificates_, "credit", {now + 24h, now + 48h}), "credit"), ErrorCode::kUnavailable);
}

TEST_F(TlsTest, ARoleCallsOnlyWhatTheContractLetsIt) {
  escrow::v1::HoldRequest request;
  request.set_booking_id(FormatId("bkg", Uuid::New()));
  request.set_buyer_id(FormatId("org", Uuid::New()));
  request.set_provider_id(FormatId("org", Uuid::New()));
  for (auto* money : {request.mutable_price(), request.mutable_deposit()}) {
    money->set_amount(1);
    money->set_currency("CNY");
  }
  request.mutable_expire_time()->set_seconds(2'000'000'000);
  EXPECT_EQ(Ask<escrow::v1::Escrow>(certificates_.For({"credit"}), kHold, "credit", request),
            ErrorCode::kInsufficientScope);
  EXPECT_EQ(Ask<escrow::v1::Escrow>(certificates_.For({"credit"}), kHold, "operations", request),
            ErrorCode::kInsufficientScope)
      << "another's name in the context";
  EXPECT_EQ(Ask<escrow::v1::Escrow>(certificates_.For({}), kHold, "operations", request), ErrorCode::kInsufficientScope)
      << "no role's name in the certificate";
  EXPECT_EQ(holds_, 0);
  EXPECT_EQ(Ask<escrow::v1::Escrow>(certificates_.For({"operations"}), kHold, "operations", request), std::nullopt);
  EXPECT_EQ(holds_, 1);
}

TEST_F(TlsTest, AServerOfAnotherRoleIsNotBelieved) {
  EXPECT_EQ(Ask<HeadResponse>(certificates_.For({"credit"}), kHead, "credit", HeadRequest(), "listing"),
            ErrorCode::kUnavailable);
}

TEST_F(TlsTest, ARenewedCertificateIsTakenUpWithoutARestart) {
  // The server's pair is replaced by one of another authority: callers of the new authority get in, those of the old
  // do not.
  Access old_caller = certificates_.For({"credit"});
  ASSERT_EQ(Head(old_caller, "credit"), std::nullopt);
  test::RoleCertificates next;
  Access next_caller = next.For({"credit"}), next_server = next.For({"escrow"});
  Access here = certificates_.For({"escrow"});
  namespace fs = std::filesystem;
  fs::copy_file(old_caller.ca, certificates_.path() + "/old-ca.pem");
  fs::copy_file(next_server.key, here.key, fs::copy_options::overwrite_existing);
  fs::copy_file(next_server.certificate, here.certificate, fs::copy_options::overwrite_existing);
  fs::copy_file(next_server.ca, here.ca, fs::copy_options::overwrite_existing);
  old_caller.ca = certificates_.path() + "/old-ca.pem";
  std::optional<ErrorCode> code = ErrorCode::kUnavailable;
  for (Time end = WallNow() + 20s; code && WallNow() < end;) code = Head(next_caller, "credit");
  EXPECT_EQ(code, std::nullopt);
  EXPECT_EQ(Head(old_caller, "credit"), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace millrace::rpc
