// SPDX-License-Identifier: Apache-2.0
#include "common/http/compress.h"

#include <zlib.h>

#include <memory>
#include <stdexcept>

#include "common/http/field_list.h"

namespace millrace::http {
namespace {

constexpr std::string_view kSuffix = "-gzip\"";
// Three quarters of what level 6 saves, for a third of its time.
constexpr int kLevel = 3;
constexpr int kGzipWindow = 15 + 16;  // zlib: the greatest window, in gzip's wrapping
constexpr int kMemory = 8;            // zlib's default

// A compressor takes 256 KiB, so each thread keeps one.
class Deflater {
 public:
  Deflater() {
    if (deflateInit2(&stream_, kLevel, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
      throw std::bad_alloc();
  }
  ~Deflater() { deflateEnd(&stream_); }
  std::string Run(std::string_view plain) {
    deflateReset(&stream_);
    std::string out(deflateBound(&stream_, plain.size()), '\0');
    // zlib does not write to its input, but says so only when built with ZLIB_CONST.
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(plain.data()));
    stream_.avail_in = static_cast<uInt>(plain.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    if (deflate(&stream_, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("gzip did not end");
    out.resize(stream_.total_out);
    return out;
  }

 private:
  z_stream stream_{};
};

}  // namespace

bool AcceptsGzip(const Fields& request) {
  double gzip = -1, any = -1, plain = -1;
  for (const auto& [name, value] : request.all()) {
    if (!SameName(name, "Accept-Encoding")) continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      std::string_view element = TakePart(&rest, ',');
      std::string_view coding = TakePart(&element, ';');
      double weight = Quality(element);
      if (SameName(coding, "gzip") || SameName(coding, "x-gzip")) gzip = weight;
      if (SameName(coding, "identity")) plain = weight;
      if (coding == "*") any = weight;
    }
  }
  if (gzip < 0) gzip = any;
  return gzip > 0 && gzip >= plain;
}

bool WorthGzip(const Response& response) {
  if (response.body.size() < kGzipLeast || response.stream || response.status < 200 || response.status == 204 ||
      response.status == 206 || response.status == 304) {
    return false;
  }
  std::string_view type = response.fields.Get("Content-Type");
  type = TakePart(&type, ';');
  bool text =
      type == "application/json" || type.ends_with("+json") || type == "application/yaml" || type.starts_with("text/");
  return text && !response.fields.Has("Content-Encoding") && !response.fields.Has("Content-Range") &&
         response.fields.Get("Cache-Control").find("no-transform") == std::string_view::npos;
}

std::string Gzip(std::string_view plain) {
  thread_local std::unique_ptr<Deflater> deflater;
  if (!deflater) deflater = std::make_unique<Deflater>();
  return deflater->Run(plain);
}

void MarkGzip(Fields* fields) {
  fields->Set("Content-Encoding", "gzip");
  AddGzipTag(fields);
}

void AddGzipTag(Fields* response) {
  std::string tag(response->Get("ETag"));
  if (tag.size() < 2 || !tag.starts_with('"') || tag.ends_with(kSuffix)) return;
  tag.replace(tag.size() - 1, 1, kSuffix);
  response->Set("ETag", std::move(tag));
}

bool StripGzipTags(Fields* request) {
  bool none_match = false;
  for (std::string_view name : {"If-Match", "If-None-Match"}) {
    std::string value(request->Get(name));
    bool found = false;
    for (size_t at = value.find(kSuffix); at != value.npos; at = value.find(kSuffix, at)) {
      value.replace(at, kSuffix.size(), "\"");
      found = true;
    }
    if (!found) continue;
    request->Set(name, std::move(value));
    none_match = none_match || name == "If-None-Match";
  }
  return none_match;
}

}  // namespace millrace::http
