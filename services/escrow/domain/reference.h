// SPDX-License-Identifier: Apache-2.0
// The payment reference: how a bank transfer says whose balance it is for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace::escrow::domain {

// "MR" and 13 Crockford characters from the first 65 bits of `digest` (a hash of the organization's id, at least 9
// bytes).
std::string MakeReference(std::string_view digest);
// Every reference that a remark may hold, as people type it: in any case, with blanks and dashes, O for 0, I and L for
// 1, words around it. At most 8.
std::vector<std::string> FindReferences(std::string_view remark);

}  // namespace millrace::escrow::domain
