// SPDX-License-Identifier: Apache-2.0
#include "common/taxonomy/taxonomy.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <tuple>
#include <unordered_map>

#include "common/base/embedded_file.h"
#include "common/base/text.h"

namespace millrace {

std::span<const EmbeddedFile> TaxonomyFiles();

namespace taxonomy {
namespace {

// A word of Latin letters and digits, or one character of any other script.
struct Token {
  std::string text;
  bool word = false;
};

bool IsWordByte(unsigned char c) { return c < 0x80 && std::isalnum(c); }

// "microscopes" and "microscope" are one word; "mass", "focus" and "analysis" are no plurals.
std::string Singular(std::string word) {
  if (word.size() < 5 || word.back() != 's') return word;
  char before = word[word.size() - 2];
  if (before != 's' && before != 'u' && before != 'i') word.pop_back();
  return word;
}

std::vector<Token> Tokens(std::string_view text) {
  std::string folded = FoldText(text);
  std::vector<Token> tokens;
  for (size_t at = 0; at < folded.size();) {
    unsigned char c = static_cast<unsigned char>(folded[at]);
    size_t end = at + 1;
    if (IsWordByte(c)) {
      while (end < folded.size() && IsWordByte(static_cast<unsigned char>(folded[end]))) ++end;
      tokens.push_back({Singular(folded.substr(at, end - at)), true});
    } else if (c >= 0x80) {
      while (end < folded.size() && (static_cast<unsigned char>(folded[end]) & 0xC0) == 0x80) ++end;
      tokens.push_back({folded.substr(at, end - at), false});
    }
    at = end;
  }
  return tokens;
}

// How much a name says: letters of its words, and a character of Chinese for two.
double Weight(const std::vector<Token>& tokens) {
  double weight = 0;
  for (const Token& token : tokens) weight += token.word ? static_cast<double>(token.text.size()) : 2.0;
  return weight;
}

// An acronym of two characters ("PC", "T2") is meant only where it is written in capitals.
bool NeedsCapitals(const std::vector<Token>& tokens) {
  return tokens.size() == 1 && tokens[0].word && tokens[0].text.size() <= 2;
}

// Two digits alone ("45#" without its sign) name nothing.
bool Unusable(const std::vector<Token>& tokens) {
  if (tokens.empty()) return true;
  if (tokens.size() > 1 || !tokens[0].word) return false;
  return tokens[0].text.size() < 2 ||
         (tokens[0].text.size() < 3 &&
          std::ranges::all_of(tokens[0].text, [](char c) { return c >= '0' && c <= '9'; }));
}

struct Name {
  std::vector<Token> tokens;
  std::string text;
  int node;
  double weight;
};

// Names by their first token.
using Names = std::unordered_map<std::string, std::vector<Name>>;

struct Match {
  const Name* name;
  size_t begin, end;  // tokens of the text
  double held;        // share of the name that the text holds, below 1 for a name that the text cuts off
};

// The tokens of `name` from text[at] on; a text that was cut within the name's last word still names it.
std::optional<Match> MatchAt(const std::vector<Token>& text, size_t at, const Name& name) {
  constexpr size_t kLeastCutWord = 3;
  for (size_t i = 0; i < name.tokens.size(); ++i) {
    if (at + i >= text.size()) return std::nullopt;
    const std::string& have = text[at + i].text;
    const std::string& want = name.tokens[i].text;
    if (have == want) continue;
    bool last = i + 1 == name.tokens.size() && at + i + 1 == text.size();
    if (!last || i == 0 || !name.tokens[i].word || have.size() < kLeastCutWord || !want.starts_with(have))
      return std::nullopt;
    return Match{&name, at, at + i + 1, 1.0 - static_cast<double>(want.size() - have.size()) / name.weight};
  }
  return Match{&name, at, at + name.tokens.size(), 1.0};
}

std::vector<Found> Find(const Names& names, const std::vector<Node>& nodes, std::string_view raw) {
  std::vector<Token> text = Tokens(raw);
  std::vector<Match> matches;
  for (size_t at = 0; at < text.size(); ++at) {
    auto found = names.find(text[at].text);
    if (found == names.end()) continue;
    for (const Name& name : found->second) {
      if (NeedsCapitals(name.tokens) && raw.find(name.text) == std::string_view::npos) continue;
      if (auto match = MatchAt(text, at, name)) matches.push_back(*match);
    }
  }
  // Longer names first; of equal ones the more specific node.
  std::ranges::sort(matches, [&](const Match& a, const Match& b) {
    double wa = a.name->weight * a.held, wb = b.name->weight * b.held;
    if (wa != wb) return wa > wb;
    int da = nodes[a.name->node].depth, db = nodes[b.name->node].depth;
    return std::tuple(-da, a.begin, a.name->node) < std::tuple(-db, b.begin, b.name->node);
  });
  std::vector<Match> kept;
  std::vector<Found> found;
  for (const Match& match : matches) {
    const Node& node = nodes[match.name->node];
    bool inside = std::ranges::any_of(kept, [&](const Match& longer) {
      bool same_span = longer.begin == match.begin && longer.end == match.end;
      return !same_span && longer.begin <= match.begin && match.end <= longer.end;
    });
    // A node above or equal to one that was found says nothing more.
    bool implied = std::ranges::any_of(
        found, [&](const Found& f) { return node.begin <= f.node->begin && f.node->end <= node.end; });
    if (inside || implied) continue;
    kept.push_back(match);
    std::erase_if(found, [&](const Found& f) { return f.node->begin <= node.begin && node.end <= f.node->end; });
    double confidence = std::min(0.92, 0.25 + 0.06 * match.name->weight) * match.held + 0.02 * std::min(node.depth, 4);
    found.push_back({&node, confidence, match.name->text});
  }
  return found;
}

std::vector<std::string> Texts(const YAML::Node& list) {
  std::vector<std::string> texts;
  for (const auto& entry : list) texts.push_back(entry.as<std::string>());
  return texts;
}

// Nodes in pre-order, whatever order the file has.
std::vector<Node> Read(std::string_view yaml, const char* root) {
  std::vector<Node> read;
  std::unordered_map<std::string, std::vector<size_t>> children;
  for (const auto& entry : YAML::Load(std::string(yaml))[root]) {
    Node node;
    node.code = entry["code"].as<std::string>();
    if (!entry["parent"].IsNull()) node.parent = entry["parent"].as<std::string>();
    node.zh = entry["zh"].as<std::string>();
    node.en = entry["en"].as<std::string>();
    node.synonyms = Texts(entry["synonyms_zh"]);
    for (std::string& synonym : Texts(entry["synonyms_en"])) {
      if (std::ranges::find(node.synonyms, synonym) == node.synonyms.end()) node.synonyms.push_back(std::move(synonym));
    }
    children[node.parent].push_back(read.size());
    read.push_back(std::move(node));
  }
  std::vector<Node> nodes;
  std::function<void(const std::string&, int)> walk = [&](const std::string& parent, int depth) {
    for (size_t index : children[parent]) {
      size_t at = nodes.size();
      nodes.push_back(read[index]);
      nodes[at].begin = static_cast<int>(at);
      nodes[at].depth = depth;
      std::string code = nodes[at].code;
      walk(code, depth + 1);
      nodes[at].end = static_cast<int>(nodes.size());
    }
  };
  walk("", 0);
  if (nodes.size() != read.size()) throw std::runtime_error(std::string(root) + ": a parent is missing");
  return nodes;
}

void AddNames(Names& names, const std::vector<Node>& nodes) {
  for (const Node& node : nodes) {
    auto add = [&](const std::string& text) {
      std::vector<Token> tokens = Tokens(text);
      if (Unusable(tokens)) return;
      double weight = Weight(tokens);
      std::string first = tokens.front().text;
      names[first].push_back({std::move(tokens), text, node.begin, weight});
    };
    add(node.zh);
    add(node.en);
    for (const std::string& synonym : node.synonyms) add(synonym);
  }
}

const Node* ByCode(const std::unordered_map<std::string_view, const Node*>& codes, std::string_view code) {
  auto found = codes.find(code);
  return found == codes.end() ? nullptr : found->second;
}

}  // namespace

struct Taxonomy::Index {
  Names process_names, material_names;
  std::unordered_map<std::string_view, const Node*> processes, materials;
};

Taxonomy::Taxonomy() {
  for (const EmbeddedFile& file : TaxonomyFiles()) {
    if (file.name == "processes.yaml") processes_ = Read(file.bytes, "processes");
    if (file.name == "materials.yaml") materials_ = Read(file.bytes, "materials");
  }
  auto* index = new Index;  // lives as long as the one instance, which is the program's
  AddNames(index->process_names, processes_);
  AddNames(index->material_names, materials_);
  for (const Node& node : processes_) index->processes.emplace(node.code, &node);
  for (const Node& node : materials_) index->materials.emplace(node.code, &node);
  index_ = index;
}

const Taxonomy& Taxonomy::BuiltIn() {
  static const Taxonomy* taxonomy = new Taxonomy;
  return *taxonomy;
}

const Node* Taxonomy::Process(std::string_view code) const { return ByCode(index_->processes, code); }
const Node* Taxonomy::Material(std::string_view code) const { return ByCode(index_->materials, code); }

double Taxonomy::Similarity(const Node& a, const Node& b) const {
  // `a` and `b` are of the same list; a node's place in it is its `begin`.
  bool processes = !processes_.empty() && &a >= processes_.data() && &a < processes_.data() + processes_.size();
  const Node* above = &a;
  while (above && !(above->begin <= b.begin && b.end <= above->end)) {
    above = above->parent.empty() ? nullptr : processes ? Process(above->parent) : Material(above->parent);
  }
  if (!above) return 0;
  return 2.0 * (above->depth + 1) / (a.depth + 1 + b.depth + 1);
}

std::vector<Found> Taxonomy::FindProcesses(std::string_view text) const {
  return Find(index_->process_names, processes_, text);
}
std::vector<Found> Taxonomy::FindMaterials(std::string_view text) const {
  return Find(index_->material_names, materials_, text);
}

}  // namespace taxonomy
}  // namespace millrace
