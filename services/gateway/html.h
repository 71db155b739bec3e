// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace millrace::gateway {

// Text as HTML: & < > " escaped.
std::string Html(std::string_view text);
// The same, with `code` between backticks and lines that begin with "- " as list items.
std::string HtmlProse(std::string_view text);
// A whole page with the site's style, in a language ("zh-CN", "en").
std::string HtmlPage(std::string_view language, std::string_view title, std::string_view body);

}  // namespace millrace::gateway
