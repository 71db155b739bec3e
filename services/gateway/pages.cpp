// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/pages.h"

#include <algorithm>

#include "common/http/json.h"
#include "services/gateway/contract.h"

namespace millrace::gateway {
namespace {

struct OwnRoute {
  const char* path;
  const char* summary;
};
constexpr OwnRoute kOwnRoutes[] = {
    {"/v1", "Lists the routes."},
    {"/v1/stream", "Streams the caller's events as they happen (server-sent events; Last-Event-ID resumes)."},
    {"/problems/{code}", "Explains an error code."},
    {"/livez", "Says that the process runs."},
    {"/readyz", "Says that it can serve."},
};

std::string Line(std::string_view method, std::string_view path, std::string_view rpc, std::string_view summary) {
  std::string out = "{\"method\":" + http::JsonString(method) + ",\"path\":" + http::JsonString(path);
  if (!rpc.empty()) out += ",\"rpc\":" + http::JsonString(rpc);
  return out + ",\"summary\":" + http::JsonString(summary) + "}";
}

std::string Html(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string CodeName(std::string_view kebab) {
  std::string out;
  for (char c : kebab) out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

std::string IndexJson(const RoutingTable& table) {
  std::vector<std::pair<std::string, std::string>> lines;
  for (const auto& route : table.routes()) {
    auto found = Summaries().find(route->method->full_name());
    std::string summary = found == Summaries().end() ? "" : found->second;
    lines.emplace_back(route->rule.path + " " + route->rule.method,
                       Line(route->rule.method, route->rule.path, route->method->full_name(), summary));
  }
  for (const OwnRoute& own : kOwnRoutes) lines.emplace_back(own.path, Line("GET", own.path, "", own.summary));
  std::ranges::sort(lines);
  std::string out = "{\"name\":\"Millrace\",\"routes\":[";
  for (const auto& [key, line] : lines) out += (out.ends_with('[') ? "\n" : ",\n") + line;
  return out + "\n]}\n";
}

http::Response ProblemPage(std::string_view path, Language language, const std::string& request_id) {
  std::string_view kebab = path.substr(path.rfind('/') + 1);
  auto code = ErrorCodeByName(CodeName(kebab));
  bool spelled = std::ranges::none_of(kebab, [](char c) { return c == '_' || (c >= 'A' && c <= 'Z'); });
  if (!code || !spelled) {
    Error none(ErrorCode::kNoSuchRoute, {{"method", "GET"}, {"path", std::string(path)}});
    return http::Problem(std::move(none).With("routes", "[\"GET /v1\"]"), language, request_id);
  }
  const ErrorEntry& entry = Entry(*code);
  bool zh = language == Language::kZh;
  std::string title = Html(zh ? entry.title_zh : entry.title_en), detail = Html(zh ? entry.detail_zh : entry.detail_en);
  http::Response response;
  response.fields.Set("Content-Type", "text/html; charset=utf-8");
  response.fields.Set("Content-Language", zh ? "zh-CN" : "en");
  response.fields.Set("Vary", "Accept-Language");
  response.fields.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
  response.fields.Set("X-Content-Type-Options", "nosniff");
  response.body = "<!doctype html>\n<html lang=\"" + std::string(zh ? "zh-CN" : "en") +
                  "\"><head><meta charset=\"utf-8\"><title>" + std::string(entry.name) +
                  "</title><style>body{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:3rem auto;"
                  "padding:0 1rem}</style></head><body>\n<h1>" +
                  title + "</h1>\n<p><code>" + std::string(entry.name) + "</code> · HTTP " +
                  std::to_string(entry.http_status) + "</p>\n<p>" + detail + "</p>\n</body></html>\n";
  return response;
}

}  // namespace millrace::gateway
