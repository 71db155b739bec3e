// SPDX-License-Identifier: Apache-2.0
// The live stream over HTTP.
#include <gtest/gtest.h>

#include "services/gateway/gateway_fixture.h"

namespace millrace::gateway {
namespace {

using namespace std::chrono_literals;

TEST_F(GatewayTest, StreamsTheFeed) {
  EXPECT_EQ(Refusal({.method = "GET", .target = "/v1/stream", .key = false}), "401 UNAUTHENTICATED");
  EXPECT_EQ(Refusal({"GET", "/v1/stream?limit=5"}), "400 INVALID_QUERY limit");
  EXPECT_EQ(Refusal({"GET", "/v1/stream", "", {{"Last-Event-ID", "nonsense"}}}), "400 INVALID_ID");
  http::Request request{.method = "GET", .target = "/v1/stream"};
  request.fields.Set("Authorization", "Bearer sk_test_good");
  std::string last = FormatId("evt", Uuid::New());
  request.fields.Set("Last-Event-ID", last);
  std::string seen;
  auto response =
      http::FetchBlocking("http://127.0.0.1:" + std::to_string(port_), request, 10s, [&](std::string_view piece) {
        if (seen.empty()) EXPECT_EQ(waited_after_, last);
        seen += piece;
        return seen.find("evt_3") == seen.npos;
      });
  ASSERT_TRUE(response) << response.error().cause;
  EXPECT_EQ(response->fields.Get("Content-Type"), "text/event-stream");
  EXPECT_TRUE(seen.starts_with(
      "retry: 3000\n\nid: evt_1\nevent: booking.confirmed\ndata: {\"specversion\":\"\",\"id\":\"evt_1\""))
      << seen;
  EXPECT_NE(seen.find("\n\nid: evt_2\n"), std::string::npos);
}

TEST_F(GatewayTest, AStreamSaysWhereItStandsBeforeItsFirstEvent) {
  auto open = [this](std::string last, const std::string& enough) {
    http::Request request{.method = "GET", .target = "/v1/stream?after_seq=1"};
    request.fields.Set("Authorization", "Bearer sk_test_good");
    request.fields.Set("Last-Event-ID", std::move(last));
    std::string seen;
    auto response =
        http::FetchBlocking("http://127.0.0.1:" + std::to_string(port_), request, 10s, [&](std::string_view piece) {
          seen += piece;
          return seen.find(enough) == seen.npos;
        });
    EXPECT_TRUE(response && response->status == 200);
    return seen;
  };
  // This feed has three events.
  EXPECT_TRUE(open("41", "\n\n").starts_with("retry: 3000\nid: 42\n\n"));
  EXPECT_TRUE(open("2", "evt_3").starts_with("retry: 3000\n\nid: evt_3\n"));
  EXPECT_TRUE(open("", "evt_2").starts_with("retry: 3000\n\nid: evt_2\n"));
  EXPECT_EQ(Refusal({"GET", "/v1/stream", "", {{"Last-Event-ID", "99999999999999999999"}}}), "400 INVALID_ID");
}

}  // namespace
}  // namespace millrace::gateway
