// SPDX-License-Identifier: Apache-2.0
#include "services/escrow/domain/reference.h"

#include <algorithm>
#include <cstdint>

namespace millrace::escrow::domain {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr size_t kDigits = 13;
constexpr size_t kFoundMax = 8;

char Fold(char c) {
  if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return c;
}

char Digit(char c) {
  if (c == 'O') return '0';
  if (c == 'I' || c == 'L') return '1';
  return c;
}

}  // namespace

std::string MakeReference(std::string_view digest) {
  std::string out = "MR";
  uint32_t bits = 0;
  int held = 0;
  size_t at = 0;
  while (out.size() < 2 + kDigits) {
    if (held < 5) {
      bits = bits << 8 | static_cast<uint8_t>(digest[at++]);
      held += 8;
    }
    out += kAlphabet[bits >> (held - 5) & 31];
    held -= 5;
  }
  return out;
}

std::vector<std::string> FindReferences(std::string_view remark) {
  std::string text;
  for (char c : remark) {
    if (c != ' ' && c != '-' && c != '\t') text += Fold(c);
  }
  std::vector<std::string> found;
  for (size_t i = 0; i + 2 + kDigits <= text.size() && found.size() < kFoundMax; ++i) {
    if (text[i] != 'M' || text[i + 1] != 'R') continue;
    std::string candidate = "MR";
    for (size_t k = 0; k < kDigits; ++k) candidate += Digit(text[i + 2 + k]);
    bool fits = std::all_of(candidate.begin() + 2, candidate.end(),
                            [](char c) { return kAlphabet.find(c) != std::string_view::npos; });
    if (fits && std::find(found.begin(), found.end(), candidate) == found.end()) found.push_back(candidate);
  }
  return found;
}

}  // namespace millrace::escrow::domain
