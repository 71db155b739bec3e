// SPDX-License-Identifier: Apache-2.0
#include "services/gateway/docs.h"

#include <algorithm>
#include <map>

#include "services/gateway/html.h"
#include "services/gateway/openapi.h"
#include "services/gateway/schemas.h"
#include "services/gateway/transcode.h"

namespace millrace::gateway {
namespace {

// The page's own words.
struct Words {
  const char *title, *search, *none, *skip, *other, *other_href, *start, *parameters, *body, *answer, *errors, *example,
      *copy, *objects, *events, *required, *read_only, *deprecated, *scope, *open, *problems, *note, *contents, *chars;
};

constexpr Words kEn = {
    "Millrace API",
    "Search: path, name or word",
    "Nothing fits.",
    "Skip to the calls",
    "中文",
    "/docs?lang=zh",
    "How calls work",
    "Parameters",
    "Body",
    "Answer",
    "Refusals",
    "Example",
    "Copy",
    "Objects",
    "Events",
    "required",
    "read only",
    "deprecated",
    "Scope",
    "no key needed",
    "All error codes",
    "Put your key into MILLRACE_KEY; replace the sample ids by yours.",
    "Contents",
    " characters",
};
constexpr Words kZh = {
    "Millrace 接口文档",
    "搜索：路径、名称或词语",
    "没有匹配的内容。",
    "跳到接口列表",
    "English",
    "/docs?lang=en",
    "调用约定",
    "参数",
    "请求体",
    "应答",
    "可能的拒绝",
    "示例",
    "复制",
    "对象",
    "事件",
    "必填",
    "只读",
    "已弃用",
    "权限范围",
    "无需密钥",
    "全部错误代码",
    "把密钥放进环境变量 MILLRACE_KEY；示例中的编号请换成您自己的。",
    "目录",
    " 字符",
};

constexpr std::string_view kConventionsEn =
    "<ul><li>Send the key as <code>Authorization: Bearer sk_…</code>, or an access token of <code>POST /oauth2/token"
    "</code> (client credentials).</li>"
    "<li>Commands take an <code>Idempotency-Key</code>: sent again with the same key, a command is done once and "
    "answered alike. Keys are kept for 72 hours.</li>"
    "<li>Changes name the version they were made on: <code>If-Match</code> with the ETag you read, or <code>*</code>. "
    "PATCH takes a JSON merge patch (RFC 7396).</li>"
    "<li><code>?validate_only=true</code> checks a command without any effect.</li>"
    "<li>Lists come in pages: follow <code>Link: &lt;…&gt;; rel=\"next\"</code>. <code>?expand=listing</code> brings "
    "an "
    "object along beside its id.</li>"
    "<li>64-bit integers are strings, money is in minor units (fen), times have an offset. Ignore members that you do "
    "not know.</li>"
    "<li>Refusals are problem documents (RFC 9457) with a stable <code>code</code>; their sentences follow "
    "<code>Accept-Language</code>.</li>"
    "<li>The same contract for programs: <a href=\"/openapi.json\">OpenAPI 3.1</a>, <a href=\"/openapi-3.0.json\">"
    "OpenAPI 3.0</a>.</li></ul>";
constexpr std::string_view kConventionsZh =
    "<ul><li>密钥放在请求头 <code>Authorization: Bearer sk_…</code> 中，也可用 <code>POST /oauth2/token"
    "</code>（客户端凭证）取得的访问令牌。</li>"
    "<li>命令须带 <code>Idempotency-Key</code>：用同一个键重发，只执行一次，应答相同。键保留 72 小时。</li>"
    "<li>修改须注明所依据的版本：<code>If-Match</code> 为读取时的 ETag，或 <code>*</code>。PATCH 使用 JSON 合并补丁"
    "（RFC 7396）。</li>"
    "<li><code>?validate_only=true</code> 只检查，不产生任何影响。</li>"
    "<li>列表分页返回：跟随 <code>Link: &lt;…&gt;; rel=\"next\"</code>。<code>?expand=listing</code> "
    "把编号所指的对象一并带回。</li>"
    "<li>64 位整数为字符串，金额以最小单位（分）计，时间带时区偏移。不认识的成员请忽略。</li>"
    "<li>拒绝为问题文档（RFC 9457），<code>code</code> 稳定不变；文字按 <code>Accept-Language</code> 给出。</li>"
    "<li>供程序使用的同一份契约：<a href=\"/openapi.json\">OpenAPI 3.1</a>、<a href=\"/openapi-3.0.json\">OpenAPI "
    "3.0</a>。</li></ul>";

std::string TextOf(const JsonValue* value) { return value ? value->text : ""; }

std::string RefName(const JsonValue& schema) {
  std::string ref = TextOf(Find(schema, "$ref"));
  return ref.substr(ref.rfind('/') + 1);
}

std::string SchemaLink(const std::string& name) {
  return "<a href=\"#schema-" + Html(name) + "\">" + Html(name) + "</a>";
}

// A schema's type in one phrase, with links: "list of Action", "string: zh | en".
std::string TypeOf(const JsonValue& schema) {
  if (Find(schema, "$ref")) return SchemaLink(RefName(schema));
  if (const JsonValue* choices = Find(schema, "anyOf")) return TypeOf(choices->items.front()) + " | null";
  const JsonValue* type = Find(schema, "type");
  if (!type) return "";
  std::string name = type->kind == JsonValue::Kind::kArray ? type->items.front().text : type->text;
  std::string more = type->kind == JsonValue::Kind::kArray ? " | null" : "";
  if (name == "array") return "[" + TypeOf(*Find(schema, "items")) + "]" + more;
  if (const JsonValue* values = Find(schema, "additionalProperties")) return "{… : " + TypeOf(*values) + "}" + more;
  std::string format = TextOf(Find(schema, "format"));
  std::string out = Html(name) + (format.empty() ? "" : " <small>" + Html(format) + "</small>") + more;
  if (const JsonValue* values = Find(schema, "enum")) {
    out = "";
    for (const JsonValue& each : values->items) {
      if (each.kind == JsonValue::Kind::kString) out += (out.empty() ? "" : " | ") + Html(each.text);
    }
  }
  return out;
}

// What a value is bounded by, in small print.
std::string RulesOf(const Words& words, const JsonValue& schema) {
  std::string out;
  auto add = [&](const std::string& text) { out += (out.empty() ? "" : ", ") + text; };
  const JsonValue *min = Find(schema, "minimum"), *max = Find(schema, "maximum");
  if (min || max) add(TextOf(min) + " … " + TextOf(max));
  const JsonValue *shortest = Find(schema, "minLength"), *longest = Find(schema, "maxLength");
  if (longest) add((shortest ? shortest->text : "0") + " … " + longest->text + words.chars);
  if (const JsonValue* most = Find(schema, "maxItems")) add("≤ " + most->text);
  if (const JsonValue* pattern = Find(schema, "pattern")) add("<code>" + Html(pattern->text) + "</code>");
  return out.empty() ? "" : "<small class=\"rules\">" + out + "</small>";
}

std::string Row(const Words& words, const std::string& name, const JsonValue& schema, const std::string& description,
                bool required) {
  std::string marks;
  if (required) marks += std::string(" <em>") + words.required + "</em>";
  if (Find(schema, "readOnly")) marks += std::string(" <em class=\"quiet\">") + words.read_only + "</em>";
  if (Find(schema, "deprecated")) marks += std::string(" <em>") + words.deprecated + "</em>";
  return "<tr><th scope=\"row\"><code>" + Html(name) + "</code>" + marks + "</th><td>" + TypeOf(schema) +
         RulesOf(words, schema) + "</td><td>" + HtmlProse(description) + "</td></tr>\n";
}

std::string PropertiesTable(const Words& words, const JsonValue& schema) {
  const JsonValue* properties = Find(schema, "properties");
  if (!properties) return "";
  const JsonValue* required = Find(schema, "required");
  std::string out = "<div class=\"wide\"><table><tbody>\n";
  for (const auto& [name, each] : properties->members) {
    bool must = required && std::ranges::any_of(required->items, [&](const JsonValue& r) { return r.text == name; });
    out += Row(words, name, each, TextOf(Find(each, "description")), must);
  }
  return out + "</tbody></table></div>\n";
}

class Page {
 public:
  Page(const RoutingTable& table, const JsonValue& openapi, Language language)
      : openapi_(openapi), zh_(language == Language::kZh), words_(zh_ ? kZh : kEn) {
    for (const auto& route : table.routes()) routes_[OperationIdOf(*route)] = route.get();
  }

  std::string Make() {
    std::string nav, main;
    for (const JsonValue& tag : Find(openapi_, "tags")->items) {
      std::string name = TextOf(Find(tag, "name")), links, sections;
      Operations(name, &links, &sections);
      if (sections.empty()) continue;
      nav += "<li><a href=\"#tag-" + Html(name) + "\">" + Html(name) + "</a><ul>" + links + "</ul></li>\n";
      main += "<section class=\"tag\"><h2 id=\"tag-" + Html(name) + "\">" + Html(name) + "</h2>\n<p>" +
              HtmlProse(TextOf(Find(tag, "description"))) + "</p>\n" + sections + "</section>\n";
    }
    nav += std::string("<li><a href=\"#events\">") + words_.events + "</a></li><li><a href=\"#objects\">" +
           words_.objects + "</a></li><li><a href=\"/problems\">" + words_.problems + "</a></li>";
    std::string body = std::string("<a class=\"skip\" href=\"#calls\">") + words_.skip + "</a>\n<header><h1>" +
                       words_.title + "</h1><input id=\"search\" type=\"search\" placeholder=\"" + words_.search +
                       "\" aria-label=\"" + words_.search + "\" autocomplete=\"off\"><a href=\"" + words_.other_href +
                       "\" lang=\"" + (zh_ ? "en" : "zh-CN") + "\">" + words_.other +
                       "</a></header>\n<div class=\"page\">" + "<nav aria-label=\"" + words_.contents + "\"><ul>" +
                       nav + "</ul></nav>\n<main id=\"calls\" tabindex=\"-1\">\n" + "<section><h2 id=\"start\">" +
                       words_.start + "</h2>" + std::string(zh_ ? kConventionsZh : kConventionsEn) +
                       "</section>\n<p id=\"none\" hidden>" + words_.none + "</p>\n" + main + Events() + Objects() +
                       "</main></div>\n<script src=\"/docs/docs.js\" defer></script>";
    return HtmlPage(zh_ ? "zh-CN" : "en", words_.title, body);
  }

 private:
  void Operations(const std::string& tag, std::string* links, std::string* sections) {
    for (const auto& [path, item] : Find(openapi_, "paths")->members) {
      for (const auto& [method, operation] : item.members) {
        if (Find(operation, "tags")->items.front().text != tag) continue;
        std::string id = TextOf(Find(operation, "operationId")), verb = method;
        std::ranges::transform(verb, verb.begin(), [](unsigned char c) { return std::toupper(c); });
        *links += "<li><a href=\"#" + id + "\"><b class=\"" + method + "\">" + verb + "</b> " +
                  Html(path.substr(path.starts_with("/v1/") ? 3 : 0)) + "</a></li>\n";
        *sections += Operation(id, verb, path, operation);
      }
    }
  }

  std::string Operation(const std::string& id, const std::string& verb, const std::string& path,
                        const JsonValue& operation) {
    std::string summary = TextOf(Find(operation, "summary")), text = TextOf(Find(operation, "description"));
    if (text.starts_with(summary)) text.erase(0, summary.size());
    std::string method = verb;
    std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
    std::string out = "<article id=\"" + id + "\" data-words=\"" + Html(id + " " + verb + " " + path + " " + summary) +
                      "\"><h3><a href=\"#" + id + "\"><b class=\"" + method + "\">" + verb + "</b> <code>" +
                      Html(path) + "</code></a></h3>\n<p><strong>" + HtmlProse(summary) + "</strong> " +
                      HtmlProse(text) + "</p>\n";
    if (Find(operation, "deprecated")) out += std::string("<p><em>") + words_.deprecated + "</em></p>\n";
    out += ScopeOf(operation) + Parameters(operation) + Body(operation) + Answers(operation);
    auto route = routes_.find(id);
    if (route != routes_.end()) out += Example(*route->second);
    return out + "</article>\n";
  }

  std::string ScopeOf(const JsonValue& operation) const {
    const JsonValue* security = Find(operation, "security");
    if (!security || security->items.empty()) return std::string("<p class=\"quiet\">") + words_.open + "</p>\n";
    std::string scope;
    for (const JsonValue& each : security->items) {
      const JsonValue* scopes = Find(each, "oauth2");
      if (scopes && !scopes->items.empty()) scope = scopes->items.front().text;
    }
    return std::string("<p class=\"quiet\">") + words_.scope + ": <code>" + Html(scope) + "</code></p>\n";
  }

  // A parameter, or the one that it refers to.
  const JsonValue& Resolve(const JsonValue& value) const {
    std::string ref = TextOf(Find(value, "$ref"));
    if (ref.empty()) return value;
    size_t slash = ref.rfind('/'), before = ref.rfind('/', slash - 1);
    return *Find(*Find(*Find(openapi_, "components"), ref.substr(before + 1, slash - before - 1)),
                 ref.substr(slash + 1));
  }

  std::string Fold(const char* title, const std::string& content, bool open = false) const {
    if (content.empty()) return "";
    return std::string("<details") + (open ? " open" : "") + "><summary>" + title + "</summary>" + content +
           "</details>\n";
  }

  std::string Parameters(const JsonValue& operation) const {
    const JsonValue* parameters = Find(operation, "parameters");
    if (!parameters) return "";
    std::string rows;
    for (const JsonValue& reference : parameters->items) {
      const JsonValue& each = Resolve(reference);
      std::string in = TextOf(Find(each, "in"));
      rows += Row(words_, TextOf(Find(each, "name")), *Find(each, "schema"),
                  "(" + in + ") " + TextOf(Find(each, "description")), Find(each, "required") != nullptr);
    }
    return Fold(words_.parameters, "<div class=\"wide\"><table><tbody>\n" + rows + "</tbody></table></div>");
  }

  std::string Content(const JsonValue& content) const {
    std::string out;
    for (const auto& [type, media] : content.members) {
      const JsonValue* schema = Find(media, "schema");
      bool named = schema && Find(*schema, "$ref");
      out += "<p><code>" + Html(type) + "</code>" + (named ? " " + SchemaLink(RefName(*schema)) : "") + "</p>\n";
      if (named) out += PropertiesTable(words_, Resolve(*schema));
    }
    return out;
  }

  std::string Body(const JsonValue& operation) const {
    const JsonValue* body = Find(operation, "requestBody");
    return body ? Fold(words_.body, Content(*Find(*body, "content"))) : "";
  }

  std::string Answers(const JsonValue& operation) const {
    std::string good, bad;
    for (const auto& [status, reference] : Find(operation, "responses")->members) {
      const JsonValue& answer = Resolve(reference);
      const JsonValue* codes = Find(answer, "x-codes");
      if (!codes) {
        const JsonValue* content = Find(answer, "content");
        good += "<p><b>" + status + "</b> " + HtmlProse(TextOf(Find(answer, "description"))) + "</p>\n" +
                (content ? Content(*content) : "");
        continue;
      }
      bad += "<li><b>" + status + "</b>";
      for (const JsonValue& code : codes->items)
        bad += " <a href=\"" + http::ProblemType(code.text) + "\"><code>" + Html(code.text) + "</code></a>";
      bad += "</li>\n";
    }
    return Fold(words_.answer, good) + Fold(words_.errors, bad.empty() ? "" : "<ul>" + bad + "</ul>");
  }

  // A call that can be pasted into a shell.
  std::string Example(const Route& route) const {
    std::string path;
    for (const auto& segment : route.segments)
      path += "/" + (segment.parameter ? ExampleOf(segment.parameter).text : segment.literal);
    if (!route.verb.empty()) path += ":" + route.verb;
    std::string query;
    for (const auto& [name, field] : QueryParametersOf(route)) {
      if (field->options().GetExtension(type::field).required())
        query += (query.empty() ? "?" : "&") + name + "=" + ExampleOf(field).text;
    }
    std::string call = "curl ";
    if (route.rule.method != "GET") call += "-X " + route.rule.method + " ";
    call += "'" + std::string(kBasePlaceholder) + path + query + "'";
    auto header = [&](const std::string& text) { call += " \\\n  -H " + text; };
    if (!route.rules->public_()) header("\"Authorization: Bearer $MILLRACE_KEY\"");
    if (route.rules->idempotency_key()) header("\"Idempotency-Key: $(uuidgen)\"");
    if (route.rules->if_match()) header("'If-Match: *'");
    if (!route.rule.body.empty()) call += BodyExample(route);
    return Fold(words_.example, std::string("<p class=\"quiet\">") + words_.note + "</p><pre tabindex=\"0\"><code>" +
                                    Html(call) + "</code></pre><button type=\"button\" class=\"copy\" hidden>" +
                                    words_.copy + "</button>");
  }

  // One member that may change.
  static JsonValue PatchExample(const google::protobuf::Descriptor* type) {
    JsonValue body = JsonObject();
    for (int i = 0; i < type->field_count() && body.members.empty(); ++i) {
      const auto* field = type->field(i);
      const auto& rules = field->options().GetExtension(type::field);
      bool plain = field->type() == google::protobuf::FieldDescriptor::TYPE_STRING && !field->is_repeated();
      if (plain && !rules.output_only() && rules.id().empty()) Put(&body, field->name(), ExampleOf(field));
    }
    return body;
  }

  static std::string BodyExample(const Route& route) {
    if (route.raw_body) {
      std::string type = MediaTypesOf("").front();
      return " \\\n  -H 'Content-Type: " + type + "' \\\n  --data-binary @file";
    }
    std::set<std::string> without;
    for (const auto& segment : route.segments) {
      if (segment.parameter) without.insert(segment.parameter->name());
    }
    JsonValue body =
        route.body_field ? ExampleOf(route.body_field->message_type()) : ExampleOf(route.method->input_type(), without);
    if (route.patch) body = PatchExample(route.body_field->message_type());
    return " \\\n  -H 'Content-Type: " + AcceptedTypes(route) + "' \\\n  -d '" + WriteTree(body, true) + "'";
  }

  std::string Events() const {
    std::string out = std::string("<section class=\"tag\"><h2 id=\"events\">") + words_.events + "</h2>\n<ul>";
    const JsonValue* webhooks = Find(openapi_, "webhooks");
    for (const auto& [type, item] : webhooks->members) out += "<li><code>" + Html(type) + "</code></li>\n";
    return out + "</ul>\n<p>" + SchemaLink("EventEnvelope") + "</p></section>\n";
  }

  std::string Objects() const {
    std::string out = std::string("<section class=\"tag\"><h2 id=\"objects\">") + words_.objects + "</h2>\n";
    for (const auto& [name, schema] : Find(*Find(openapi_, "components"), "schemas")->members) {
      out += "<article id=\"schema-" + Html(name) + "\" data-words=\"" + Html(name) + "\"><h3><a href=\"#schema-" +
             Html(name) + "\">" + Html(name) + "</a></h3>\n<p>" + HtmlProse(TextOf(Find(schema, "description"))) +
             "</p>\n" + PropertiesTable(words_, schema) + "</article>\n";
    }
    return out + "</section>\n";
  }

  const JsonValue& openapi_;
  bool zh_;
  const Words& words_;
  std::map<std::string, const Route*> routes_;
};

}  // namespace

std::string DocsPage(const RoutingTable& table, const JsonValue& openapi, Language language) {
  return Page(table, openapi, language).Make();
}

}  // namespace millrace::gateway
