// SPDX-License-Identifier: Apache-2.0
// The guard of the HTTP server. Besides not failing: it decides the same however the bytes arrive, and what it lets
// pass is read alike by a second parser (Boost.Beast) - two readings of one request are how requests are smuggled.
#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "common/http/guard.h"
#include "tests/fuzz/fuzz.h"

namespace millrace::http {
namespace {

namespace beast = boost::beast;
using fuzz::Must;

void CompareWithBeast(std::string_view text, const Head& head, const Framing& framing) {
  beast::http::request_parser<beast::http::empty_body> parser;
  parser.header_limit(16 * 1024);
  parser.body_limit(boost::none);
  parser.eager(false);
  beast::error_code error;
  parser.put(boost::asio::buffer(text.data(), text.size()), error);
  Must(!error && parser.is_header_done(), "Beast reads the header that the guard accepts");
  const auto& message = parser.get();
  Must(std::string_view(message.method_string()) == head.method, "the same method");
  Must(std::string_view(message.target()) == head.target, "the same target");
  Must(message.version() == (head.http11 ? 11 : 10), "the same version");
  Must(parser.chunked() == framing.chunked, "the same framing");
  Must(framing.chunked || parser.content_length().value_or(0) == framing.length, "the same length");
  // RFC 9112 §9.3: close holds whatever stands beside it. Beast heeds one field, and in HTTP/1.0 keep-alive before close.
  std::string_view connection = head.fields.Get("Connection");
  if (message.count("Connection") <= 1 && connection.find(',') == connection.npos)
    Must(message.keep_alive() == head.keep_alive, "the same wish to keep the connection");
  size_t count = static_cast<size_t>(std::distance(message.begin(), message.end()));
  Must(count == head.fields.all().size(), "as many fields");
  // Beast keeps fields of one name together, so only each one's presence is compared.
  for (const auto& [name, value] : head.fields.all()) {
    bool found = std::ranges::any_of(message, [&](const auto& field) {
      return std::string_view(field.name_string()) == name && std::string_view(field.value()) == value;
    });
    Must(found, "the same fields");
  }
}

struct Outcome {
  bool good = true;
  bool done = false;
  size_t taken = 0;
  std::string body;
  bool operator==(const Outcome&) const = default;
};

Outcome Decode(std::string_view bytes, size_t piece) {
  Outcome outcome;
  ChunkedBody body(1000);
  while (outcome.taken < bytes.size() && !body.done()) {
    Result<size_t> taken = body.Take(bytes.substr(outcome.taken, piece));
    if (!taken) {
      outcome.good = false;
      outcome.taken = 0;  // how far it came before the fault depends on the pieces
      return outcome;
    }
    outcome.taken += *taken;
  }
  outcome.done = body.done();
  outcome.body = body.body();
  return outcome;
}

void Run(std::string_view input) {
  Result<size_t> length = HeadLength(input);
  if (!length || *length == 0) return;
  Must(*length <= input.size(), "a header is part of what came");
  for (size_t size : {*length - 1, *length / 2}) {
    Result<size_t> part = HeadLength(input.substr(0, size));
    Must(part && *part == 0, "a header's end is found only when it is there");
  }
  std::string_view text = input.substr(0, *length), rest = input.substr(*length);
  Result<Head> head = ParseHead(text);
  if (!head) return;
  Result<Framing> framing = CheckHead(*head);
  if (!framing) return;
  CompareWithBeast(text, *head, *framing);
  if (!framing->chunked) return;
  Outcome whole = Decode(rest, rest.size());
  Must(whole.body.size() <= 1000, "a body keeps to its limit");
  for (size_t piece : {1u, 3u, 7u}) Must(Decode(rest, piece) == whole, "a body is the same in pieces of any size");
}

}  // namespace
}  // namespace millrace::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  millrace::http::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
