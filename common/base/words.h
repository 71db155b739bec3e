// SPDX-License-Identifier: Apache-2.0
// Words that hold no comma (roles, scopes, codes) as one text, and back: for metadata, SQL's parameters and sentences.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace {

template <class Words>
std::string JoinWords(const Words& words, std::string_view separator = ",") {
  std::string text;
  for (const auto& word : words) {
    if (!text.empty()) text += separator;
    text += word;
  }
  return text;
}

// Of a text that JoinWords made with its usual separator; nothing between two commas is no word.
inline std::vector<std::string> SplitWords(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    size_t comma = text.find(',');
    if (comma > 0) words.emplace_back(text.substr(0, comma));
    text.remove_prefix(comma == text.npos ? text.size() : comma + 1);
  }
  return words;
}

}  // namespace millrace
