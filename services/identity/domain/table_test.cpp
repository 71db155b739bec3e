// SPDX-License-Identifier: Apache-2.0
#include "services/identity/domain/table.h"

#include <gtest/gtest.h>

namespace millrace::identity::domain {
namespace {

const std::vector<Column> kColumns = {
    {"code", true, {"代码"}}, {"name_zh", true, {"中文名称"}}, {"name_en", false, {}}};

ErrorCode CodeOf(std::string_view bytes) {
  auto table = ReadTable(bytes, kColumns, 3);
  return table ? ErrorCode::kInternal : table.error().code;
}

TEST(Table, ReadsColumnsInAnyOrderAndByTheirOtherNames) {
  auto table = ReadTable("\xEF\xBB\xBF中文名称,Code\r\n\" 金属切削, 机床 \", 3421\r\n,\r\n锅炉,3411\r\n", kColumns, 3);
  ASSERT_TRUE(table);
  ASSERT_EQ(table->rows.size(), 2u);
  EXPECT_EQ(table->rows[0].cells, (std::vector<std::string>{"3421", "金属切削, 机床", ""}));
  EXPECT_EQ(table->rows[1].row, 4) << "a row of blanks counts as a line";
  EXPECT_TRUE(table->findings.empty());
}

TEST(Table, ReadsTheNationalEncoding) {
  // "代码,中文名称" and "342,机床" in GB18030.
  auto table = ReadTable("\xB4\xFA\xC2\xEB,\xD6\xD0\xCE\xC4\xC3\xFB\xB3\xC6\n342,\xBB\xFA\xB4\xB2\n", kColumns, 3);
  ASSERT_TRUE(table);
  EXPECT_EQ(table->rows.at(0).cells[1], "机床");
}

TEST(Table, RefusesWhatIsNoTable) {
  EXPECT_EQ(CodeOf(std::string_view("c\0o\0", 4)), ErrorCode::kImportEncoding);
  EXPECT_EQ(CodeOf(""), ErrorCode::kImportHeader);
  EXPECT_EQ(CodeOf("code\n342\n"), ErrorCode::kImportHeader);
  EXPECT_EQ(CodeOf("code,name_zh,colour\n342,x,y\n"), ErrorCode::kImportHeader);
  EXPECT_EQ(CodeOf("code,name_zh,代码\n342,x,342\n"), ErrorCode::kImportHeader);
  EXPECT_EQ(CodeOf("code,name_zh\n"), ErrorCode::kRequired);
  EXPECT_EQ(CodeOf("code,name_zh\n1,a\n2,b\n3,c\n4,d\n"), ErrorCode::kTooLong);
  EXPECT_EQ(CodeOf("code,name_zh\n1,\"a\n2,b\n"), ErrorCode::kImportRow);
  auto unknown = ReadTable("code,name_zh,colour\n", kColumns, 3);
  EXPECT_EQ(Detail(unknown.error().code, unknown.error().params, Language::kZh),
            "列 colour：没有这样的列；可用的列：code, name_zh, name_en。");
}

TEST(Table, NamesRowsOfAnotherLength) {
  auto table = ReadTable("code,name_zh\n342\n343,x\n344,y,z\n", kColumns, 3);
  ASSERT_TRUE(table);
  EXPECT_EQ(table->rows.size(), 1u);
  ASSERT_EQ(table->findings.size(), 2u);
  Error refused = RefuseFaults(table->findings).error();
  EXPECT_EQ(refused.code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(refused.params.at("count"), "2");
  EXPECT_EQ(refused.violations[1].pointer, "#/file/4/_row");
  EXPECT_EQ(Detail(refused.violations[1].code, refused.violations[1].params, Language::kZh),
            "_row 应符合：与表头相同的 2 列。");
}

TEST(Table, RefusesFaultsAlone) {
  std::vector<Finding> findings = {{9, "uscc", ErrorCode::kRequired, {{"field", "uscc"}}},
                                   {3, "uscc", ErrorCode::kAlreadyExists, {}, true}};
  SortFindings(findings);
  EXPECT_EQ(findings.front().row, 3);
  EXPECT_EQ(RefuseFaults(findings).error().violations.size(), 1u);
  EXPECT_EQ(RefuseFaults(findings).error().code, ErrorCode::kRequired) << "one fault comes with its own code";
  findings.resize(1);
  EXPECT_TRUE(RefuseFaults(findings));
  findings.assign(kFaultsNamed + 5, {2, "uscc", ErrorCode::kRequired, {}});
  Error many = RefuseFaults(findings).error();
  EXPECT_EQ(many.violations.size(), kFaultsNamed);
  EXPECT_EQ(many.params.at("count"), std::to_string(kFaultsNamed + 5));
}

}  // namespace
}  // namespace millrace::identity::domain
