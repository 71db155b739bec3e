// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "millrace/credit/v1/credit.pb.h"
#include "services/credit/domain/model.h"

namespace millrace::credit {

inline constexpr size_t kExplainedFacts = 20;  // newest of each dimension

// Why `facts`, the whole log of one role, lead to their score, and what leads on from `standing`. Sums to the score
// exactly.
v1::Explanation Explain(domain::Role role, const std::vector<domain::Fact>& facts, const domain::Standing& standing);

}  // namespace millrace::credit
