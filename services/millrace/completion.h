// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace millrace {

// What may stand where a shell completes: a word, and what it means.
struct Candidate {
  std::string word, what;
};

// `words`: what stands behind the program's name; the last one, perhaps empty, is being typed. Commands, nouns and
// verbs, flags and their values, from the commands' table and the contract. Nothing where a file name may stand.
std::vector<Candidate> Complete(const std::vector<std::string>& words);

// `completion bash|zsh|fish`: prints what that shell evaluates. It asks this program each time, so it never is stale.
int RunCompletion(std::vector<std::string> arguments);
// `complete WORD…`, which those scripts call: a candidate a line, its meaning behind a tab.
int RunComplete(std::vector<std::string> words);

}  // namespace millrace
