// SPDX-License-Identifier: Apache-2.0
#include "common/base/phrases.h"

namespace millrace {
namespace {

struct Phrase {
  std::string_view en, zh;  // {} is what differs, at most one
};

// Readers of JSON, HTTP and queries say in English what they expected and got; this is their Chinese.
constexpr Phrase kPhrases[] = {
    {"a string", "字符串"},
    {"a list", "列表"},
    {"an object", "对象"},
    {"a value", "一个值"},
    {"true or false", "true 或 false"},
    {"an integer", "整数"},
    {"a 64-bit integer or a string of its digits", "整数（64 位），或由其数字组成的字符串"},
    {"a greater number", "更大的数"},
    {"a number", "数字"},
    {"a number within double precision", "双精度范围内的数字"},
    {"a whole number such as 123", "整数，例如 123"},
    {"an RFC 3339 time in a string", "字符串形式的 RFC 3339 时间"},
    {"only one of {}", "只给出其中之一：{}"},
    {"one of {}", "以下之一：{}"},
    {"{} cells, as in the header", "与表头相同的 {} 列"},
    {"a quote is not closed", "引号没有结束"},
    {"the column is missing", "缺少此列"},
    {"the column stands twice", "此列出现了两次"},
    {"there is no such column; columns are {}", "没有这样的列；可用的列：{}"},
    {"base64 (RFC 4648) with padding", "带填充的 base64（RFC 4648）"},
    {"now", "现在"},
    // JSON
    {"a byte order mark is not allowed", "不能带字节顺序标记（BOM）"},
    {"the text is empty", "内容为空"},
    {"there is more text after the value", "值之后还有多余的内容"},
    {"the text ends too early", "内容不完整"},
    {"a value must stand here", "此处应为一个值"},
    {"values are nested deeper than {} levels", "嵌套超过 {} 层"},
    {"a name in double quotes must stand here", "此处应为双引号括起的名称"},
    {"the name stands twice in one object", "同一对象中名称重复"},
    {"a colon must stand here", "此处应为冒号"},
    {"a comma or } must stand here", "此处应为逗号或 }"},
    {"a comma or ] must stand here", "此处应为逗号或 ]"},
    {"JSON's own signs are half-width: \" : , { } [ ]", "JSON 的标点须为半角：\" : , { } [ ]"},
    {"a digit must stand here", "此处应为数字"},
    {"a number may not start with 0", "数字不能以 0 开头"},
    {"a number may have at most 100 characters", "数字最多 100 个字符"},
    {"the text ends inside a string", "字符串没有结束"},
    {"control characters in a string must be escaped", "字符串中的控制字符须转义"},
    {"the text is not valid UTF-8", "不是合法的 UTF-8"},
    {"four hexadecimal digits must stand here", "此处应为四位十六进制数字"},
    {"there is no such escape", "没有这种转义"},
    {"a surrogate stands alone", "代理项不成对"},
    // Queries and bodies
    {"there is no such parameter", "没有这个参数"},
    {"it stands more than once", "参数重复"},
    {"percent-encoded UTF-8 is expected", "应为百分号编码的 UTF-8"},
    {"(no body)", "（无请求体）"},
    {"no Content-Encoding", "（不带 Content-Encoding）"},
    {"the file itself, with its own type", "文件本身，用文件自己的类型"},
    // HTTP
    {"field names may not hold an underscore: {}", "字段名不能含下划线：{}"},
    {"the value of {} must be visible ASCII", "{} 的值须为可见 ASCII 字符"},
    {"the field {} may stand only once", "字段 {} 只能出现一次"},
    {"the field Host is missing", "缺少字段 Host"},
    {"the field Host is not a host", "字段 Host 不是主机名"},
    {"HTTP/1.0 has no Transfer-Encoding", "HTTP/1.0 没有 Transfer-Encoding"},
    {"Content-Length and Transfer-Encoding exclude each other", "Content-Length 与 Transfer-Encoding 不能并存"},
    {"the only Transfer-Encoding is chunked", "Transfer-Encoding 只能是 chunked"},
    {"Content-Length must be digits", "Content-Length 须为数字"},
    {"{} has no body", "{} 不能带请求体"},
    {"the only Expect is 100-continue", "Expect 只能是 100-continue"},
    {"lines end with CR LF", "行须以 CR LF 结尾"},
    {"a field may not be folded over lines", "字段不能折行"},
    {"the options of Connection are tokens", "Connection 的选项须为 HTTP 记号"},
    {"the first line must be METHOD /target HTTP/1.1", "首行须为 METHOD /target HTTP/1.1"},
    {"a field's line must be Name: value", "字段行须为 Name: value"},
    {"the version must be HTTP/1.1 or HTTP/1.0", "版本须为 HTTP/1.1 或 HTTP/1.0"},
    {"the target must begin with /", "地址须以 / 开头"},
    {"the target must be percent-encoded", "地址须用百分号编码（中文参数可用 curl -G --data-urlencode）"},
    {"a chunk's size is too great", "分块过大"},
    {"a chunk's size must be hexadecimal", "分块长度须为十六进制"},
    {"chunk extensions and trailers hold more than 8 KiB", "分块扩展与尾部超过 8 KiB"},
    {"a chunk extension holds a control character", "分块扩展含控制字符"},
    {"a chunk is longer than its size", "分块长于其声明的长度"},
    {"a trailer holds a control character", "尾部含控制字符"},
    {"this port speaks https", "此端口只接受 https"},
    {"it leads to an address that is not public", "它指向非公网地址"},
    // URLs that are called
    {"blanks, control and non-ASCII characters must be percent-encoded", "空格、控制字符和非 ASCII 字符须用百分号编码"},
    {"it must begin with https://", "须以 https:// 开头"},
    {"it may have no fragment", "不能带 # 片段"},
    {"it may hold no user or password", "不能含用户名或密码"},
    {"the host is not valid", "主机名无效"},
    {"the port must be 1 to 65535", "端口须为 1 到 65535"},
    {"the host has no address", "主机名没有对应的地址"},
    {"the host's address is not public; webhook_allow_cidrs can allow it",
     "主机地址不是公网地址；运营方可用 webhook_allow_cidrs 放行"},
};

}  // namespace

std::string ChinesePhrase(std::string_view english) {
  for (const Phrase& phrase : kPhrases) {
    if (phrase.en == english) return std::string(phrase.zh);
    size_t hole = phrase.en.find("{}");
    if (hole == phrase.en.npos) continue;
    std::string_view before = phrase.en.substr(0, hole), after = phrase.en.substr(hole + 2);
    bool fits =
        english.size() > before.size() + after.size() && english.starts_with(before) && english.ends_with(after);
    if (!fits) continue;
    std::string out(phrase.zh);
    return out.replace(out.find("{}"), 2, english.substr(before.size(), english.size() - before.size() - after.size()));
  }
  return std::string(english);
}

}  // namespace millrace
