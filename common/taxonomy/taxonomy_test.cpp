// SPDX-License-Identifier: Apache-2.0
#include "common/taxonomy/taxonomy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

namespace millrace::taxonomy {
namespace {

const Taxonomy& kTaxonomy = Taxonomy::BuiltIn();

std::set<std::string> Codes(const std::vector<Found>& found) {
  std::set<std::string> codes;
  for (const Found& f : found) codes.insert(f.node->code);
  return codes;
}

TEST(Taxonomy, NodesAreInPreOrderWithSubtreesAsRanges) {
  for (const auto* nodes : {&kTaxonomy.processes(), &kTaxonomy.materials()}) {
    ASSERT_GT(nodes->size(), 40u);
    std::set<std::string> codes;
    for (size_t i = 0; i < nodes->size(); ++i) {
      const Node& node = (*nodes)[i];
      EXPECT_TRUE(codes.insert(node.code).second) << node.code;
      EXPECT_EQ(node.begin, static_cast<int>(i));
      EXPECT_GT(node.end, node.begin);
      EXPECT_FALSE(node.zh.empty() || node.en.empty()) << node.code;
      if (node.parent.empty()) continue;
      EXPECT_TRUE(codes.contains(node.parent)) << node.code;
      const Node* parent =
          nodes == &kTaxonomy.processes() ? kTaxonomy.Process(node.parent) : kTaxonomy.Material(node.parent);
      ASSERT_NE(parent, nullptr);
      EXPECT_TRUE(kTaxonomy.Serves(node, *parent)) << node.code;
      EXPECT_FALSE(kTaxonomy.Serves(*parent, node)) << node.code;
    }
  }
}

TEST(Taxonomy, EachNodeIsFoundByItsOwnNames) {
  for (const Node& node : kTaxonomy.processes()) {
    for (const std::string& name : {node.zh, node.en}) {
      std::vector<Found> found = kTaxonomy.FindProcesses(name);
      ASSERT_FALSE(found.empty()) << name;
      EXPECT_TRUE(std::ranges::any_of(found, [&](const Found& f) { return kTaxonomy.Serves(*f.node, node); })) << name;
      for (const Found& f : found) {
        EXPECT_GT(f.confidence, 0) << name;
        EXPECT_LE(f.confidence, 1) << name;
      }
    }
  }
}

TEST(Taxonomy, FindsWhatASentenceNames) {
  const char* sentence = "需要五轴加工 6061 铝合金支架，公差 0.02 mm";
  ASSERT_FALSE(kTaxonomy.FindProcesses(sentence).empty());
  EXPECT_EQ(kTaxonomy.FindProcesses(sentence)[0].node->code, "separating.milling.five_axis");
  EXPECT_EQ(Codes(kTaxonomy.FindMaterials(sentence)), std::set<std::string>{"aluminium"});
  EXPECT_EQ(Codes(kTaxonomy.FindMaterials("316L 不锈钢阀体")), std::set<std::string>{"stainless_steel"});
  EXPECT_EQ(Codes(kTaxonomy.FindMaterials("TC4 titanium brackets")), std::set<std::string>{"titanium"});
  EXPECT_EQ(kTaxonomy.FindProcesses("We need injection moulding of 5,000 housings")[0].node->code,
            "primary_shaping.polymer.injection");
}

TEST(Taxonomy, LatinNamesAreWholeWords) {
  EXPECT_TRUE(kTaxonomy.FindProcesses("").empty());
  EXPECT_TRUE(kTaxonomy.FindProcesses("assembler semantics xrdx").empty());
  EXPECT_TRUE(Codes(kTaxonomy.FindMaterials("the pc in the office")).empty());
  EXPECT_EQ(Codes(kTaxonomy.FindMaterials("housing of PC")), std::set<std::string>{"engineering_plastic"});
}

TEST(Taxonomy, EquipmentNames) {
  EXPECT_EQ(kTaxonomy.FindProcesses("Zeiss Sigma 300 FEG SEM")[0].node->code, "testing.microscopy.electron.scanning");
  EXPECT_EQ(kTaxonomy.FindProcesses("Bruker D8 XRD")[0].node->code, "testing.diffraction");
}

TEST(Taxonomy, SimilarityIsOneForTheSameNodeAndZeroAcrossRoots) {
  const Node* five = kTaxonomy.Process("separating.milling.five_axis");
  const Node* three = kTaxonomy.Process("separating.milling.three_axis");
  const Node* casting = kTaxonomy.Process("primary_shaping.casting");
  EXPECT_DOUBLE_EQ(kTaxonomy.Similarity(*five, *five), 1);
  EXPECT_DOUBLE_EQ(kTaxonomy.Similarity(*five, *casting), 0);
  EXPECT_GT(kTaxonomy.Similarity(*five, *three), 0.5);
  for (const Node& a : kTaxonomy.materials()) {
    for (const Node& b : kTaxonomy.materials())
      EXPECT_DOUBLE_EQ(kTaxonomy.Similarity(a, b), kTaxonomy.Similarity(b, a));
  }
}

std::vector<std::string> Cells(const std::string& line) {
  std::vector<std::string> cells(1);
  bool quoted = false;
  for (char c : line) {
    if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      cells.emplace_back();
    else if (c != '\r')
      cells.back() += c;
  }
  return cells;
}

// tests/data/equipment_labels.csv: 150 names of three public equipment lists; `processes` holds the codes that are
// right, any of them, or "none". The best code found counts: precision over the names that got one, recall over those
// that should.
TEST(Taxonomy, LabelledEquipmentNames) {
  const char* data = std::getenv("MILLRACE_DATA");
  std::filesystem::path folder = std::filesystem::path(data ? data : "../shared/data") / "equipment";
  bool present = std::filesystem::exists(folder);
  if (!present) std::printf("data folder absent\n");
  std::ifstream labels("tests/data/equipment_labels.csv");
  ASSERT_TRUE(labels);
  std::string line;
  std::getline(labels, line);
  int answered = 0, right = 0, wanted = 0, rows = 0;
  std::map<std::string, std::string> sources;
  while (std::getline(labels, line)) {
    std::vector<std::string> row = Cells(line);
    ASSERT_EQ(row.size(), 4u) << line;
    ++rows;
    if (present) {  // the labels are of names that the files really hold
      std::string& text = sources[row[0]];
      if (text.empty()) {
        std::ifstream file(folder / row[0], std::ios::binary);
        std::ostringstream content;
        content << file.rdbuf();
        text = content.str();
      }
      EXPECT_NE(text.find(row[3]), std::string::npos) << row[0] << " has no " << row[3];
    }
    std::vector<Found> found = kTaxonomy.FindProcesses(row[3]);
    bool none = row[2] == "none";
    wanted += !none;
    bool hit = false;
    if (!found.empty()) {
      ++answered;
      std::stringstream codes(row[2]);
      for (std::string code; std::getline(codes, code, ';');) hit = hit || code == found[0].node->code;
      right += hit;
    }
    if (std::getenv("MILLRACE_VERBOSE") && !hit && !(none && found.empty())) {
      std::printf("%-50s wanted %s, got %s\n", row[3].c_str(), row[2].c_str(),
                  found.empty() ? "-" : (found[0].node->code + " by " + found[0].matched).c_str());
    }
  }
  double precision = answered ? double(right) / answered : 0, recall = wanted ? double(right) / wanted : 0;
  std::printf("%d labelled names: precision %.3f (%d of %d), recall %.3f (%d of %d)\n", rows, precision, right,
              answered, recall, right, wanted);
  EXPECT_EQ(rows, 150);
  EXPECT_GE(precision, 0.9);
  EXPECT_GE(recall, 0.7);
}

}  // namespace
}  // namespace millrace::taxonomy
