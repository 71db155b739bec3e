// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/pages.h"

#include <algorithm>
#include <cctype>
#include <span>

#include "common/base/embedded_file.h"
#include "common/crypto/crypto.h"
#include "common/http/json.h"
#include "services/gateway/contract.h"
#include "services/gateway/docs.h"
#include "services/gateway/html.h"
#include "services/gateway/negotiate.h"
#include "services/gateway/openapi.h"

namespace millrace {
std::span<const EmbeddedFile> GatewayWeb();
}  // namespace millrace

namespace millrace::gateway {
namespace {

struct OwnRoute {
  const char* path;
  const char* summary;
};
constexpr OwnRoute kOwnRoutes[] = {
    {"/v1", "Lists the routes."},
    {"/v1/stream", "Streams the caller's events as they happen (server-sent events; Last-Event-ID resumes)."},
    {"/problems", "Lists the error codes."},
    {"/problems/{code}", "Explains an error code."},
    {"/openapi.json", "The contract as OpenAPI 3.1."},
    {"/openapi-3.0.json", "The same as OpenAPI 3.0."},
    {"/docs", "The contract for people."},
    {"/version", "Says which version runs."},
    {"/livez", "Says that the process runs."},
    {"/readyz", "Says that it can serve."},
};

std::string Line(std::string_view method, std::string_view path, std::string_view rpc, std::string_view summary) {
  std::string out = "{\"method\":" + http::JsonString(method) + ",\"path\":" + http::JsonString(path);
  if (!rpc.empty()) out += ",\"rpc\":" + http::JsonString(rpc);
  return out + ",\"summary\":" + http::JsonString(summary) + "}";
}

std::string CodeName(std::string_view kebab) {
  std::string out;
  for (char c : kebab) out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

// Everything comes from this server, and nothing runs that is not a file of its own.
http::Response HtmlAnswer(Language language, std::string_view title, std::string_view body) {
  std::string_view name = language == Language::kZh ? "zh-CN" : "en";
  http::Response response;
  response.fields.Set("Content-Type", "text/html; charset=utf-8");
  response.fields.Set("Content-Language", std::string(name));
  response.fields.Set("Vary", "Accept-Language");
  response.fields.Set("Content-Security-Policy",
                      "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; form-action 'none'; "
                      "frame-ancestors 'none'");
  response.fields.Set("X-Content-Type-Options", "nosniff");
  response.body = HtmlPage(name, title, body);
  return response;
}

// The address that examples call: the one that the client used, if it is plainly a host and a port.
std::string BaseOf(std::string_view host) {
  bool plain = !host.empty() && host.size() <= 255 && std::ranges::all_of(host, [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
  });
  return "http://" + (plain ? std::string(host) : "127.0.0.1:8080");
}

std::string Replaced(const std::string& text, std::string_view what, std::string_view with) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    size_t found = std::min(text.find(what, at), text.size());
    out.append(text, at, found - at);
    if (found < text.size()) out += with;
    at = found + what.size();
  }
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
  std::string body = "<main class=\"single\">\n<h1>" + Html(zh ? entry.title_zh : entry.title_en) + "</h1>\n<p><code>" +
                     std::string(entry.name) + "</code> · HTTP " + std::to_string(entry.http_status) + "</p>\n<p>" +
                     Html(zh ? entry.detail_zh : entry.detail_en) + "</p>\n<p><a href=\"/problems\">" +
                     (zh ? "全部错误代码" : "All error codes") + "</a> · <a href=\"/docs\">" +
                     (zh ? "接口文档" : "Documentation") + "</a></p></main>";
  return HtmlAnswer(language, entry.name, body);
}

http::Response ProblemIndex(Language language) {
  bool zh = language == Language::kZh;
  std::map<int, std::string> rows;
  for (const ErrorEntry& entry : kErrorCatalog) {
    rows[entry.http_status] += "<tr><th scope=\"row\"><a href=\"" + http::ProblemType(entry.name) + "\"><code>" +
                               std::string(entry.name) + "</code></a></th><td>" +
                               Html(zh ? entry.title_zh : entry.title_en) + "</td></tr>\n";
  }
  std::string_view title = zh ? "错误代码" : "Error codes";
  std::string body = "<main class=\"single\">\n<h1>" + std::string(title) + "</h1>\n<p><a href=\"/docs\">" +
                     (zh ? "接口文档" : "Documentation") + "</a></p>\n";
  for (const auto& [status, text] : rows)
    body += "<h2>HTTP " + std::to_string(status) + "</h2>\n<table><tbody>\n" + text + "</tbody></table>\n";
  return HtmlAnswer(language, title, body + "</main>");
}

Pages::Pages(const RoutingTable& table) {
  JsonValue openapi = OpenApi31(table);
  Add("/v1", "application/json", IndexJson(table));
  Add("/version", "application/json", "{\"name\":\"Millrace\",\"version\":\"" MILLRACE_VERSION "\",\"api\":\"v1\"}\n");
  Add("/docs?zh", "text/html; charset=utf-8", DocsPage(table, openapi, Language::kZh));
  Add("/docs?en", "text/html; charset=utf-8", DocsPage(table, openapi, Language::kEn));
  Add("/openapi.json", "application/json", WriteTree(openapi, true) + "\n");
  Add("/openapi-3.0.json", "application/json", WriteTree(OpenApi30(std::move(openapi)), true) + "\n");
  for (const EmbeddedFile& file : GatewayWeb()) {
    const char* type = file.name.ends_with(".css") ? "text/css; charset=utf-8" : "text/javascript; charset=utf-8";
    Add("/docs/" + std::string(file.name), type, std::string(file.bytes));
  }
}

void Pages::Add(std::string path, std::string media_type, std::string body) {
  std::string etag = crypto::Hex(crypto::Sha256(body)).substr(0, 32);
  pages_[std::move(path)] = {std::move(media_type), std::move(body), std::move(etag)};
}

std::string_view Pages::TemplateOf(std::string_view path) const {
  if (path == "/problems" || path == "/docs") return path;
  if (path.starts_with("/problems/")) return "/problems/{code}";
  if (path.find('?') != path.npos) return "";
  auto found = pages_.find(path);
  return found == pages_.end() ? std::string_view() : std::string_view(found->first);
}

Result<http::Response> Pages::Get(const http::Request& request, Language language,
                                  const std::string& request_id) const {
  if (request.query == "lang=zh") language = Language::kZh;
  if (request.query == "lang=en") language = Language::kEn;
  std::string_view accept = request.fields.Get("Accept");
  bool docs = request.path == "/docs";
  if (request.path.starts_with("/problems")) {
    if (!Accepts(accept, "text/html")) return Fail(ErrorCode::kNotAcceptable, {{"offer", "text/html"}});
    return request.path == "/problems" ? ProblemIndex(language) : ProblemPage(request.path, language, request_id);
  }
  const Page& page =
      pages_.find(docs ? (language == Language::kZh ? "/docs?zh" : "/docs?en") : std::string_view(request.path))
          ->second;
  if (!Accepts(accept, page.media_type)) {
    std::string offer = page.media_type.substr(0, page.media_type.find(';'));
    return Fail(ErrorCode::kNotAcceptable, {{"offer", offer}});
  }
  std::string base = docs ? BaseOf(request.fields.Get("Host")) : "";
  std::string etag = base.empty() ? page.etag : page.etag + "-" + crypto::Hex(crypto::Sha256(base)).substr(0, 8);
  http::Response response = docs ? HtmlAnswer(language, "", "") : http::Response();
  response.body.clear();
  http::Fields& fields = response.fields;
  fields.Set("Content-Type", page.media_type);
  fields.Set("Cache-Control", "no-cache");
  fields.Set("X-Content-Type-Options", "nosniff");
  fields.Set("ETag", "\"" + etag + "\"");
  if (HasTag(request.fields.Get("If-None-Match"), etag)) {
    response.status = 304;
    return response;
  }
  response.body = docs ? Replaced(page.body, kBasePlaceholder, base) : page.body;
  return response;
}

}  // namespace millrace::gateway
