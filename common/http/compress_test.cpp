// SPDX-License-Identifier: Apache-2.0
#include "common/http/compress.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace millrace::http {
namespace {

std::string Gunzip(std::string_view bytes) {
  z_stream stream{};
  EXPECT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  std::string out(1 << 22, '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

TEST(Compress, AcceptsWhatTheClientPrefers) {
  auto accepts = [](std::vector<std::string> values) {
    Fields fields;
    for (std::string& value : values) fields.Add("accept-encoding", std::move(value));
    return AcceptsGzip(fields);
  };
  for (const char* yes : {"gzip", "GZIP", "x-gzip", "deflate, gzip", "gzip;q=0.1", "gzip ; Q=1.0", "*", "br, *;q=0.5",
                          "identity;q=0.5, gzip;q=0.5", "gzip;level=1;q=0.3"}) {
    EXPECT_TRUE(accepts({yes})) << yes;
  }
  for (const char* no : {"", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *", "identity, gzip;q=0.5",
                         "gzip;q=2", "gzip;q=x", "gzip;q=-1", "gzip;q=nan", "gzipped", "gzip;q="}) {
    EXPECT_FALSE(accepts({no})) << no;
  }
  EXPECT_FALSE(accepts({}));
  EXPECT_TRUE(accepts({"br", "gzip"}));
}

TEST(Compress, TakesOnlyTextThatIsLongEnough) {
  Response response;
  response.fields.Set("Content-Type", "application/json");
  response.body = std::string(kGzipLeast, 'x');
  EXPECT_TRUE(WorthGzip(response));
  Response other = response;
  other.body.pop_back();
  EXPECT_FALSE(WorthGzip(other));
  for (const char* type : {"application/problem+json", "text/html; charset=utf-8", "application/yaml"}) {
    other = response;
    other.fields.Set("Content-Type", type);
    EXPECT_TRUE(WorthGzip(other)) << type;
  }
  for (const char* type : {"", "image/png", "application/octet-stream", "application/zip"}) {
    other = response;
    other.fields.Set("Content-Type", type);
    EXPECT_FALSE(WorthGzip(other)) << type;
  }
  for (int status : {204, 206, 304}) {
    other = response;
    other.status = status;
    EXPECT_FALSE(WorthGzip(other)) << status;
  }
  other = response;
  other.fields.Set("Content-Encoding", "br");
  EXPECT_FALSE(WorthGzip(other));
  other = response;
  other.fields.Set("Cache-Control", "private, no-transform");
  EXPECT_FALSE(WorthGzip(other));
  other = response;
  other.stream = [](std::shared_ptr<BodyWriter>) -> Task<void> { co_return; };
  EXPECT_FALSE(WorthGzip(other));
}

TEST(Compress, GivesBackWhatWasPutIn) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "{\"id\":" + std::to_string(i * 7919 % 65537) + "},";
  std::string packed = Gzip(text);
  EXPECT_LT(packed.size(), text.size() / 3);
  EXPECT_EQ(Gunzip(packed), text);
  EXPECT_EQ(Gunzip(Gzip("")), "");
  std::string noise;
  uint32_t seed = 1;
  for (int i = 0; i < 50'000; ++i) noise += static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  EXPECT_EQ(Gunzip(Gzip(noise)), noise);  // longer than before, and whole
}

TEST(Compress, KeepsTagsOfTwoRepresentationsApart) {
  Fields response;
  response.Set("ETag", "\"3\"");
  MarkGzip(&response);
  EXPECT_EQ(response.Get("ETag"), "\"3-gzip\"");
  EXPECT_EQ(response.Get("Content-Encoding"), "gzip");
  AddGzipTag(&response);
  EXPECT_EQ(response.Get("ETag"), "\"3-gzip\"");
  response.Set("ETag", "W/\"3\"");
  AddGzipTag(&response);
  EXPECT_EQ(response.Get("ETag"), "W/\"3\"");

  Fields request;
  request.Set("If-Match", "\"3-gzip\"");
  EXPECT_FALSE(StripGzipTags(&request));
  EXPECT_EQ(request.Get("If-Match"), "\"3\"");
  request.Set("If-None-Match", "\"2\", W/\"3-gzip\", \"4-gzip\"");
  EXPECT_TRUE(StripGzipTags(&request));
  EXPECT_EQ(request.Get("If-None-Match"), "\"2\", W/\"3\", \"4\"");
  EXPECT_FALSE(StripGzipTags(&request));
}

}  // namespace
}  // namespace millrace::http
