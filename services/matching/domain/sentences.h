// SPDX-License-Identifier: Apache-2.0
// What a match says to people, in both languages.
#pragma once

#include "services/matching/domain/match.h"

namespace millrace::matching::domain {

struct Sentence {
  std::string zh, en;
};
struct Shortcoming {
  std::string have, need;
  Sentence sentence;
};
struct Change {
  std::string from, to;
  Sentence sentence;
};

Sentence Explain(const Match& match, const Need& need);
Sentence ExplainPart(const ScorePart& part, const Match& match, const Need& need);
Shortcoming Describe(Constraint constraint, const Miss& miss, const Need& need);
Change Describe(const Relaxation& relaxation, const Need& need);

}  // namespace millrace::matching::domain
