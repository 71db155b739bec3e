// SPDX-License-Identifier: Apache-2.0
// The server in TLS.
#include "common/http/tls.h"

#include <gtest/gtest.h>

#include "common/http/raw_socket.h"
#include "common/http/server_world.h"
#include "tests/support/certificates.h"
#include "tests/support/eventually.h"
#include "tests/support/temporary_folder.h"

namespace millrace::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Answers with the request's body twice over.
Task<Response> Handle(Request request) {
  Response response;
  response.fields.Set("Content-Type", "text/plain");
  response.body = request.method + request.body + request.body;
  co_return response;
}

class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    Place("localhost");
    ServerOptions options;
    options.tls_certificate = folder_.path() + "/certificate.pem";
    options.tls_key = folder_.path() + "/key.pem";
    options.header_timeout = seconds(1);
    world_ = std::make_unique<ServerWorld>(options, Handle);
    fetch_.ca_file = folder_.Write("authority.pem", authority_.certificate());
  }
  // A certificate of that name for localhost.
  void Place(const std::string& name) {
    test::CertificateOptions certificate;
    certificate.name = name;
    certificate.alternatives = {"DNS:localhost"};
    auto pair = authority_.Sign(certificate);
    folder_.Write("key.pem", pair.key);
    folder_.Write("certificate.pem", pair.certificate);
  }
  Result<Response> Post(std::string body) {
    Request request;
    request.method = "POST";
    request.target = "/";
    request.body = std::move(body);
    return FetchBlocking(world_->url("https"), request, fetch_);
  }
  struct Seen {
    bool connected = false;
    std::string protocol, cipher, version, name, fault;
  };
  // A handshake with what the caller sets.
  Seen Shake(std::function<void(SSL*)> prepare) {
    Seen seen;
    Socket socket(world_->port());
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    SSL_CTX_set_security_level(context.get(), 0);
    std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls.get(), socket.fd());
    prepare(tls.get());
    seen.connected = SSL_connect(tls.get()) == 1;
    if (!seen.connected) {
      seen.fault = TlsFault();
      return seen;
    }
    const unsigned char* protocol = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(tls.get(), &protocol, &size);
    if (size) seen.protocol.assign(reinterpret_cast<const char*>(protocol), size);
    seen.cipher = SSL_get_cipher_name(tls.get());
    seen.version = SSL_get_version(tls.get());
    std::unique_ptr<X509, decltype(&X509_free)> peer(SSL_get1_peer_certificate(tls.get()), X509_free);
    char name[100] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName, name, sizeof name);
    seen.name = name;
    return seen;
  }

  test::Authority authority_;
  test::TemporaryFolder folder_;
  std::unique_ptr<ServerWorld> world_;
  FetchOptions fetch_;
};

TEST_F(TlsTest, CarriesRequestsAndAnswersOfAnyLength) {
  for (size_t size : {0u, 1u, 2047u, 2048u, 2049u, 16384u, 40000u, 1000000u}) {
    Result<Response> response = Post(std::string(size, 'b'));
    ASSERT_TRUE(response) << size << " " << response.error().cause;
    EXPECT_EQ(response->body.size(), 4 + 2 * size);
  }
}

TEST_F(TlsTest, SpeaksOnlyWhatIsSound) {
  Seen seen = Shake([](SSL*) {});
  EXPECT_EQ(seen.version, "TLSv1.3") << seen.fault;
  seen = Shake([](SSL* tls) { SSL_set_max_proto_version(tls, TLS1_2_VERSION); });
  EXPECT_EQ(seen.version, "TLSv1.2") << seen.fault;
  EXPECT_NE(seen.cipher.find("ECDHE"), std::string::npos) << seen.cipher;
  EXPECT_FALSE(Shake([](SSL* tls) { SSL_set_max_proto_version(tls, TLS1_1_VERSION); }).connected);
  EXPECT_FALSE(Shake([](SSL* tls) {
                 SSL_set_max_proto_version(tls, TLS1_2_VERSION);
                 SSL_set_cipher_list(tls, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA");
               }).connected);
  auto offer = [](std::string protocols) {
    return [protocols](SSL* tls) {
      SSL_set_alpn_protos(tls, reinterpret_cast<const unsigned char*>(protocols.data()),
                          static_cast<unsigned int>(protocols.size()));
    };
  };
  EXPECT_EQ(Shake(offer("\x02h2\x08http/1.1")).protocol, "http/1.1");
  seen = Shake(offer("\x02h2"));
  EXPECT_FALSE(seen.connected);
  EXPECT_NE(seen.fault.find("no application protocol"), std::string::npos) << seen.fault;
}

TEST_F(TlsTest, TellsPlainHttpThatItIsWrongHere) {
  Socket plain(world_->port());
  plain.Send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  std::string answer = plain.Receive();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << answer;
  EXPECT_NE(answer.find("https"), answer.npos);
  EXPECT_TRUE(plain.closed());
  Socket noise(world_->port());
  noise.Send("\x01\x02\x03\x04 what is this\r\n\r\n");
  noise.Receive();
  EXPECT_TRUE(noise.closed());
}

TEST_F(TlsTest, EndsHandshakesThatDoNotGoOn) {
  Socket silent(world_->port()), half(world_->port());
  half.Send("\x16\x03\x01\x02");
  EXPECT_EQ(silent.Receive(), "");
  EXPECT_TRUE(silent.closed());
  half.Receive();
  EXPECT_TRUE(half.closed());
  EXPECT_TRUE(Post("still here"));
}

TEST_F(TlsTest, TakesOverAChangedCertificate) {
  EXPECT_EQ(Shake([](SSL*) {}).name, "localhost");
  folder_.Write("certificate.pem", "not a certificate");
  std::this_thread::sleep_for(milliseconds(1600));
  EXPECT_EQ(Shake([](SSL*) {}).name, "localhost");  // the old one stays
  Place("second");
  EXPECT_TRUE(test::Eventually([&] { return Shake([](SSL*) {}).name == "second"; }));
  EXPECT_TRUE(Post("x"));
}

TEST(Tls, StartsOnlyWithACertificateAndItsKey) {
  test::TemporaryFolder folder;
  test::Authority authority;
  auto one = authority.Sign({}), other = authority.Sign({});
  boost::asio::io_context context;
  auto start = [&](const std::string& certificate, const std::string& key) {
    ServerOptions options;
    options.tls_certificate = certificate;
    options.tls_key = key;
    Server server(context.get_executor(), options, Handle);
    Result<int> port = server.Start();
    return port ? "" : port.error().cause;
  };
  std::string certificate = folder.Write("c.pem", one.certificate), key = folder.Write("k.pem", other.key);
  EXPECT_NE(start(certificate, key).find("k.pem"), std::string::npos);
  EXPECT_NE(start(certificate, ""), "");
  EXPECT_NE(start(folder.path() + "/missing.pem", key).find("missing.pem"), std::string::npos);
  folder.Write("k.pem", one.key);
  EXPECT_EQ(start(certificate, key), "");
}

}  // namespace
}  // namespace millrace::http
