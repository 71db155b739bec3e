// SPDX-License-Identifier: Apache-2.0
// The processes (rooted in DIN 8580, with service branches) and materials that capabilities and demands are stated in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace millrace::taxonomy {

// A node. Nodes are numbered in pre-order, so a subtree is [begin, end).
struct Node {
  std::string code, parent, zh, en;
  std::vector<std::string> synonyms;  // both languages
  int begin = 0, end = 0;
  int depth = 0;
};

// A node that a text names.
struct Found {
  const Node* node;
  double confidence;    // 0 to 1: how much of the name the text holds, and how specific it is
  std::string matched;  // the name or synonym
};

class Taxonomy {
 public:
  // data/processes.yaml and data/materials.yaml, in the binary; read at first use, immutable.
  static const Taxonomy& BuiltIn();

  const std::vector<Node>& processes() const { return processes_; }
  const std::vector<Node>& materials() const { return materials_; }
  const Node* Process(std::string_view code) const;
  const Node* Material(std::string_view code) const;
  // Whether `offered` does what `wanted` asks: the same node, or one below it.
  bool Serves(const Node& offered, const Node& wanted) const { return wanted.begin <= offered.begin && offered.end <= wanted.end; }
  // Wu-Palmer similarity, 0 to 1.
  double Similarity(const Node& a, const Node& b) const;
  // Nodes that a text in Chinese or English names ("五轴加工 6061 铝件"), best first; a longer name wins over a shorter one inside it.
  std::vector<Found> FindProcesses(std::string_view text) const;
  std::vector<Found> FindMaterials(std::string_view text) const;

 private:
  Taxonomy();
  struct Index;
  std::vector<Node> processes_, materials_;
  const Index* index_;
};

}  // namespace millrace::taxonomy
