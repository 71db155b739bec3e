// SPDX-License-Identifier: Apache-2.0
#include "common/base/uscc.h"

namespace millrace {
namespace {

constexpr std::string_view kAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY";

}  // namespace

char UsccCheckCharacter(std::string_view first17) {
  int sum = 0;
  int weight = 1;
  for (char c : first17.substr(0, 17)) {
    size_t value = kAlphabet.find(c);
    if (value == kAlphabet.npos) return 0;
    sum += static_cast<int>(value) * weight;
    weight = weight * 3 % 31;
  }
  return first17.size() < 17 ? '\0' : kAlphabet[static_cast<size_t>((31 - sum % 31) % 31)];
}

Result<void> CheckUscc(std::string_view uscc, std::string_view pointer) {
  if (uscc.size() != 18 || uscc.find_first_not_of(kAlphabet) != uscc.npos) {
    return Fail(Error::At(std::string(pointer), ErrorCode::kUsccFormat));
  }
  if (UsccCheckCharacter(uscc) != uscc[17]) {
    return Fail(Error::At(std::string(pointer), ErrorCode::kUsccCheckDigit, {{"uscc", std::string(uscc)}}));
  }
  return {};
}

}  // namespace millrace
