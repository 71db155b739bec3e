// SPDX-License-Identifier: Apache-2.0
// The real server over loopback, spoken to by raw sockets.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "common/http/http.h"
#include "common/http/raw_socket.h"
#include "common/http/server_world.h"

namespace millrace::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ServerTest : public testing::Test {
 protected:
  ServerTest() {
    options_.header_timeout = seconds(1);
    options_.body_timeout = seconds(1);
    options_.idle_timeout = seconds(2);
    options_.body_limit = [](std::string_view, std::string_view path) { return path == "/large" ? 3'000'000u : 1000u; };
    options_.admit = [this](Request head) { return Admit(std::move(head)); };
  }
  void SetUp() override {
    world_ = std::make_unique<ServerWorld>(options_, [this](Request request) { return Handle(std::move(request)); });
    port_ = world_->port();
  }
  void TearDown() override { world_.reset(); }
  // Answers with what it saw: "METHOD target|body|fields that must never come from a trailer".
  Task<Response> Handle(Request request) {
    ++handled_;
    if (request.path == "/slow") co_await Sleep(milliseconds(300));
    if (request.path == "/throws") throw std::runtime_error("secret cause");
    Response response;
    response.body = request.method + " " + request.target + "|" + request.body + "|" +
                    std::string(request.fields.Get("Authorization")) + "|" +
                    std::string(request.fields.Get("X-Tenant-Id"));
    response.fields.Set("X-Injected", "a\r\nSet-Cookie: b");
    if (request.path == "/large") response.body = std::to_string(request.body.size());
    if (request.path == "/huge") response.body = std::string(20'000'000, 'x');
    if (request.path == "/stream")
      response.stream = [this](std::shared_ptr<BodyWriter> writer) { return Stream(std::move(writer)); };
    co_return response;
  }
  Task<std::optional<Response>> Admit(Request head) {
    ++asked_;
    if (!head.fields.Has("X-Stranger")) co_return std::nullopt;
    Response refusal;
    refusal.status = 401;
    refusal.body = "who are you" + head.body;
    co_return refusal;
  }
  Task<void> Stream(std::shared_ptr<BodyWriter> writer) {
    bool more = true;
    for (int i = 0; more && i < 1000; ++i) {
      std::string line = "data: " + std::to_string(i) + "\n\n";
      more = co_await writer->Write(std::move(line));
      if (more) co_await Sleep(milliseconds(10));
    }
    ++streams_ended_;
  }
  std::string Talk(std::string_view text) {
    Socket socket(port_);
    socket.Send(text);
    std::string answer = socket.Receive();
    closed_ = socket.closed();
    return answer;
  }

  ServerOptions options_;
  std::unique_ptr<ServerWorld> world_;
  int port_ = 0;
  std::atomic<int> handled_ = 0, asked_ = 0, streams_ended_ = 0;
  bool closed_ = false;
};

struct Danger {
  const char* what;
  std::string text;
  const char* status = "400";
};

// Each is followed by a second request that must never be parsed.
TEST_F(ServerTest, RefusesWhatIsDangerousAndClosesWithNothingAfterItParsed) {
  const std::string kHost = "Host: a\r\n";
  const std::string kLong(9000, 'x');
  std::string trailers;
  for (int i = 0; i < 20000; ++i) trailers += "X-T: 1\r\n";
  const std::vector<Danger> kDangers = {
      {"TE gzip", "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: gzip\r\n\r\n"},
      {"TE xchunked", "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: xchunked\r\n\r\n"},
      {"TE chunked, gzip", "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked, gzip\r\n\r\n"},
      {"TE gzip, chunked", "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
      {"two TE",
       "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"TE gzip then CL", "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"},
      {"CL then TE gzip", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\nhello"},
      {"CL and TE chunked",
       "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"TE chunked and CL",
       "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
      {"chunked on 1.0", "POST / HTTP/1.0\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"20,000 trailers",
       "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + trailers + "\r\n"},
      {"long extension",
       "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n1;" + kLong + "\r\na\r\n0\r\n\r\n"},
      {"chunk size overflow",
       "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"},
      {"two equal CL", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
      {"CL 5, 5", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 5, 5\r\n\r\nhello"},
      {"two different CL", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
      {"CL +5", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: +5\r\n\r\nhello"},
      {"CL -1", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: -1\r\n\r\nhello"},
      {"CL 0x5", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 0x5\r\n\r\nhello"},
      {"CL 2^64", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 18446744073709551616\r\n\r\nhello"},
      {"obs-fold", "GET / HTTP/1.1\r\n" + kHost + "X-A: 1\r\n  2\r\n\r\n"},
      {"obs-fold tab", "GET / HTTP/1.1\r\n" + kHost + "X-A: 1\r\n\t2\r\n\r\n"},
      {"no Host", "GET / HTTP/1.1\r\nX-A: 1\r\n\r\n"},
      {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n"},
      {"two Host", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
      {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
      {"two Idempotency-Key",
       "POST / HTTP/1.1\r\n" + kHost + "Idempotency-Key: a\r\nidempotency-key: a\r\nContent-Length: 0\r\n\r\n"},
      {"two Authorization", "GET / HTTP/1.1\r\n" + kHost + "Authorization: a\r\nAuthorization: b\r\n\r\n"},
      {"two Content-Type",
       "POST / HTTP/1.1\r\n" + kHost + "Content-Type: a/b\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n"},
      {"GET with body", "GET / HTTP/1.1\r\n" + kHost + "Content-Length: 5\r\n\r\nhello"},
      {"GET with chunks", "GET / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"unknown method", "BREW / HTTP/1.1\r\n" + kHost + "\r\n", "405"},
      {"CONNECT", "CONNECT a:1 HTTP/1.1\r\n" + kHost + "\r\n"},
      {"absolute form", "GET http://a/ HTTP/1.1\r\n" + kHost + "\r\n"},
      {"asterisk form", "OPTIONS * HTTP/1.1\r\n" + kHost + "\r\n"},
      {"underscore", "GET / HTTP/1.1\r\n" + kHost + "Content_Length: 5\r\n\r\n"},
      {"bytes above 0x7F in a value", "GET / HTTP/1.1\r\n" + kHost + "X-A: \xC3\xA9\r\n\r\n"},
      {"bytes above 0x7F in the target", "GET /\xC3\xA9 HTTP/1.1\r\n" + kHost + "\r\n"},
      {"space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
      {"bare LF", "GET / HTTP/1.1\nHost: a\n\n"},
      {"bare LF in the middle", "GET / HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n"},
      {"NUL in a value", "GET / HTTP/1.1\r\n" + kHost + "X-A: " + std::string(1, '\0') + "\r\n\r\n"},
      {"HTTP/1.9", "GET / HTTP/1.9\r\n" + kHost + "\r\n"},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
      {"two spaces", "GET  / HTTP/1.1\r\n" + kHost + "\r\n"},
      {"HTTP/0.9", "GET /\r\n\r\n"},
      {"unknown Expect", "POST / HTTP/1.1\r\n" + kHost + "Expect: magic\r\nContent-Length: 1\r\n\r\na"},
      {"large header", "GET / HTTP/1.1\r\n" + kHost + "X-A: " + kLong + "\r\n\r\n", "431"},
      {"body over the limit", "POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1001\r\n\r\n" + std::string(1001, 'x'),
       "413"},
      {"chunks over the limit", "POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n3E9\r\n", "413"},
      {"encoded body", "POST / HTTP/1.1\r\n" + kHost + "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\na", "415"},
  };
  for (const Danger& danger : kDangers) {
    std::string answer = Talk(danger.text + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(answer.starts_with(std::string("HTTP/1.1 ") + danger.status))
        << danger.what << ": " << answer.substr(0, 200);
    EXPECT_NE(answer.find("application/problem+json"), answer.npos) << danger.what;
    EXPECT_NE(answer.find("Connection: close"), answer.npos) << danger.what;
    EXPECT_EQ(Count(answer, "\r\nDate: "), 1u) << danger.what << ": " << answer;
    EXPECT_TRUE(closed_) << danger.what;
  }
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerTest, ServesPipelinedRequestsInOrder) {
  std::string answer = Talk(
      "\r\nPOST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst"
      "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n6\r\nsecond\r\n0\r\nAuthorization: "
      "x\r\nX-Tenant-Id: y\r\n\r\n"
      "GET /c?d=e HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  size_t first = answer.find("POST /slow|first||"), second = answer.find("POST /b|second||"),
         third = answer.find("GET /c?d=e|||");
  EXPECT_NE(third, answer.npos) << answer;
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_EQ(Count(answer, "Connection: close"), 1u);
  EXPECT_EQ(answer.find("\r\nSet-Cookie"), answer.npos);
  EXPECT_TRUE(closed_);
}

TEST_F(ServerTest, ClosesSlowHeadersBodiesAndIdleConnections) {
  auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(Talk("GET / HT").starts_with("HTTP/1.1 408"));
  EXPECT_TRUE(Talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").starts_with("HTTP/1.1 408"));
  EXPECT_EQ(Talk(""), "");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(8));
  Socket drip(port_);
  begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 8; ++i) {
    drip.Send("G");
    std::this_thread::sleep_for(milliseconds(200));
  }
  EXPECT_NE(drip.Receive().find(" 408 "), std::string::npos);
  EXPECT_TRUE(drip.closed());
  EXPECT_EQ(handled_, 0);
}

TEST_F(ServerTest, SurvivesClientsThatLeave) {
  for (int i = 0; i < 20; ++i) {
    Socket socket(port_);
    socket.Send(i % 2 ? "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
                      : "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab");
    socket.Close();
  }
  Socket stream(port_);
  stream.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_NE(stream.Receive("data: 3").find("Transfer-Encoding: chunked"), std::string::npos);
  stream.Close();
  for (int i = 0; i < 300 && streams_ended_ == 0; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(streams_ended_, 1);
  EXPECT_NE(Talk("GET /x HTTP/1.0\r\nHost: a\r\n\r\n").find("GET /x"), std::string::npos);
}

TEST_F(ServerTest, AnswersHeadContinueAndFailures) {
  std::string head = Talk("HEAD /abc HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_NE(head.find("Content-Length: 12\r\n"), head.npos) << head;
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
  std::string failed = Talk("GET /throws HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Language: en\r\n\r\n");
  EXPECT_TRUE(failed.starts_with("HTTP/1.1 500"));
  EXPECT_EQ(failed.find("secret"), failed.npos);
  Socket socket(port_);
  socket.Send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(socket.Receive("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  socket.Send("ok");
  EXPECT_NE(socket.Receive("|ok|").find("HTTP/1.1 200 OK"), std::string::npos);
}

TEST_F(ServerTest, AsksBeforeItReadsALongBody) {
  // Refused with the header alone: no "100 Continue", nothing of the body awaited, what follows is not parsed.
  std::string head = "POST /large HTTP/1.1\r\nHost: a\r\nX-Stranger: 1\r\n";
  std::string refused = Talk(head + "Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 401 ")) << refused;
  EXPECT_NE(refused.find("Connection: close"), std::string::npos);
  EXPECT_TRUE(refused.ends_with("who are you"));
  EXPECT_TRUE(closed_);
  refused = Talk(head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(Count(refused, "HTTP/1.1"), 1u);
  EXPECT_EQ(handled_, 0);
  EXPECT_EQ(asked_, 2);
  // Let in, or not long enough to ask.
  EXPECT_NE(Talk("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc").find("200 OK"),
            std::string::npos);
  EXPECT_EQ(asked_, 3);
  EXPECT_NE(Talk("POST /a HTTP/1.1\r\nHost: a\r\nX-Stranger: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc")
                .find("|abc|"),
            std::string::npos);
  Talk("POST /large HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(asked_, 3);
}

TEST_F(ServerTest, DrainsRequestsInFlightAndEndsStreams) {
  Socket slow(port_), idle(port_), stream(port_);
  slow.Send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  idle.Send("GET /i HTTP/1.1\r\nHost: a\r\n\r\n");
  stream.Send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  idle.Receive("||");
  stream.Receive("data: 1");
  auto begin = std::chrono::steady_clock::now();
  world_->Drain(milliseconds(3000));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(2800));
  std::string answer = slow.Receive();
  EXPECT_NE(answer.find("GET /slow"), answer.npos);
  EXPECT_NE(answer.find("Connection: close"), answer.npos);
  idle.Receive();
  EXPECT_TRUE(idle.closed());
  EXPECT_TRUE(stream.Receive().ends_with("0\r\n\r\n"));
  EXPECT_EQ(streams_ended_, 1);
  Socket late(port_);
  EXPECT_FALSE(late.connected());
}

TEST_F(ServerTest, ClientFetches) {
  std::string base = "http://127.0.0.1:" + std::to_string(port_) + "/";
  Request request;
  request.method = "POST";
  request.target = "/large";
  request.body = std::string(2'900'000, 'b');
  Result<Response> response = FetchBlocking(base, request, seconds(10));
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->body, "2900000");
  request.body += std::string(200'000, 'b');
  response = FetchBlocking(base, request, seconds(10));
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->status, 413);
  request = Request{.method = "GET", .target = "/huge"};
  response = FetchBlocking(base, request, seconds(10));
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->body.size(), 20'000'000u);
  request.target = "/slow";
  EXPECT_EQ(FetchBlocking(base, request, milliseconds(50)).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(FetchBlocking("http://127.0.0.1:1", request, seconds(1)).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(FetchBlocking("http://localhost:" + std::to_string(port_), request, seconds(5)));
  request.target = "/stream";
  std::string seen;
  response = FetchBlocking(base, request, seconds(5), [&](std::string_view piece) {
    seen += piece;
    return seen.find("data: 5") == seen.npos;
  });
  ASSERT_TRUE(response);
  EXPECT_TRUE(seen.starts_with("data: 0\n\ndata: 1"));
}

TEST_F(ServerTest, RefusesATakenPort) {
  ServerOptions options;
  options.port = port_;
  Server second(world_->executor(), options, nullptr);
  Result<int> port = second.Start();
  ASSERT_FALSE(port);
  EXPECT_NE(port.error().cause.find(std::to_string(port_)), std::string::npos);
}

}  // namespace
}  // namespace millrace::http
