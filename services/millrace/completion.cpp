// SPDX-License-Identifier: Apache-2.0
#include "services/millrace/completion.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "common/base/words.h"
#include "services/millrace/arguments.h"
#include "services/millrace/command_line.h"
#include "services/millrace/resources.h"
#include "services/millrace/terminal.h"

namespace millrace {
namespace {

// COMP_WORDBREAKS holds ":" and "=", which would cut our words; `__millrace_words` is the line up to the cursor, split
// at blanks alone.
constexpr char kBash[] = R"sh(# bash: source <(millrace completion bash)
_millrace() {
  local line="${COMP_LINE:0:COMP_POINT}" words current candidate
  read -ra words <<<"$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  current="${words[${#words[@]}-1]}"
  COMPREPLY=()
  while IFS=$'\t' read -r candidate _; do
    COMPREPLY+=("$candidate")
  done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
  if [[ ${#COMPREPLY[@]} == 0 && "$current" != -* ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r candidate; do COMPREPLY+=("$candidate"); done < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
  fi
}
complete -F _millrace millrace
)sh";

constexpr char kZsh[] = R"sh(#compdef millrace
# zsh: source <(millrace completion zsh), or a file _millrace in $fpath
_millrace() {
  local -a candidates
  local word what
  while IFS=$'\t' read -r word what; do
    candidates+=("${word//:/\\:}:$what")
  done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( ${#candidates} )); then
    _describe 'millrace' candidates
  else
    _files
  fi
}
compdef _millrace millrace
)sh";

constexpr char kFish[] = R"sh(# fish: millrace completion fish | source
function __millrace_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] complete -- $words[2..-1] 2>/dev/null
end
complete -c millrace -f -a '(__millrace_complete)'
complete -c millrace -n 'test -z "(__millrace_complete)"' -F
)sh";

// Flags that a usage text names: "--data FOLDER" has a value, "--split" has none.
std::vector<GenericFlag> FlagsOf(const std::string& usage) {
  std::set<std::string> seen;
  std::vector<GenericFlag> flags;
  for (size_t at = usage.find("--"); at != usage.npos; at = usage.find("--", at + 2)) {
    size_t end = std::min(usage.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at), usage.size());
    std::string name = usage.substr(at, end - at);
    if (name.size() < 4 || !seen.insert(name).second) continue;
    bool has_value = end < usage.size() && (usage[end] == '=' || (usage[end] == ' ' && end + 1 < usage.size() &&
                                                                  usage[end + 1] >= 'A' && usage[end + 1] <= 'Z'));
    flags.push_back({std::move(name), has_value, ""});
  }
  return flags;
}

class Completer {
 public:
  explicit Completer(const std::vector<std::string>& words) : words_(words), current_(words.back()) {}

  std::vector<Candidate> Run() {
    if (words_.size() == 1) {
      for (const Command& command : Commands()) Offer(command.name, command.what);
      std::string last;
      for (const ResourceCommand& command : ResourceCommands()) {
        if (command.noun != last && !FindCommand(command.noun)) Offer(command.noun, "resources of the API");
        last = command.noun;
      }
      return std::move(found_);
    }
    if (const Command* command = FindCommand(words_[0])) {
      OfCommand(*command);
    } else if (IsNoun(words_[0])) {
      OfNoun();
    }
    return std::move(found_);
  }

 private:
  void Offer(const std::string& word, const std::string& what) {
    if (word.starts_with(current_)) found_.push_back({word, what});
  }

  void OfCommand(const Command& command) {
    std::vector<GenericFlag> flags = FlagsOf(command.usage);
    if (words_.size() == 2 && !current_.starts_with('-')) {
      for (const std::string& verb : SplitWords(command.verbs)) Offer(verb, "");
    }
    if (WantsValue(flags, nullptr)) return;
    if (current_.starts_with('-')) OfferFlags(flags);
  }

  void OfNoun() {
    if (words_.size() == 2) {
      for (const ResourceCommand& command : ResourceCommands()) {
        if (command.noun == words_[0]) Offer(command.verb, command.help);
      }
      if (words_[0] == "events") Offer("tail", "Prints events as they happen.");
      return;
    }
    const ResourceCommand* command = FindResource(words_[0], words_[1]);
    if (WantsValue(kGenericFlags, command) || !current_.starts_with('-')) return;
    if (command) {
      for (const google::protobuf::FieldDescriptor* field : FlagFields(*command)) Offer(FlagName(field->name()), "");
    }
    OfferFlags(kGenericFlags);
  }

  void OfferFlags(const std::vector<GenericFlag>& flags) {
    for (const GenericFlag& flag : flags) Offer(flag.name, flag.what);
    Offer("--help", "show how it is used");
  }

  // Whether the word before is a flag whose value stands here; offers what it may say.
  bool WantsValue(const std::vector<GenericFlag>& flags, const ResourceCommand* command) {
    const std::string& before = words_[words_.size() - 2];
    if (!before.starts_with("--") || before.find('=') != before.npos) return false;
    for (const GenericFlag& flag : flags) {
      if (before == flag.name) return flag.has_value;
    }
    if (!command) return false;
    for (const google::protobuf::FieldDescriptor* field : FlagFields(*command)) {
      if (FlagName(field->name()) != before) continue;
      for (const std::string& value : FlagValues(field)) Offer(value, "");
      return true;
    }
    return false;
  }

  const std::vector<std::string>& words_;
  const std::string& current_;
  std::vector<Candidate> found_;
};

}  // namespace

std::vector<Candidate> Complete(const std::vector<std::string>& words) {
  return words.empty() ? std::vector<Candidate>() : Completer(words).Run();
}

int RunCompletion(std::vector<std::string> arguments) {
  std::string shell = arguments.size() == 1 ? arguments[0] : "";
  const char* script = shell == "bash" ? kBash : shell == "zsh" ? kZsh : shell == "fish" ? kFish : nullptr;
  if (!script) return Misused("completion for which shell? `millrace completion bash`, zsh or fish");
  std::fputs(script, stdout);
  return kDone;
}

int RunComplete(std::vector<std::string> words) {
  if (!words.empty() && words[0] == "--") words.erase(words.begin());
  for (const Candidate& candidate : Complete(words)) {
    std::printf("%s\t%s\n", candidate.word.c_str(), candidate.what.c_str());
  }
  return kDone;
}

}  // namespace millrace
