// SPDX-License-Identifier: Apache-2.0
// What a client may take of the server, and compressed answers.
#include <gtest/gtest.h>

#include <vector>

#include "common/async/pool.h"
#include "common/http/raw_socket.h"
#include "common/http/server_world.h"
#include "tests/support/eventually.h"

namespace millrace::http {
namespace {

using std::chrono::seconds;

constexpr char kGet[] = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n";

Task<Response> Handle(Request request) {
  Response response;
  response.fields.Set("Content-Type", "application/json");
  response.fields.Set("ETag", "\"3\"");
  response.fields.Set("X-If-Match", std::string(request.fields.Get("If-Match")));
  size_t size = 10;
  if (request.path == "/medium") size = 5000;
  if (request.path == "/long") size = 200'000;
  if (request.path == "/huge") size = 30'000'000;
  response.body = "\"" + std::string(size - 2, 'x') + "\"";
  if (request.fields.Get("If-None-Match") == "\"3\"") {
    response.status = 304;
    response.body.clear();
  }
  co_return response;
}

TEST(Limits, CountsConnectionsOfAPeer) {
  ServerOptions options;
  options.connections_per_peer = 3;
  ServerWorld world(options, Handle);
  std::vector<std::unique_ptr<Socket>> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(std::make_unique<Socket>(world.port()));
    open.back()->Send(kGet);
    EXPECT_TRUE(open.back()->Receive("x\"").starts_with("HTTP/1.1 200 "));
  }
  Socket fourth(world.port());
  fourth.Send(kGet);
  std::string refused = fourth.Receive();
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503 ")) << refused;
  EXPECT_NE(refused.find("TOO_MANY_CONNECTIONS"), refused.npos);
  EXPECT_NE(refused.find("Retry-After: "), refused.npos);
  EXPECT_NE(refused.find("Connection: close"), refused.npos);
  EXPECT_TRUE(fourth.closed());
  // Those that were there go on; one that ends makes room.
  open[0]->Send(kGet);
  EXPECT_TRUE(open[0]->Receive("x\"").starts_with("HTTP/1.1 200 "));
  open.pop_back();
  EXPECT_TRUE(test::Eventually([&] {
    Socket again(world.port());
    again.Send(kGet);
    return again.Receive("\r\n\r\n").starts_with("HTTP/1.1 200 ");
  }));
}

TEST(Limits, CountsConnectionsOfAll) {
  ServerOptions options;
  options.connections_max = 2;
  ServerWorld world(options, Handle);
  Socket first(world.port()), second(world.port());
  first.Send(kGet);
  second.Send(kGet);
  first.Receive("x\"");
  second.Receive("x\"");
  // Far more than are told so: each is answered or closed, and nothing waits for them.
  std::vector<std::unique_ptr<Socket>> crowd;
  for (int i = 0; i < 100; ++i) crowd.push_back(std::make_unique<Socket>(world.port()));
  for (auto& socket : crowd) {
    std::string answer = socket->Receive();
    EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 503 ")) << answer;
    EXPECT_TRUE(socket->closed());
    EXPECT_EQ(answer.find("TOO_MANY_CONNECTIONS"), answer.npos);
  }
  first.Send(kGet);
  EXPECT_TRUE(first.Receive("x\"").starts_with("HTTP/1.1 200 "));
}

TEST(Limits, CutsOffWhoDoesNotTakeTheAnswer) {
  ServerOptions options;
  options.write_timeout = seconds(1);
  ServerWorld world(options, Handle);
  Socket slow(world.port(), 4096);
  slow.Send("GET /huge HTTP/1.1\r\nHost: a\r\n\r\n");
  std::this_thread::sleep_for(seconds(3));
  std::string got = slow.Receive();
  EXPECT_TRUE(slow.closed());
  EXPECT_LT(got.size(), 30'000'000u);
  // Who takes it gets it, though it takes as long.
  Socket steady(world.port());
  steady.Send("GET /huge HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_GT(steady.Receive().size(), 30'000'000u);
}

TEST(Limits, AnswersWhatWasSentAheadInOrder) {
  ServerWorld world(ServerOptions(), Handle);
  Socket socket(world.port());
  std::string ahead;
  for (int i = 0; i < 2000; ++i)
    ahead += "GET /" + std::string(i % 2 ? "medium" : "small") + " HTTP/1.1\r\nHost: a\r\n\r\n";
  std::thread sender([&] { socket.Send(ahead + "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); });
  std::string answers = socket.Receive();
  sender.join();
  EXPECT_EQ(Count(answers, "HTTP/1.1 200 OK"), 2001u);
  size_t at = 0;
  for (int i = 0; i < 2000; ++i) {
    at = answers.find("Content-Length: ", at) + 16;
    EXPECT_EQ(answers.substr(at, 5), i % 2 ? "5000\r" : "10\r\n\r") << i;
  }
}

class CompressionTest : public testing::Test {
 protected:
  CompressionTest() : pool_(1, "test") {
    ServerOptions options;
    options.compute = &pool_;
    world_ = std::make_unique<ServerWorld>(options, Handle);
  }
  Response Get(const std::string& path, std::vector<std::pair<std::string, std::string>> fields) {
    Request request;
    request.method = "GET";
    request.target = path;
    for (auto& [name, value] : fields) request.fields.Set(name, value);
    Result<Response> response = FetchBlocking(world_->url(), request, seconds(10));
    EXPECT_TRUE(response);
    return response.value_or(Response());
  }
  ThreadPool pool_;
  std::unique_ptr<ServerWorld> world_;
};

TEST_F(CompressionTest, CompressesForThoseWhoAccept) {
  for (const char* path : {"/medium", "/long"}) {
    Response packed = Get(path, {{"Accept-Encoding", "gzip"}});
    EXPECT_EQ(packed.fields.Get("Content-Encoding"), "gzip");
    EXPECT_EQ(packed.fields.Get("Vary"), "Accept-Encoding");
    EXPECT_EQ(packed.fields.Get("ETag"), "\"3-gzip\"");
    EXPECT_TRUE(packed.body.starts_with("\x1F\x8B")) << path;
    EXPECT_LT(packed.body.size(), 2000u);
    Response plain = Get(path, {});
    EXPECT_FALSE(plain.fields.Has("Content-Encoding"));
    EXPECT_EQ(plain.fields.Get("Vary"), "Accept-Encoding");
    EXPECT_EQ(plain.fields.Get("ETag"), "\"3\"");
  }
  Response small = Get("/small", {{"Accept-Encoding", "gzip"}});
  EXPECT_EQ(small.body.size(), 10u);
  EXPECT_EQ(small.fields.Get("ETag"), "\"3\"");
}

TEST_F(CompressionTest, TakesTheTagsItGave) {
  EXPECT_EQ(Get("/medium", {{"If-Match", "\"3-gzip\""}}).fields.Get("X-If-Match"), "\"3\"");
  Response unchanged = Get("/medium", {{"If-None-Match", "\"3-gzip\""}, {"Accept-Encoding", "gzip"}});
  EXPECT_EQ(unchanged.status, 304);
  EXPECT_EQ(unchanged.fields.Get("ETag"), "\"3-gzip\"");
  unchanged = Get("/medium", {{"If-None-Match", "\"3\""}});
  EXPECT_EQ(unchanged.status, 304);
  EXPECT_EQ(unchanged.fields.Get("ETag"), "\"3\"");
}

}  // namespace
}  // namespace millrace::http
