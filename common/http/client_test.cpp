// SPDX-License-Identifier: Apache-2.0
// The client against servers that are sound, and against such that are not.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "common/http/http.h"
#include "tests/support/certificates.h"
#include "tests/support/temporary_folder.h"

namespace millrace::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct PeerOptions {
  test::Authority::Pair pair;  // empty: plain HTTP
  std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
  int version_max = TLS1_3_VERSION;
  bool says_goodbye = true;  // close_notify
};

// A server that gives every connection the same answer once the request's header is there.
class Peer {
 public:
  explicit Peer(PeerOptions options) : options_(std::move(options)), context_(nullptr, SSL_CTX_free) {
    if (!options_.pair.key.empty()) MakeContext();
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~Peer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string port() const { return std::to_string(port_); }
  int connections() const { return connections_; }
  std::string name_asked() {
    std::lock_guard lock(mutex_);
    return name_asked_;
  }
  std::string request() {
    std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  void MakeContext() {
    context_.reset(SSL_CTX_new(TLS_server_method()));
    std::string certificate = folder_.Write("certificate.pem", options_.pair.certificate);
    std::string key = folder_.Write("key.pem", options_.pair.key);
    EXPECT_EQ(SSL_CTX_use_certificate_chain_file(context_.get(), certificate.c_str()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context_.get(), key.c_str(), SSL_FILETYPE_PEM), 1);
    SSL_CTX_set_security_level(context_.get(), 0);  // the old versions are offered to be refused
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_.get(), options_.version_max);
  }
  void Run() {
    while (true) {
      int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      ++connections_;
      timeval patience{5, 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      if (context_) {
        Secure(fd);
      } else {
        Plain(fd);
      }
      close(fd);
    }
  }
  template <class Read>
  bool AwaitHead(Read read) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == text.npos && !text.starts_with('\x16')) {  // that begins a handshake
      auto count = read(buffer, sizeof buffer);
      if (count <= 0) return false;
      text.append(buffer, static_cast<size_t>(count));
    }
    std::lock_guard lock(mutex_);
    if (!text.starts_with('\x16')) request_ = text;
    return true;
  }
  void Plain(int fd) {
    bool asked = AwaitHead([&](char* buffer, size_t size) { return recv(fd, buffer, size, 0); });
    if (asked) send(fd, options_.answer.data(), options_.answer.size(), MSG_NOSIGNAL);
  }
  void Secure(int fd) {
    std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context_.get()), SSL_free);
    SSL_set_fd(tls.get(), fd);
    if (SSL_accept(tls.get()) != 1) return;
    const char* name = SSL_get_servername(tls.get(), TLSEXT_NAMETYPE_host_name);
    {
      std::lock_guard lock(mutex_);
      name_asked_ = name ? name : "";
    }
    bool asked =
        AwaitHead([&](char* buffer, size_t size) { return SSL_read(tls.get(), buffer, static_cast<int>(size)); });
    if (asked) SSL_write(tls.get(), options_.answer.data(), static_cast<int>(options_.answer.size()));
    if (asked && options_.says_goodbye) SSL_shutdown(tls.get());
  }

  PeerOptions options_;
  test::TemporaryFolder folder_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  int listener_ = -1, port_ = 0;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;
  std::string name_asked_, request_;
  std::thread thread_;
};

class ClientTest : public testing::Test {
 protected:
  ClientTest() { options_.ca_file = folder_.Write("authority.pem", authority_.certificate()); }
  Result<Response> Get(const std::string& url) {
    Request request;
    request.method = "GET";
    request.target = "/x";
    return FetchBlocking(url, request, options_);
  }
  PeerOptions Secure(std::vector<std::string> names = {"DNS:localhost", "IP:127.0.0.1"}) {
    PeerOptions peer;
    test::CertificateOptions certificate;
    certificate.alternatives = std::move(names);
    peer.pair = authority_.Sign(certificate);
    return peer;
  }
  void ExpectUntrusted(PeerOptions peer_options, const std::string& host = "localhost") {
    Peer peer(std::move(peer_options));
    Result<Response> response = Get("https://" + host + ":" + peer.port());
    ASSERT_FALSE(response);
    EXPECT_EQ(response.error().code, ErrorCode::kUnavailable);
    EXPECT_NE(response.error().cause.find("TLS with"), std::string::npos) << response.error().cause;
    EXPECT_EQ(peer.request(), "");
  }

  test::Authority authority_;
  test::TemporaryFolder folder_;
  FetchOptions options_;
};

TEST_F(ClientTest, SpeaksTlsWithAHostItCanVerify) {
  Peer peer(Secure());
  Result<Response> response = Get("https://localhost:" + peer.port() + "/base/");
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->body, "ok");
  EXPECT_EQ(peer.name_asked(), "localhost");
  EXPECT_TRUE(peer.request().starts_with("GET /base/x HTTP/1.1\r\nHost: localhost:" + peer.port() + "\r\n"));
  response = Get("https://127.0.0.1:" + peer.port());
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(peer.name_asked(), "");  // addresses are no names
  PeerOptions twelve = Secure();
  twelve.version_max = TLS1_2_VERSION;
  Peer older(std::move(twelve));
  EXPECT_TRUE(Get("https://localhost:" + older.port()));
}

TEST_F(ClientTest, RefusesWhomItCannotVerify) {
  ExpectUntrusted(Secure({"DNS:example.com"}));
  ExpectUntrusted(Secure({"DNS:localhost"}), "127.0.0.1");
  PeerOptions old = Secure();
  old.version_max = TLS1_1_VERSION;
  ExpectUntrusted(std::move(old));
  test::CertificateOptions expired;
  expired.alternatives = {"DNS:localhost"};
  expired.valid_to_seconds = -60;
  PeerOptions peer;
  peer.pair = authority_.Sign(expired);
  ExpectUntrusted(std::move(peer));
  test::Authority stranger("test authority");  // the name of ours, another key
  test::CertificateOptions good;
  good.alternatives = {"DNS:localhost"};
  peer.pair = stranger.Sign(good);
  ExpectUntrusted(std::move(peer));
  options_.ca_file.clear();  // the system does not know ours
  ExpectUntrusted(Secure());
  ExpectUntrusted(PeerOptions());  // plain HTTP where TLS should be
  options_.ca_file = folder_.path() + "/missing.pem";
  Peer unheard(Secure());
  EXPECT_EQ(Get("https://localhost:" + unheard.port()).error().code, ErrorCode::kInternal);
}

TEST_F(ClientTest, ReadsChangedAuthoritiesAgain) {
  test::Authority second("second");
  test::CertificateOptions certificate;
  certificate.alternatives = {"DNS:localhost"};
  PeerOptions peer_options;
  peer_options.pair = second.Sign(certificate);
  Peer peer(std::move(peer_options));
  EXPECT_FALSE(Get("https://localhost:" + peer.port()));
  folder_.Write("authority.pem", authority_.certificate() + second.certificate());
  EXPECT_TRUE(Get("https://localhost:" + peer.port()));
}

TEST_F(ClientTest, ConnectsOnlyWhereItMay) {
  Peer peer((PeerOptions()));
  std::vector<std::string> asked;
  bool allow = false;
  options_.may_connect = [&](const std::string& ip) {
    asked.push_back(ip);
    return allow;
  };
  // However the address is written, the question is about the address.
  for (const char* host :
       {"localhost", "127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]"}) {
    asked.clear();
    Result<Response> response = Get("http://" + std::string(host) + ":" + peer.port());
    ASSERT_FALSE(response) << host;
    EXPECT_EQ(response.error().code, ErrorCode::kUnsafeUrl) << host << " " << response.error().cause;
    ASSERT_FALSE(asked.empty()) << host;
    EXPECT_TRUE(asked[0] == "127.0.0.1" || asked[0] == "::1") << host << " " << asked[0];
  }
  EXPECT_EQ(peer.connections(), 0);
  // One forbidden address among others is enough.
  options_.may_connect = [](const std::string& ip) { return ip != "127.0.0.1"; };
  EXPECT_EQ(Get("http://localhost:" + peer.port()).error().code, ErrorCode::kUnsafeUrl);
  EXPECT_EQ(peer.connections(), 0);
  options_.may_connect = [&](const std::string& ip) {
    asked.push_back(ip);
    return true;
  };
  asked.clear();
  EXPECT_TRUE(Get("http://127.0.0.1:" + peer.port()));
  EXPECT_EQ(asked, std::vector<std::string>{"127.0.0.1"});
}

TEST_F(ClientTest, TakesAnswersAsTheyAre) {
  PeerOptions redirect;
  redirect.answer =
      "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
      "Content-Length: 0\r\n\r\n";
  Peer elsewhere(redirect);
  Result<Response> response = Get("http://127.0.0.1:" + elsewhere.port());
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->status, 302);
  EXPECT_EQ(response->fields.Get("Location"), "http://127.0.0.1:1/");
  EXPECT_EQ(elsewhere.connections(), 1);

  PeerOptions long_answer;
  long_answer.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x');
  Peer talkative(long_answer);
  options_.answer_bytes = 1000;
  EXPECT_EQ(Get("http://127.0.0.1:" + talkative.port()).error().code, ErrorCode::kUnavailable);
  long_answer.answer =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') + "\r\n0\r\n\r\n";
  Peer chunked(long_answer);
  EXPECT_EQ(Get("http://127.0.0.1:" + chunked.port()).error().code, ErrorCode::kUnavailable);
  options_.answer_bytes = 1001;
  response = Get("http://127.0.0.1:" + talkative.port());
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->body.size(), 1001u);
}

TEST_F(ClientTest, SeesWhenAnAnswerWasCutOff) {
  PeerOptions whole = Secure();
  whole.answer = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
  PeerOptions cut = whole;
  cut.says_goodbye = false;
  Peer sound(std::move(whole)), attacked(std::move(cut));
  Result<Response> response = Get("https://localhost:" + sound.port());
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->body, "until the end");
  EXPECT_EQ(Get("https://localhost:" + attacked.port()).error().code, ErrorCode::kUnavailable);
}

TEST_F(ClientTest, SendsNoLineThatItWasNotAskedFor) {
  Peer peer((PeerOptions()));
  std::string base = "http://127.0.0.1:" + peer.port();
  Request request;
  request.method = "GET";
  request.target = "/a HTTP/1.1\r\nX-Smuggled: 1";
  EXPECT_EQ(FetchBlocking(base, request, options_).error().code, ErrorCode::kInternal);
  request.target = "/a";
  request.fields.Set("X-A", "1\r\nX-Smuggled: 1");
  EXPECT_TRUE(FetchBlocking(base, request, options_));
  EXPECT_EQ(peer.request().find("\r\nX-Smuggled"), std::string::npos);
  for (const char* url :
       {"ftp://a", "https://", "http://a:b", "http://a:99999", "http://user@a", "http://a b", "http://:80"}) {
    EXPECT_EQ(Get(url).error().code, ErrorCode::kInternal) << url;
  }
}

TEST_F(ClientTest, GivesUpInTime) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);  // accepts, and never says a word
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 4), 0);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  options_.timeout = milliseconds(100);
  std::string place = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  EXPECT_EQ(Get("http://" + place).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(Get("https://" + place).error().code, ErrorCode::kDeadlineExceeded);
  close(listener);
  options_.timeout = seconds(5);
  EXPECT_EQ(Get("https://" + place).error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace millrace::http
